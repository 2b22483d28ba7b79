import {
  add,
  gather,
  greater,
  interpret,
  matmul,
  mul,
  rng,
  select,
  sub,
  sum,
  type Tensor,
  type Traced,
  tensor,
  trace,
} from '@moco-ts/core';
import { describe, expect, it } from 'vitest';
import { lower } from '../lower.ts';
import { ortPlugin } from '../plugin.ts';

const shape = [64, 64] as const;
const state = [{ input: 'p', output: 'next.p' }];

function drawn(name: string): Tensor {
  const random = rng(0, name);
  return tensor(
    Float32Array.from({ length: 64 * 64 }, () => random.normal()),
    shape,
  );
}

type Inputs = Readonly<Record<'p' | 'g' | 'x', Traced>>;

const graphOf = (body: (inputs: Inputs) => Record<string, Traced>) =>
  trace((builder) =>
    body({ p: builder.input('p', shape), g: builder.input('g', shape), x: builder.input('x', shape) }),
  );

const updated = ({ p, g }: Inputs) => sub(p, mul(g, 0.5));

/** The new value where a sum has a sign, which for one of the two it has. */
const selected = (inputs: Inputs, sign: 1 | -1) =>
  select(greater(mul(sum(inputs.x), sign), 0), updated(inputs), inputs.p);

const inPlace: readonly (readonly [string, ReturnType<typeof graphOf>])[] = [
  ['nothing else reads', graphOf((inputs) => ({ 'next.p': updated(inputs), x: sum(inputs.x, [0, 1]) }))],
  [
    'an ancestor of the update reads',
    graphOf(({ p, g, x }) => ({ 'next.p': sub(p, mul(add(matmul(x, p), g), 0.5)) })),
  ],
  [
    'a result that the update does not need reads',
    graphOf((inputs) => {
      // Long, so that an engine that took the update first would be found out.
      const y = matmul(matmul(inputs.x, inputs.p), matmul(inputs.p, inputs.p));
      return { y, 'next.p': updated(inputs) };
    }),
  ],
  ['one value selects it', graphOf((inputs) => ({ 'next.p': selected(inputs, 1) }))],
  [
    'one value selects it or not, and a result that the selection does not need reads',
    graphOf((inputs) => ({
      y: matmul(matmul(inputs.x, inputs.p), matmul(inputs.p, inputs.p)),
      'next.p': selected(inputs, -1),
    })),
  ],
];

const inTwoBuffers: readonly (readonly [string, ReturnType<typeof graphOf>])[] = [
  [
    'a result that is computed after the update reads',
    graphOf((inputs) => ({ 'next.p': updated(inputs), y: matmul(inputs.x, inputs.p) })),
  ],
  ['the update is no elementwise one', graphOf(({ p, x }) => ({ 'next.p': matmul(x, p) }))],
];

describe('a state', () => {
  it.each(inPlace)('is updated in place where %s', async (_, graph) => {
    expect([...lower(graph, state, 16).inPlace]).toEqual(['p']);
    await agrees(graph);
  });
  it.each(inTwoBuffers)('keeps two buffers where %s', async (_, graph) => {
    expect([...lower(graph, state, 16).inPlace]).toEqual([]);
    await agrees(graph);
  });
  it('is lost by a step that fails, and says so', async () => {
    const backend = await ortPlugin.create({ threads: 1 });
    const graph = trace((builder) => {
      const p = builder.input('p', shape);
      return { 'next.p': add(p, mul(gather(p, builder.input('rows', [64], 'int32')), 0.5)) };
    });
    const rows = (row: number): Tensor => ({
      shape: [64],
      dtype: 'int32',
      data: new Int32Array(64).fill(row),
    });
    const program = await backend.compile(graph, { state });
    await program.load({ p: drawn('p') });
    await expect(program.run({ rows: rows(64) })).rejects.toThrow();
    await expect(program.run({ rows: rows(0) })).rejects.toThrow(/"p" was lost.*load it again/);
    await program.load({ p: drawn('p') });
    await program.run({ rows: rows(0) });
    await program.dispose();
    await backend.dispose();
  });
});

/** Three steps, each against the oracle on the state that the one before left. */
async function agrees(graph: ReturnType<typeof graphOf>): Promise<void> {
  const backend = await ortPlugin.create({ threads: 2 });
  const program = await backend.compile(graph, { state });
  let p = drawn('p');
  await program.load({ p });
  for (let step = 0; step < 3; step++) {
    const feeds = { g: drawn(`g${step}`), x: drawn(`x${step}`) };
    const expected = interpret(graph, { ...feeds, p });
    const actual: Record<string, Tensor> = await program.run(feeds);
    p = (await program.read(['p'])).p!;
    for (const [name, { data }] of Object.entries(expected)) {
      const written = (name === 'next.p' ? p : actual[name]!).data;
      const largest = data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      data.forEach((value, i) => {
        expect(Math.abs(written[i]! - value)).toBeLessThan(2e-5 * largest);
      });
    }
  }
  await program.dispose();
  await backend.dispose();
}
