/** How fast a backend trains: one layer of an encoder's family with its gradients. */
import {
  type Backend,
  conv2d,
  type EncoderTraits,
  filled,
  GraphBuilder,
  gelu,
  gradients,
  mean,
  mul,
  nn,
  optimize,
  type Tensor,
  type Traced,
} from '@moco-ts/core';

type Family = EncoderTraits['family'];

interface Workload {
  /** The shapes of its operands: the input, then the parameters by name. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  /** Multiplications and additions of the forward pass. */
  readonly operations: number;
  forward(operands: Readonly<Record<string, Traced>>): Traced;
}

const [BATCH, CHANNELS, SIDE] = [8, 64, 32];
const [TOKENS, DIM, HEADS] = [128, 192, 3];

/**
 * What the family spends its time on. Gradients belong to it: XLA's forward convolutions on a CPU are as fast as ONNX Runtime's, its
 * filter gradients several times slower.
 */
const workloads: Readonly<Record<Family, Workload>> = {
  resnet: {
    shapes: { x: [BATCH, CHANNELS, SIDE, SIDE], weight: [CHANNELS, CHANNELS, 3, 3] },
    operations: 2 * BATCH * SIDE ** 2 * CHANNELS ** 2 * 9,
    forward: ({ x, weight }) => conv2d(x!, weight!, { stride: 1, padding: 1 }),
  },
  vit: {
    shapes: {
      x: [BATCH, TOKENS, DIM],
      'attn.qkv.weight': [3 * DIM, DIM],
      'attn.qkv.bias': [3 * DIM],
      'attn.proj.weight': [DIM, DIM],
      'attn.proj.bias': [DIM],
      'fc1.weight': [4 * DIM, DIM],
      'fc1.bias': [4 * DIM],
      'fc2.weight': [DIM, 4 * DIM],
      'fc2.bias': [DIM],
    },
    operations: 2 * BATCH * TOKENS * DIM * (12 * DIM + 2 * TOKENS),
    forward: ({ x, ...params }) => {
      const attended = nn.attention(params, 'attn', x!, HEADS);
      return nn.linear(params, 'fc2', gelu(nn.linear(params, 'fc1', attended)));
    },
  },
};

const RUNS = 12;

/**
 * The best of some runs, operands staying with the backend, in 10^9 operations per second.
 * @param family of the encoder that is to be trained
 */
export async function trainingSpeed(backend: Backend, family: Family): Promise<number> {
  const { shapes, operations, forward } = workloads[family];
  const builder = new GraphBuilder();
  const operands = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, builder.input(name, shape)]),
  );
  const y = forward(operands);
  const loss = mean(mul(y, y));
  const names = Object.keys(shapes);
  // Sums, so that nothing large is copied out of the backend.
  gradients(loss, Object.values(operands)).forEach((gradient, i) => {
    builder.output(`grad.${names[i]}`, mean(gradient));
  });
  const program = await backend.compile(optimize(builder.graph()), {
    state: names.map((input) => ({ input })),
  });
  await program.load(
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, operand(shape)])),
  );
  let best = Number.POSITIVE_INFINITY;
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    await program.run({});
    best = Math.min(best, performance.now() - started);
  }
  await program.dispose();
  // Each of the two operands' gradients costs what the forward pass does.
  return (3 * operations) / (best * 1e6);
}

function operand(shape: readonly number[]): Tensor {
  const { data, ...type } = filled(shape, 0);
  return { ...type, data: Float32Array.from(data, (_, i) => ((i % 7) - 3) / 70) };
}
