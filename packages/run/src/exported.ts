/** What an exported model carries along: its preprocessing, and what a stranger needs to use it. */
import { clearSide } from '@moco-ts/data/portable';
import type { RunConfig } from './table.ts';

/** How raw images become the encoder's input, as the model does it and `moco` too. */
export function preprocessOf({ imageSize: size, mean, std }: RunConfig) {
  return { size, shorterSide: clearSide({ width: 1, height: 2 }, size), mean, std };
}

export interface ModelSettings {
  readonly withHead: boolean;
  /** The names of a classifier's classes: the model gives its logits. */
  readonly classes?: readonly string[];
  /** The model takes raw images. */
  readonly withPreprocess: boolean;
  /** The model gives the encoder's tokens too. */
  readonly tokens?: boolean;
  /** The commit of the run. */
  readonly commit?: string;
  /** The version of the program. */
  readonly version: string;
}

/** The model's metadata. */
export function modelMetadata(
  config: RunConfig,
  { withHead, withPreprocess, tokens, commit, classes, version }: ModelSettings,
): Record<string, string> {
  const { arch, method, data, imageSize, mean, std } = config;
  return {
    name: `${arch}, ${method}, ${data}`,
    use: classes
      ? 'image classification; softmax of the logits gives probabilities'
      : 'image features for search, duplicates, clustering and linear probes; it names no classes',
    output: outputOf(withHead, classes),
    ...(tokens && { tokens: tokensAre }),
    input: withPreprocess
      ? 'uint8 [N, H, W, 3], RGB'
      : 'float32 [N, 3, S, S], RGB, (value / 255 - mean) / std',
    size: String(imageSize),
    mean: JSON.stringify(mean),
    std: JSON.stringify(std),
    arch,
    method,
    moco: version,
    ...(classes && { classes: JSON.stringify(classes) }),
    ...(commit !== undefined && { commit }),
  };
}

/** What a model says of its output `tokens`, [N, T, D]. */
export const tokensAre =
  'features of the places of an image, row by row from the top: of a ViT its patches, without class token and registers';

function outputOf(withHead: boolean, classes?: readonly string[]): string {
  if (classes) return 'logits, one for each of the classes';
  return withHead ? 'unit vectors of the contrastive head' : 'features of the backbone, not normalised';
}
