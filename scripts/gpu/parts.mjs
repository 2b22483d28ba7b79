// What the GPU programme runs.

/** Where nothing is measured: only what hangs takes so long, in seconds. */
const PATIENT = 1800;

/** Sizes of the measured work, and of the trial on a machine without a GPU. */
const sizes = {
  full: {
    limit: (seconds) => seconds,
    kit: {
      seconds: 90,
      only: '.',
      products: '> (matmul|conv2d|conv2dInputGrad|conv2dFilterGrad|softmaxMatmul) >',
    },
    steps: ['--steps', '10', '--warmup', '4'],
    resnet: { arch: 'resnet50', imageSize: 224, batchSize: 256, mocoK: 65536 },
    vit: { arch: 'vit_small', imageSize: 224, batchSize: 256 },
    small: { arch: 'resnet18', stem: 'cifar', imageSize: 32, batchSize: 256, mocoK: 4096 },
    torch: {
      resnet: ['--arch', 'resnet50'],
      vit: ['--method', 'v3', '--arch', 'vit_small'],
      quick: 'amp,amp-compiled',
    },
    jax: ['--depths', '3,4,6,3', '--size', '224', '--batch', '256', '--queue', '65536'],
    run: { maxSteps: 24, epochs: 4 },
    loader: ['--batch', '256', '--size', '224', '--seconds', '3'],
  },
  tiny: {
    limit: () => PATIENT,
    kit: { seconds: PATIENT, only: '> (add|conv2dInputGrad) >', products: '> softmaxMatmul >' },
    steps: ['--steps', '2', '--warmup', '1'],
    resnet: { arch: 'resnet-micro', imageSize: 16, batchSize: 16, mocoK: 64 },
    vit: { arch: 'vit_tiny', imageSize: 32, batchSize: 4, mocoMlpDim: 64 },
    small: { arch: 'resnet-micro', imageSize: 16, batchSize: 16, mocoK: 64 },
    torch: {
      resnet: '--arch resnet-tiny --stem small --size 16 --batch 16 --moco-k 64 --steps 2 --warmup 1'.split(
        ' ',
      ),
      vit: '--method v3 --arch vit_tiny --batch 2 --steps 2 --warmup 1'.split(' '),
      // Processors emulate bfloat16.
      quick: 'fp32',
    },
    jax: ['--depths', '1,1,1,1', '--size', '32', '--batch', '16', '--queue', '64'],
    run: { maxSteps: 4, epochs: 2 },
    loader: ['--batch', '16', '--size', '32', '--seconds', '0.5'],
  },
};

/** Parts of one kind. Each has a program of the pack or of Python, and a limit in seconds. */
function makers({ kit, steps, limit }) {
  const part =
    (interpreter) =>
    (name, kind, seconds, ...program) => ({
      ...{ name, kind, seconds: limit(seconds) },
      program: [interpreter, ...program],
    });
  const [node, python] = [part('node'), part('python')];
  return {
    node,
    python,
    kit: (name, backend, ...args) => ({
      ...node(name, 'kit', kit.seconds + 30, 'kit.js', backend, '--seconds', `${kit.seconds}`, ...args),
      together: true,
    }),
    step: (name, backend, settings) => ({
      ...node(name, 'step', 90, 'step.js', backend, '--settings', JSON.stringify(settings), ...steps),
      waits: true,
    }),
    peer: (name, modes, args) => python(name, 'peer', 130, 'pytorch_gpu_step.py', ...args, '--modes', modes),
    /** Fills torch.compile's cache. */
    warm: (name, args) => ({
      ...python(name, 'warm', kit.seconds + 30, 'pytorch_gpu_step.py', ...args, '--modes', 'amp-compiled'),
      together: true,
    }),
  };
}

/**
 * The parts, by what is learnt from each for its time: the time may end before the list does.
 * @param device of XLA: `cuda`, `cpu`
 * @param tiny shapes that a processor takes seconds for
 * @param cores of this machine
 * @returns parts; those that are `together` are not timed, and run side by side before all others; those that `wait` do what
 * needs no device meanwhile
 */
export function partsOf({ device, tiny, cores }) {
  const size = tiny ? sizes.tiny : sizes.full;
  const { node, python, kit, step, peer, warm } = makers(size);
  const xla = `xla:${device}`;
  const { torch } = size;
  const v2 = { method: 'moco-v2', ...size.resnet, bn: 'plain' };
  const v3 = { method: 'moco-v3', ...size.vit };
  const small = { method: 'moco-v2', ...size.small, bn: 'shuffle' };
  const at = (precision, settings) => ({ ...settings, precision });
  const bf16 = at('bf16', v2);
  const once = ['--steps', '1', '--warmup', '1'];
  const run = JSON.stringify({ ...bf16, ...size.run, workers: Math.max(1, cores - 1) });
  const shards = `${Math.max(1, Math.floor(0.7 * cores))}`;
  const products = ['--only', size.kit.products, '--processes', '2', '--precision'];
  return [
    kit('kit', xla, '--only', size.kit.only, '--processes', shards),
    kit('kit-tf32', xla, ...products, 'tf32'),
    kit('kit-bf16', xla, ...products, 'bf16'),
    kit('kit-webgpu', 'webgpu', '--only', size.kit.only),
    ...(tiny
      ? []
      : [warm('warm-resnet', [...torch.resnet, ...once]), warm('warm-vit', [...torch.vit, ...once])]),
    step('resnet-bf16', xla, bf16),
    peer('torch-resnet-amp', torch.quick, torch.resnet),
    step('vit-bf16', xla, at('bf16', v3)),
    peer('torch-vit-amp', torch.quick, torch.vit),
    step('resnet-tf32', xla, at('tf32', v2)),
    node('run', 'run', 90, 'train.js', xla, '--settings', run),
    node('loader', 'loader', 60, 'loader.js', ...size.loader),
    step('resnet-fp32', xla, v2),
    step('resnet-groups-bf16', xla, { ...bf16, bn: 'shuffle', bnSplits: 8 }),
    step('resnet-checkpointed-bf16', xla, { ...bf16, checkpointActivations: true }),
    step('resnet-accumulated-bf16', xla, { ...bf16, accumulate: 4 }),
    step('webgpu', 'webgpu', small),
    peer('torch-resnet', 'tf32-channels_last,fp32-channels_last,tf32,fp32', torch.resnet),
    step('vit-tf32', xla, at('tf32', v3)),
    peer('torch-vit', 'tf32,fp32', torch.vit),
    python('jax-resnet', 'peer', 120, 'jax_step.py', ...size.jax),
    step('vit-fp32', xla, v3),
    step('small-bf16', xla, at('bf16', small)),
    peer('torch-groups', 'amp,tf32', [...torch.resnet, '--bn', 'split']),
  ];
}
