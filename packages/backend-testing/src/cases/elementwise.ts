import {
  abs,
  add,
  cast,
  div,
  equal,
  erf,
  exp,
  greater,
  greaterEqual,
  type HostDType,
  less,
  log,
  maximum,
  mul,
  neg,
  type Operand,
  relu,
  reluGrad,
  type Shape,
  select,
  sqrt,
  stopGradient,
  sub,
  type Traced,
  tanh,
  tensor,
} from '@moco-ts/core';
import {
  awayFromZero,
  bools,
  type Case,
  type Draw,
  integers,
  makeCase,
  normal,
  uniform,
  values,
} from './case.ts';

type Unary = (x: Traced) => Traced;
type Binary = (a: Operand, b: Operand) => Traced;

const unaries: readonly [name: string, op: Unary, draw: (shape: Shape) => Draw][] = [
  ['neg', neg, normal],
  ['exp', exp, normal],
  ['log', log, (shape) => uniform(shape, 0.05, 20)],
  ['sqrt', sqrt, (shape) => uniform(shape, 0.05, 20)],
  ['tanh', tanh, normal],
  ['abs', abs, awayFromZero],
  ['erf', erf, normal],
  ['relu', relu, awayFromZero],
  ['stopGradient', stopGradient, normal],
];
const unaryShapes: readonly Shape[] = [[], [1], [7], [2, 3], [16, 16, 2, 2], [3, 5, 1, 3]];

const binaries: readonly [name: string, op: Binary, draw: (shape: Shape) => Draw][] = [
  ['add', add, normal],
  ['sub', sub, normal],
  ['mul', mul, normal],
  ['div', div, awayFromZero],
  ['maximum', maximum, normal],
];
/** Equal, broadcast on either side and on both, scalars, extents of 1, channels of 16 and of 5. */
const pairs: readonly (readonly [Shape, Shape])[] = [
  [[], []],
  [[1], []],
  [
    [2, 3],
    [2, 3],
  ],
  [[2, 3], []],
  [[], [2, 3]],
  [[2, 3], [3]],
  [[3], [2, 3]],
  [
    [4, 1],
    [1, 3],
  ],
  [
    [4, 1, 2],
    [3, 1],
  ],
  [[1, 1], [3]],
  [
    [16, 16, 2, 2],
    [16, 16, 2, 2],
  ],
  [
    [16, 16, 2, 2],
    [1, 16, 1, 1],
  ],
  [
    [2, 16, 3, 3],
    [2, 16, 1, 1],
  ],
  [
    [2, 5, 3, 1],
    [5, 1, 2],
  ],
];

const comparisons: readonly [name: string, op: Binary][] = [
  ['greater', greater],
  ['greaterEqual', greaterEqual],
  ['less', less],
  ['equal', equal],
];

const title = (...shapes: readonly Shape[]) => shapes.map((shape) => `[${shape.join(', ')}]`).join(' ');

const casts: readonly [from: HostDType, to: HostDType, data: readonly number[]][] = [
  ['float32', 'int32', [-2.7, -1, -0.5, 0, 0.5, 0.99, 1, 2.7, 100000.5]],
  ['float32', 'uint8', [0, 0.9, 1, 127.5, 128, 255]],
  ['float32', 'bool', [-1, -0.3, 0, 0.3, 1, 1e-30]],
  ['int32', 'float32', [-70000, -1, 0, 1, 16777216]],
  ['int32', 'bool', [-2, 0, 1, 256]],
  ['int32', 'uint8', [0, 1, 128, 255]],
  ['uint8', 'float32', [0, 1, 127, 128, 255]],
  ['uint8', 'int32', [0, 1, 127, 128, 255]],
  ['bool', 'float32', [0, 1, 1]],
  ['bool', 'int32', [0, 1, 1]],
];

