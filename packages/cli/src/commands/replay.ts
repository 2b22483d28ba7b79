/** `moco replay`: given batches from given weights, for parity with any other implementation. */
import {
  CheckpointError,
  counted,
  createTrainer,
  encoderNamed,
  initEncoder,
  type MocoConfig,
  mocoState,
  mocoStep,
  prefixed,
  readSafetensors,
  safetensorsParts,
  sgd,
  type Tensor,
  under,
} from '@moco-ts/core';
import { openBackend, readText, registerPlugins, withOutput, withSource, writeAtomic } from '@moco-ts/node';
import type { Command } from 'commander';
import { type Io, remarkTo } from '../io.ts';
import { lineOf } from './next.ts';
import { parseSpec, type ReplaySpec } from './replay-spec.ts';

interface ReplayOptions {
  readonly in: string;
  readonly out: string;
  readonly backend: string;
}

type NamedTensors = Readonly<Record<string, Tensor>>;

export function replayCommand(program: Command, io: Io): void {
  program
    .command('replay')
    .summary('run given batches from given weights (for parity)')
    .description(
      'Trains on the batches of IN from the weights of IN and writes losses, the gradients of the first step and the last state, to be compared with another implementation.',
    )
    .argument(
      '<spec>',
      'JSON: method, arch, stem, dim, mlp, K, m, t, lr, momentum, wd, bn, bnSplits, symmetric, steps',
    )
    .requiredOption('--in <file>', 'safetensors: q.*, queue, xq.N, xk.N; optional k.*, perm.N')
    .requiredOption('--out <file>', 'safetensors: loss, grad.*, q.*, k.*, queue, queue_ptr')
    .option('--backend <name>', 'what computes; reference is float64', 'ort')
    .addHelpText('after', '\nExamples:\n  moco replay SPEC.json --in IN.safetensors --out OUT.safetensors')
    .action(async (specPath: string, options: ReplayOptions) => {
      await registerPlugins();
      const spec = parseSpec(await readText(specPath), specPath);
      const { tensors } = await withSource(options.in, readSafetensors);
      const out = await replay(spec, tensors, options.in, options.backend);
      const note = remarkTo(io);
      await withOutput(options.out, note, () => writeAtomic(options.out, safetensorsParts(out)));
      const losses = out.loss!.data;
      io.result(
        { path: options.out, losses: Array.from(losses) },
        `${counted(losses.length, 'step')}, loss ${losses[0]!.toFixed(6)} to ${losses.at(-1)!.toFixed(6)}: ${options.out}\n`,
      );
      const exact = ['--in', options.in, '--out', 'reference.safetensors', '--backend', 'reference'];
      if (options.backend !== 'reference') io.next(lineOf('replay', [specPath, ...exact]));
    });
}

/**
 * OUT from IN.
 * @param source IN's name, for messages
 * @throws CheckpointError when IN lacks a tensor, has a strange one, or one of a wrong shape
 */
export async function replay(
  spec: ReplaySpec,
  given: NamedTensors,
  source: string,
  backendName: string,
): Promise<Record<string, Tensor>> {
  const images = given['xq.0'];
  if (images?.shape.length !== 4) throw new CheckpointError(`${source} lacks "xq.0", a batch [N, 3, H, W]`);
  const config = configOf(spec, images.shape[0]!, images.shape[2]!, 'perm.0' in given);
  const state = initialState(config, given, source);
  const steps = spec.steps ?? Object.keys(given).filter((name) => name.startsWith('xq.')).length;
  const backend = await openBackend(backendName, { deterministic: true });
  const trainer = await createTrainer(backend, mocoStep(config, state), state);
  try {
    const losses = new Float32Array(steps);
    let gradients: NamedTensors = {};
    for (let i = 0; i < steps; i++) {
      const metrics = await trainer.step(feeds(given, i, config, source), spec.lr, i);
      losses[i] = metrics.loss!.data[0]!;
      if (i === 0) gradients = prefixed('grad', under('grad', metrics));
    }
    const after = await trainer.state(Object.keys(state).filter((name) => !name.startsWith('opt.')));
    return {
      ...gradients,
      ...after,
      queue_ptr: { ...after.queue_ptr!, shape: [1] },
      loss: { shape: [steps], dtype: 'float32', data: losses },
    };
  } finally {
    await trainer.dispose();
    await backend.dispose();
  }
}

function configOf(spec: ReplaySpec, batch: number, imageSize: number, shuffle: boolean): MocoConfig {
  return {
    encoder: encoderNamed(spec.arch),
    encoderConfig: { imageSize, stem: spec.stem },
    mlp: spec.mlp,
    dim: spec.dim,
    batch,
    queueSize: spec.K,
    momentum: spec.m,
    temperature: spec.t,
    bnSplits: spec.bn === 'split' ? spec.bnSplits : 1,
    // The given permutation applies to the keys with every kind of batch norm.
    shuffle,
    symmetric: spec.symmetric,
    optimizer: sgd({ momentum: spec.momentum, weightDecay: spec.wd }),
    exposeGradients: true,
  };
}

/** Slots of zeros, `q` and `queue` as given, `k` as given or equal to `q`. */
function initialState(config: MocoConfig, given: NamedTensors, source: string): Record<string, Tensor> {
  const known = initEncoder(config, 0);
  const side = (prefix: string, wanted: boolean) => {
    const own = Object.fromEntries(
      Object.entries(under(prefix, given)).filter(([name]) => !name.endsWith('num_batches_tracked')),
    );
    if (!wanted && Object.keys(own).length === 0) return undefined;
    const missing = Object.keys(known).filter((name) => !(name in own));
    const strange = Object.keys(own).filter((name) => !(name in known));
    if (missing.length > 0 || strange.length > 0)
      throw new CheckpointError(
        `${source}: ${prefix}.* is not of this arch: missing ${list(missing)}, unknown ${list(strange)}`,
        { code: 'checkpoint-mismatch' },
      );
    for (const [name, { shape }] of Object.entries(known))
      expectShape(source, `${prefix}.${name}`, own[name]!, shape);
    return own;
  };
  const q = side('q', true)!;
  const queue = given.queue;
  if (!queue) throw new CheckpointError(`${source} lacks "queue"`);
  expectShape(source, 'queue', queue, [config.dim, config.queueSize]);
  const k = side('k', false);
  return { ...mocoState(config, 0, q), ...(k && prefixed('k', k)), queue };
}

function feeds(
  given: NamedTensors,
  step: number,
  config: MocoConfig,
  source: string,
): Record<string, Tensor> {
  const { batch, shuffle, encoder, encoderConfig } = config;
  const shape = [batch, ...encoder.inputShape(encoderConfig)];
  const take = (name: string, expected: readonly number[]) => {
    const tensor = given[`${name}.${step}`];
    if (!tensor) throw new CheckpointError(`${source} lacks "${name}.${step}"`);
    expectShape(source, `${name}.${step}`, tensor, expected);
    return tensor;
  };
  const images = { xq: take('xq', shape), xk: take('xk', shape) };
  return shuffle ? { ...images, perm: take('perm', [batch]) } : images;
}

function expectShape(source: string, name: string, tensor: Tensor, shape: readonly number[]): void {
  if (tensor.shape.join() !== shape.join())
    throw new CheckpointError(
      `${source}: "${name}" is [${tensor.shape.join(', ')}], not [${shape.join(', ')}]`,
      { code: 'checkpoint-mismatch' },
    );
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'none';
  return names.slice(0, 3).join(', ') + (names.length > 3 ? ` and ${names.length - 3} more` : '');
}
