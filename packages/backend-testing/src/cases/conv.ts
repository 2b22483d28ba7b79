import { conv2d, conv2dFilterGrad, conv2dInputGrad, type Shape, trace } from '@moco-ts/core';
import { type Case, makeCase, normal } from './case.ts';

interface Setting {
  readonly n: number;
  readonly c: number;
  readonly o: number;
  readonly size: number | readonly [number, number];
  readonly k: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
  readonly w?: Shape;
}

/** Channels and batches that are multiples of 16 and that are not, each with the kernels of a residual network. */
const settings: readonly Setting[] = [
  // Edges: one pixel, one channel, a kernel as large as the map, even kernels, maps that are not square.
  { n: 1, c: 1, o: 1, size: 1, k: 1 },
  { n: 1, c: 1, o: 1, size: 1, k: 3, padding: 1 },
  { n: 2, c: 3, o: 2, size: 5, k: 5 },
  { n: 2, c: 3, o: 4, size: [4, 7], k: 3, padding: 1 },
  { n: 2, c: 2, o: 3, size: 5, k: 2, stride: 2, padding: 1 },
  { n: 1, c: 2, o: 2, size: 6, k: 3, stride: 3 },
  { n: 2, c: 2, o: 2, size: [3, 5], k: 2 },
  // Multiples of 16.
  { n: 16, c: 16, o: 16, size: 1, k: 1 },
  { n: 16, c: 16, o: 16, size: 1, k: 3, padding: 1 },
  { n: 16, c: 16, o: 32, size: 2, k: 3, padding: 1 },
  { n: 16, c: 32, o: 16, size: 4, k: 3, padding: 1 },
  { n: 16, c: 16, o: 16, size: 5, k: 3, padding: 1 },
  { n: 16, c: 16, o: 16, size: 8, k: 3, padding: 1 },
  { n: 16, c: 48, o: 16, size: 4, k: 1 },
  { n: 32, c: 16, o: 48, size: 2, k: 1 },
  { n: 32, c: 16, o: 16, size: 4, k: 3, padding: 1 },
  { n: 16, c: 16, o: 16, size: 4, k: 3 },
  { n: 16, c: 16, o: 32, size: 8, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 16, o: 32, size: 5, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 16, o: 16, size: 4, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 16, o: 16, size: 2, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 16, o: 16, size: 1, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 16, o: 16, size: 5, k: 3, stride: 2 },
  { n: 16, c: 16, o: 32, size: 8, k: 1, stride: 2 },
  { n: 16, c: 32, o: 32, size: 5, k: 1, stride: 2 },
  { n: 16, c: 16, o: 16, size: 1, k: 1, stride: 2 },
  { n: 16, c: 16, o: 16, size: 4, k: 7, padding: 3 },
  { n: 16, c: 16, o: 16, size: 5, k: 7, stride: 2, padding: 3 },
  // A batch that is no multiple, then channels that are none.
  { n: 5, c: 16, o: 16, size: 4, k: 3, padding: 1 },
  { n: 6, c: 32, o: 16, size: 5, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 8, o: 8, size: 4, k: 3, padding: 1 },
  { n: 16, c: 24, o: 20, size: 4, k: 3, padding: 1 },
  { n: 16, c: 16, o: 20, size: 5, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 8, o: 16, size: 4, k: 1 },
  { n: 8, c: 24, o: 24, size: 4, k: 1, stride: 2 },
  // Stems: three input channels.
  { n: 16, c: 3, o: 16, size: 8, k: 3, padding: 1 },
  { n: 16, c: 3, o: 16, size: 8, k: 3, stride: 2, padding: 1 },
  { n: 16, c: 3, o: 16, size: 8, k: 7, stride: 2, padding: 3 },
  { n: 4, c: 3, o: 8, size: 5, k: 7, stride: 2, padding: 3 },
  // Groups: two, as many as channels, and blocks of 16.
  { n: 2, c: 4, o: 6, size: 4, k: 3, padding: 1, groups: 2 },
  { n: 2, c: 6, o: 6, size: 5, k: 3, stride: 2, padding: 1, groups: 6 },
  { n: 16, c: 16, o: 16, size: 4, k: 3, padding: 1, groups: 16 },
  { n: 16, c: 32, o: 32, size: 4, k: 3, padding: 1, groups: 2 },
  { n: 16, c: 32, o: 32, size: 4, k: 3, stride: 2, padding: 1, groups: 8 },
  { n: 2, c: 4, o: 8, size: 3, k: 1, groups: 4 },
];

function shapes({ n, c, o, size, k, groups = 1 }: Setting): { x: Shape; w: Shape } {
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  return { x: [n, c, height, width], w: [o, c / groups, k, k] };
}

function title(setting: Setting): string {
  const { x, w } = shapes(setting);
  const { stride = 1, padding = 0, groups = 1 } = setting;
  return `[${x.join(', ')}] [${w.join(', ')}] s${stride} p${padding} g${groups}`;
}

function outputShape(setting: Setting): Shape {
  const { x, w } = shapes(setting);
  const graph = trace((builder) => ({
    y: conv2d(builder.input('x', x), builder.input('w', w), setting),
  }));
  return graph.values[graph.outputs[0]!.value]!.shape;
}

/** The gradients as ops of their own, with their own gradients: a selection is enough, since conv2d's use them. */
const differentiated = settings.filter(
  ({ n, c, size }, i) => i < 7 || (n * c <= 256 && size !== 8 && i % 3 === 0),
);

export const convCases: readonly Case[] = [
  ...settings.map((setting) => {
    const { x, w } = shapes(setting);
    return makeCase('conv2d', title(setting), { x: normal(x), w: normal(w) }, (inputs) =>
      conv2d(inputs.x!, inputs.w!, setting),
    );
  }),
  ...differentiated.flatMap((setting) => {
    const { x, w } = shapes(setting);
    const dy = outputShape(setting);
    return [
      makeCase('conv2dInputGrad', title(setting), { dy: normal(dy), w: normal(w) }, (inputs) =>
        conv2dInputGrad(inputs.dy!, inputs.w!, x, setting),
      ),
      makeCase('conv2dFilterGrad', title(setting), { x: normal(x), dy: normal(dy) }, (inputs) =>
        conv2dFilterGrad(inputs.x!, inputs.dy!, w, setting),
      ),
    ];
  }),
];