export const elementwiseCases: readonly Case[] = [
  ...unaries.flatMap(([name, op, draw]) =>
    unaryShapes.map((shape) => makeCase(name, title(shape), { x: draw(shape) }, ({ x }) => op(x!))),
  ),
  makeCase('exp', 'large and small', { x: values([-100, -20, -1e-4, 0, 1e-4, 20, 60]) }, ({ x }) => exp(x!)),
  makeCase(
    'log',
    'near 0 and large',
    { x: values([1e-30, 1e-12, 0.999, 1, 1.001, 1e30]) },
    ({ x }) => log(x!),
    { rough: true },
  ),
  makeCase('sqrt', 'near 0 and large', { x: values([1e-12, 1e-6, 1, 1e12]) }, ({ x }) => sqrt(x!), {
    rough: true,
  }),
  makeCase('tanh', 'saturated', { x: values([-20, -3, -1e-3, 0, 1e-3, 3, 20]) }, ({ x }) => tanh(x!)),
  makeCase('erf', 'all branches', { x: values([-4, -2.6, -2.4, -0.5, 0, 0.5, 2.4, 2.6, 4]) }, ({ x }) =>
    erf(x!),
  ),
  makeCase('abs', 'at 0', { x: values([-1, 0, 1]) }, ({ x }) => abs(x!), { rough: true }),
  makeCase('relu', 'at 0', { x: values([-1, 0, 1e-30, 1]) }, ({ x }) => relu(x!), { rough: true }),
  makeCase('relu', 'all negative', { x: uniform([4, 16, 2, 2], -2, -0.1) }, ({ x }) => relu(x!)),

  ...binaries.flatMap(([name, op, draw]) =>
    pairs.map(([a, b]) =>
      makeCase(name, title(a, b), { a: draw(a), b: draw(b) }, (inputs) => op(inputs.a!, inputs.b!)),
    ),
  ),
  ...binaries.flatMap(([name, op, draw]) => [
    makeCase(name, 'a number on the left', { x: draw([2, 3]) }, ({ x }) => op(1.5, x!)),
    makeCase(name, 'a number on the right', { x: draw([2, 3]) }, ({ x }) => op(x!, 1.5)),
    makeCase(name, 'one operand twice', { x: draw([2, 3]) }, ({ x }) => op(x!, x!), {
      rough: name === 'maximum',
    }),
  ]),
  makeCase(
    'maximum',
    'ties',
    { a: values([1, 2, 3, -1]), b: values([1, 3, 2, -1]) },
    ({ a, b }) => maximum(a!, b!),
    {
      rough: true,
    },
  ),

  ...comparisons.flatMap(([name, op]) => [
    makeCase(name, 'ties', { a: values([-1, 0, 2, 3]), b: values([0, 0, 2, -3]) }, ({ a, b }) => op(a!, b!)),
    makeCase(name, 'int32', { a: integers([3, 4], -2, 3), b: integers([3, 4], -2, 3) }, ({ a, b }) =>
      op(a!, b!),
    ),
    makeCase(name, 'broadcast', { a: integers([3, 1], -2, 3), b: integers([4], -2, 3) }, ({ a, b }) =>
      op(a!, b!),
    ),
    makeCase(name, 'a number', { x: normal([2, 16, 2, 2]) }, ({ x }) => op(x!, 0)),
  ]),
  makeCase('equal', 'bool', { a: bools([9]), b: bools([9]) }, ({ a, b }) => equal(a!, b!)),

  makeCase(
    'reluGrad',
    'by the output',
    { dy: normal([3, 16, 2, 2]), x: awayFromZero([3, 16, 2, 2]) },
    ({ dy, x }) => reluGrad(dy!, relu(x!)),
  ),
  makeCase(
    'reluGrad',
    'at 0, scalar',
    { dy: normal([]), y: tensor([0], []) },
    ({ dy, y }) => reluGrad(dy!, y!),
    { rough: true },
  ),
  makeCase(
    'reluGrad',
    'huge and tiny outputs',
    { dy: normal([4]), y: values([0, 1e-30, 1e-3, 1e30]) },
    ({ dy, y }) => reluGrad(dy!, y!),
    { rough: true },
  ),

  ...(
    [
      [
        [2, 3],
        [2, 3],
        [2, 3],
      ],
      [[2, 1], [3], []],
      [[], [2, 3], [3]],
      [[4, 1, 1], [3, 1], [2]],
      [
        [2, 16, 2, 2],
        [1, 16, 1, 1],
        [2, 16, 2, 2],
      ],
    ] as const
  ).map(([c, a, b]) =>
    makeCase('select', title(c, a, b), { c: bools(c), a: normal(a), b: normal(b) }, (inputs) =>
      select(inputs.c!, inputs.a!, inputs.b!),
    ),
  ),
  makeCase('select', 'int32', { c: bools([5]), a: integers([5], -9, 9), b: integers([5], -9, 9) }, (inputs) =>
    select(inputs.c!, inputs.a!, inputs.b!),
  ),
  makeCase('select', 'numbers', { c: bools([5]), x: normal([5]) }, ({ c, x }) => ({
    left: select(c!, x!, -1),
    right: select(c!, 2, x!),
  })),

  ...casts.map(([from, to, data]) =>
    makeCase('cast', `${from} to ${to}`, { x: values(data, from) }, ({ x }) => cast(x!, to), { rough: true }),
  ),
  // A node of its own: `cast` adds none where the type stays.
  makeCase('cast', 'float32 to itself', { x: normal([2, 16, 3, 3]) }, ({ x }, builder) => {
    return builder.emit('cast', [x!], { dtype: 'float32' })[0]!;
  }),
  // Through integers there is no gradient, and asking for one is an error (core's grad.test.ts).
  makeCase(
    'cast',
    'to int32 and back',
    { x: values([-1.5, 0.25, 3.75]) },
    ({ x }) => cast(cast(x!, 'int32'), 'float32'),
    { through: [] },
  ),
  makeCase(
    'cast',
    'a scalar and maps',
    { s: tensor([3], [], 'int32'), x: bools([2, 16, 2, 2]) },
    ({ s, x }) => ({
      s: cast(s!, 'float32'),
      x: cast(x!, 'float32'),
    }),
  ),
];
