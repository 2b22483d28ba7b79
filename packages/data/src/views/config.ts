/** The distributions that views are drawn from, as plain JSON. */

/** A step of a view's pipeline, applied with probability `p` (default 1). */
export type ViewOp =
  | {
      readonly op: 'jitter';
      readonly p?: number;
      /** Factors in [max(0, 1 - x), 1 + x]. */
      readonly brightness: number;
      readonly contrast: number;
      readonly saturation: number;
      /** Shift in [-x, x] of a full turn, x <= 0.5. */
      readonly hue: number;
    }
  | { readonly op: 'grayscale'; readonly p?: number }
  | { readonly op: 'blur'; readonly p?: number; readonly sigma: readonly [number, number] }
  | { readonly op: 'solarize'; readonly p?: number; readonly threshold: number }
  | { readonly op: 'flip'; readonly p?: number };

/** One view's distribution: a random resized crop, then `ops` in order. */
export interface ViewConfig {
  /** Side of the view, in pixels. */
  readonly size: number;
  /** Range of the crop's share of the area, in (0, 1]. */
  readonly crop: readonly [number, number];
  /** Range of the crop's width / height, drawn log-uniformly. */
  readonly ratio: readonly [number, number];
  readonly ops: readonly ViewOp[];
  /** A view of the same image, by its place in the list, whose draw this one shares: {@link sameView}. Default a draw of its own. */
  readonly of?: number;
  /** How it becomes numbers, where not as the other views do: by its own mean and std, or left as bytes. */
  readonly numbers?: Numbers;
}

/** Of the channels R, G, B in [0, 1], what is subtracted and by what is divided; or bytes as they are. */
export type Numbers = { readonly mean: readonly number[]; readonly std: readonly number[] } | 'bytes';

export interface ViewOptions {
  readonly size: number;
  /** Smallest and largest share of the area; defaults .2 (`v3`: .08) and 1. */
  readonly cropMin?: number;
  readonly cropMax?: number;
}

export type ViewName = 'v1' | 'aug-plus' | 'v3';

/** ImageNet's statistics, by which images are normalised as in the papers: of the channels R, G, B in [0, 1]. */
export const IMAGENET_MEAN = [0.485, 0.456, 0.406] as const;
export const IMAGENET_STD = [0.229, 0.224, 0.225] as const;

const RATIO = [3 / 4, 4 / 3] as const;
const GREY: ViewOp = { op: 'grayscale', p: 0.2 };
const FLIP: ViewOp = { op: 'flip', p: 0.5 };
const BLUR = [0.1, 2] as const;

function view(options: ViewOptions, cropMin: number, ops: readonly ViewOp[]): ViewConfig {
  const crop = [options.cropMin ?? cropMin, options.cropMax ?? 1] as const;
  return { size: options.size, crop, ratio: RATIO, ops };
}

/**
 * What a view shows, in another size and as other numbers: the same crop and colours, and a blur of the same share of the side.
 * @param of the view's place in the list
 */
export function sameView(view: ViewConfig, of: number, size: number, numbers: Numbers): ViewConfig {
  const scale = size / view.size;
  const ops = view.ops.map(
    (op): ViewOp => (op.op === 'blur' ? { ...op, sigma: [op.sigma[0] * scale, op.sigma[1] * scale] } : op),
  );
  return { ...view, size, ops, of, numbers };
}

/** The view on which classifiers are trained, as torchvision's defaults have it: crops of .08 to 1 of the area, and flips. */
export function classifierView(options: ViewOptions): ViewConfig {
  return view(options, 0.08, [FLIP]);
}

/** The pair of views of each recipe; both draws are independent. */
export const views: Record<ViewName, (options: ViewOptions) => [ViewConfig, ViewConfig]> = {
  /** MoCo v1, section 3.3: the augmentation of InstDisc. */
  v1: (options) => {
    const jitter = { op: 'jitter', brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.4 } as const;
    const one = view(options, 0.2, [GREY, jitter, FLIP]);
    return [one, one];
  },
  /** MoCo v2, section 3: blur added, colour as in SimCLR with less hue. */
  'aug-plus': (options) => {
    const jitter = {
      op: 'jitter',
      p: 0.8,
      brightness: 0.4,
      contrast: 0.4,
      saturation: 0.4,
      hue: 0.1,
    } as const;
    const one = view(options, 0.2, [jitter, GREY, { op: 'blur', p: 0.5, sigma: BLUR }, FLIP]);
    return [one, one];
  },
  /** MoCo v3: BYOL's asymmetric pair. */
  v3: (options) => {
    const jitter = {
      op: 'jitter',
      p: 0.8,
      brightness: 0.4,
      contrast: 0.4,
      saturation: 0.2,
      hue: 0.1,
    } as const;
    const blur = (p: number): ViewOp => ({ op: 'blur', p, sigma: BLUR });
    const solarize: ViewOp = { op: 'solarize', p: 0.2, threshold: 128 };
    return [
      view(options, 0.08, [jitter, GREY, blur(1), FLIP]),
      view(options, 0.08, [jitter, GREY, blur(0.1), solarize, FLIP]),
    ];
  },
};
