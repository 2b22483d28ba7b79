import { type Network, numbers } from './rewriting.ts';

/**
 * Batch normalisations behind convolutions become part of their weights, with a bias: y = g (w x - m) / sqrt(v + e) + b.
 * Fewer nodes, and no numbers that a narrow type can't hold.
 */
export function foldBatchNorm({ onnx, from }: Network): void {
  const nodes = onnx.nodes.slice(from);
  const makers = new Map(nodes.map((node) => [node.output[0]!, node]));
  const readers = new Map<string, number>();
  for (const { input } of nodes) for (const name of input) readers.set(name, (readers.get(name) ?? 0) + 1);
  /** Convolutions by the value that they make, with the normalisation behind them. */
  const norms = new Map<string, (typeof nodes)[number]>();
  for (const node of nodes) {
    const [x, ...rest] = node.input;
    const conv = makers.get(x!);
    const folds =
      node.opType === 'BatchNormalization' &&
      conv?.opType === 'Conv' &&
      conv.input.length === 2 &&
      readers.get(x!) === 1 &&
      [conv.input[1]!, ...rest].every((name) => onnx.constant(name)?.type === 'float32');
    if (folds) norms.set(x!, node);
  }
  onnx.rewrite(from, (node) => {
    if (node.opType === 'BatchNormalization' && norms.has(node.input[0]!)) return undefined;
    const norm = norms.get(node.output[0]!);
    if (!norm) return node;
    const weight = onnx.constant(node.input[1]!)!;
    const [gamma, beta, mean, variance] = norm.input
      .slice(1)
      .map((name) => numbers(onnx.constant(name)!)) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const epsilon =
      (norm.attribute as { name: string; f?: number }[]).find(({ name }) => name === 'epsilon')?.f ?? 1e-5;
    const scale = gamma.map((g, c) => g / Math.sqrt(variance[c]! + epsilon));
    const perChannel = numbers(weight).length / scale.length;
    const folded = numbers(weight).map((w, i) => w * scale[Math.floor(i / perChannel)]!);
    const bias = beta.map((b, c) => b - mean[c]! * scale[c]!);
    const names = [
      onnx.initializer(onnx.fresh('folded'), 'float32', weight.dims, folded),
      onnx.initializer(onnx.fresh('bias'), 'float32', [bias.length], bias),
    ];
    return { ...node, input: [node.input[0]!, ...names], output: norm.output };
  });
}
