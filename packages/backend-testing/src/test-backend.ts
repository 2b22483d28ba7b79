/** The conformance kit: what every backend must do, as vitest suites. */
import {
  type Backend,
  BackendError,
  type Graph,
  interpret,
  type Tensors,
  trace,
  unitRoundoff,
} from '@moco-ts/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Case, caseOps, casesOf } from './cases/index.ts';
import { expectClose } from './compare.ts';
import { forwardGraph, gradientGraph, isDifferentiable } from './graphs.ts';
import { note } from './notes.ts';
import type { KitOptions, Subject } from './subject.ts';
import { testState } from './test-state.ts';
import { testTraining } from './test-training.ts';

/**
 * Registers the suites for one backend. To be called at the top of a test file.
 * @param factory called once; the backend is disposed of at the end
 */
export function testBackend(factory: () => Promise<Backend>, options: KitOptions): void {
  describe(options.name, () => {
    let backend: Backend;
    beforeAll(async () => {
      backend = await factory();
    });
    afterAll(async () => {
      await backend?.dispose();
    });
    const subject = () => backend;
    testContract(subject, options);
    describe.each([...caseOps(), 'chain'])('%s', (op) => {
      for (const testCase of casesOf(op))
        if (!testCase.reduced || options.reduced?.includes(testCase.reduced))
          testOne(subject, testCase, options);
    });
    if (options.inferenceOnly) return;
    testState(subject);
    testTraining(subject, options);
  });
}

function testOne(subject: Subject, testCase: Case, options: KitOptions): void {
  const { tolerance } = options;
  it(testCase.name, async ({ task }) => {
    const feeds = testCase.feeds();
    const error = await agrees(subject(), forwardGraph(testCase), feeds, testCase, options);
    note(task, { error, tolerance });
  });
  if (options.inferenceOnly || !isDifferentiable(testCase)) return;
  it(`${testCase.name}: gradient`, async ({ task }) => {
    const { graph, feeds } = gradientGraph(testCase);
    note(task, { error: await agrees(subject(), graph, feeds, testCase, options), tolerance });
  });
}

/**
 * Where a result is rounded to a reduced type, an error before may take it to the other side of a tie: a unit in the last
 * place, which is twice the unit roundoff.
 */
function toleranceOf({ slack = 1, reduced, roundings = 1 }: Case, { tolerance }: KitOptions): number {
  return slack * (tolerance + (reduced ? 2 * roundings * unitRoundoff(reduced) : 0));
}

/** Compares all outputs of a graph with the oracle's. Returns the worst error as a part of the allowed one. */
async function agrees(
  backend: Backend,
  graph: Graph,
  feeds: Tensors,
  testCase: Case,
  options: KitOptions,
): Promise<number> {
  const program = await backend.compile(graph);
  try {
    const outputs = await program.run(feeds);
    const expected = interpret(graph, feeds);
    expect(Object.keys(outputs).sort()).toEqual(Object.keys(expected).sort());
    const closeness = { tolerance: toleranceOf(testCase, options), scale: testCase.scale };
    const errors = graph.outputs.map(({ name, value }) =>
      expectClose(outputs[name], expected[name]!, graph.values[value]!, name, closeness),
    );
    return Math.max(...errors);
  } finally {
    await program.dispose();
  }
}

function testContract(subject: Subject, { inferenceOnly = false }: KitOptions): void {
  it('says what it is', () => {
    const { training, inference, dtypes, lowering } = subject().capabilities();
    expect([training, inference]).toEqual([!inferenceOnly, true]);
    expect([...dtypes].sort()).toEqual(['bool', 'float32', 'int32', 'uint8']);
    expect(lowering).not.toBe('');
    expect(subject().name).not.toBe('');
    expect(subject().device).not.toBe('');
  });
  it('refuses an unknown op at compile, naming it', async () => {
    const graph = trace((builder) => ({ y: builder.input('x', [2]) }));
    const strange: Graph = {
      ...graph,
      values: [...graph.values, { shape: [2], dtype: 'float32' }],
      nodes: [{ op: 'noSuchOp', inputs: [0], outputs: [1], attrs: {} }],
      outputs: [{ name: 'y', value: 1 }],
    };
    const refused = await subject()
      .compile(strange)
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(refused).toBeInstanceOf(BackendError);
    expect((refused as BackendError).message).toContain('noSuchOp');
  });
}
