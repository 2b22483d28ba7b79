/** ResNets for detectron2: its names for their tensors, the file that its checkpointer reads, and the configuration that fits them. */
import { type HostDType, type Params, type Tensor, UserError } from '@moco-ts/core';
import { builtInEncoders, type ResnetSpec } from '@moco-ts/encoders';
import { Pickler, tensorBytes } from './pickler.ts';

const numpyTypes: Readonly<Record<HostDType, string>> = {
  float32: '<f4',
  int32: '<i4',
  uint8: '|u1',
  bool: '|b1',
};

/**
 * A file of detectron2's model zoo in parts: a pickle (protocol 3) of `model`, NumPy arrays by detectron2's names, of
 * `__author__`, and of `matching_heuristics`, by which detectron2 finds the place of each by the end of its name.
 * @throws UserError for an encoder that is none of detectron2's
 */
export function encodeDetectron2(arch: string, params: Params): readonly Uint8Array[] {
  resnetOf(arch, params);
  const named = Object.entries(params).map(([name, value]) => [detectron2Name(name), value] as const);
  const out = new Pickler(3, numpyArray);
  out.value({ model: Object.fromEntries(named), __author__: 'MoCo.ts', matching_heuristics: true });
  return out.end();
}

/**
 * `stem.*` before the stages, `res2` to `res5` for `layer1` to `layer4`; each normalisation under its convolution, as
 * `conv1.norm`, and the projection of a shortcut as `shortcut`.
 */
function detectron2Name(name: string): string {
  const stage = /^layer([1-4])\.(.*)$/.exec(name);
  const [front, own] = stage ? [`res${Number(stage[1]) + 1}`, stage[2]!] : ['stem', name];
  return `${front}.${own
    .replace(/\bbn([1-3])\b/, 'conv$1.norm')
    .replace(/\bdownsample\.0\b/, 'shortcut')
    .replace(/\bdownsample\.1\b/, 'shortcut.norm')}`;
}

/** `numpy.ndarray(shape, dtype)`, then its state: (version, shape, dtype, whether by columns, bytes). By public names alone. */
function numpyArray(out: Pickler, tensor: Tensor): void {
  const { dtype, shape } = tensor;
  const type = () => {
    out.code('cnumpy\ndtype\n(');
    out.text(numpyTypes[dtype]);
    out.code('tR');
  };
  out.code('cnumpy\nndarray\n(');
  out.integers([0]);
  type();
  out.code('tR(');
  out.number(1);
  out.integers(shape);
  type();
  out.value(false);
  out.bytes(tensorBytes(tensor));
  out.code('tb');
}

/** @throws UserError unless it is a ResNet with the stem that detectron2 builds */
function resnetOf(arch: string, params: Params): ResnetSpec {
  const spec = builtInEncoders.find(({ name }) => name === arch)?.spec;
  const isResnet = spec !== undefined && 'block' in spec;
  if (!isResnet || (spec.width ?? 64) !== 64 || params['conv1.weight']?.shape[2] !== 7)
    throw new UserError(
      `detectron2 has no place for this ${arch}: its names are for ResNets that begin with 64 channels and ImageNet's stem (7x7)`,
      { code: 'checkpoint-mismatch' },
    );
  return spec;
}

/**
 * What a configuration of detectron2 needs for weights that were trained here: RGB, the mean and deviation of training
 * (of 0 to 255), the stride in the 3x3 convolution as in torchvision, and normalisations that are trained on, as MoCo's
 * paper has it (section 4.2).
 * @param mean and `std`: of channels between 0 and 1
 * @returns YAML
 */
export function detectron2Config(
  file: string,
  arch: string,
  params: Params,
  { mean, std }: { readonly mean: readonly number[]; readonly std: readonly number[] },
): string {
  const { block, depths, groups = 1, widthPerGroup = 64 } = resnetOf(arch, params);
  const basic = block === 'basic';
  const depth = depths.reduce((sum, blocks) => sum + blocks, 0) * (basic ? 2 : 3) + 2;
  const shape = [
    `DEPTH: ${depth}`,
    ...(basic ? ['RES2_OUT_CHANNELS: 64'] : []),
    ...(groups === 1 ? [] : [`NUM_GROUPS: ${groups}`]),
    ...(widthPerGroup === 64 ? [] : [`WIDTH_PER_GROUP: ${widthPerGroup}`]),
  ];
  const pixels = (values: readonly number[]) =>
    values.map((value) => Number((value * 255).toFixed(3))).join(', ');
  return `MODEL:
  WEIGHTS: ${JSON.stringify(file)}
  PIXEL_MEAN: [${pixels(mean)}]
  PIXEL_STD: [${pixels(std)}]
  BACKBONE: { FREEZE_AT: 0 }
  RESNETS: { ${shape.join(', ')}, STRIDE_IN_1X1: False, NORM: SyncBN }
INPUT:
  FORMAT: RGB
`;
}
