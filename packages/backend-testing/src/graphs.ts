/** A case as graphs: forward, and with the gradients by its float inputs. */
import {
  add,
  type Graph,
  grad,
  mul,
  opNamed,
  rng,
  sum,
  type Tensor,
  type Traced,
  tensor,
  trace,
} from '@moco-ts/core';
import type { Case } from './cases/index.ts';

export function forwardGraph(testCase: Case): Graph {
  return trace((builder) => testCase.build(builder));
}

/** The float inputs by which a case is differentiated. */
export function differentiatedInputs(testCase: Case): string[] {
  return Object.entries(testCase.feeds()).flatMap(([name, { dtype }]) => (dtype === 'float32' ? [name] : []));
}

/** The outputs through which the gradients are tested; none where the op has no gradient to test. */
export function differentiatedOutputs(testCase: Case): string[] {
  if (testCase.op !== 'chain' && !opNamed(testCase.op).grad) return [];
  const graph = forwardGraph(testCase);
  const floats = graph.outputs.filter(({ value }) => graph.values[value]!.dtype === 'float32');
  return floats.map(({ name }) => name).filter((name) => testCase.through?.includes(name) ?? true);
}

/** Whether a case has gradients to test. */
export function isDifferentiable(testCase: Case): boolean {
  return differentiatedInputs(testCase).length > 0 && differentiatedOutputs(testCase).length > 0;
}

/** The factors by which the outputs enter the loss: random, so that no symmetry hides an error. */
function lossFactors(testCase: Case, output: string, shape: readonly number[]): Tensor {
  const random = rng(0, `loss/${testCase.op}/${testCase.name}/${output}`);
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Array.from({ length: size }, () => random.normal()),
    shape,
  );
}

export interface GradientGraph {
  readonly graph: Graph;
  readonly feeds: Record<string, Tensor>;
}

/** The loss sum(factor . output): inputs are those of the case and `factor.<output>`, the output is `loss`. */
export function lossGraph(testCase: Case): GradientGraph {
  const feeds = testCase.feeds();
  const through = differentiatedOutputs(testCase);
  const graph = trace((builder) => {
    const outputs = testCase.build(builder);
    let loss: Traced | undefined;
    for (const name of through) {
      const output = outputs[name]!;
      feeds[`factor.${name}`] = lossFactors(testCase, name, output.shape);
      const term = sum(mul(output, builder.input(`factor.${name}`, output.shape)));
      loss = loss ? add(loss, term) : term;
    }
    return { loss: loss! };
  });
  return { graph, feeds };
}

/** The gradients of {@link lossGraph}, as the outputs `grad.<input>`. */
export function gradientGraph(testCase: Case): GradientGraph {
  const { graph, feeds } = lossGraph(testCase);
  const { outputs, ...rest } = grad(graph, 'loss', differentiatedInputs(testCase));
  // Without the loss: its terms cancel, so that its rounding has no measure; the forward case tests the values.
  return { graph: { ...rest, outputs: outputs.filter(({ name }) => name !== 'loss') }, feeds };
}
