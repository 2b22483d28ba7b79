/** The ONNX Runtime backend: on the CPU, or through one of its providers for GPUs. */
import { readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import {
  type Backend,
  type BackendDevice,
  BackendError,
  type BackendOptions,
  type Communicator,
  defineBackend,
} from '@moco-ts/core';
import { OnnxBuilder } from '@moco-ts/onnx';
import type * as Ort from 'onnxruntime-node';
import { type LoweredModel, lowerStages } from './lower.ts';
import { probeBlock } from './probe.ts';
import { createProgram } from './program.ts';
import { loadRuntime, refusal, runtimeFolder, threading } from './runtime.ts';
import { type CompiledStage, computes, cut } from './steps.ts';

export interface OrtOptions extends BackendOptions {
  /** Channels in a block of the nchwc domain: 16, 8, or 0 for plain NCHW. Default: probed once. */
  readonly block?: number;
  /** Writes ONNX Runtime's own profile of each program to this path's prefix. */
  readonly profile?: string;
}

let probed: Promise<number> | undefined;

/** The block asked for, or the best. The plain layout needs no probe. Throws BackendError for one that computes wrongly here. */
async function usableBlock(ort: typeof Ort, asked?: number): Promise<number> {
  if (asked === 0) return 0;
  probed ??= probeBlock(ort);
  const best = await probed;
  if (asked !== undefined && asked !== best)
    throw new BackendError(
      `blocks of ${asked} channels don't compute right here; usable: ${best === 0 ? 0 : `${best} or 0`}`,
    );
  return best;
}

/** The devices behind the colon of `ort:cuda`. */
const devices = {
  cpu: { name: 'ort', speed: 'training' },
  cuda: { name: 'ort:cuda', speed: 'training', gpu: true, needs: 'driver' },
  webgpu: { name: 'ort:webgpu', speed: 'training', gpu: true, needs: 'driver' },
} as const satisfies Record<string, BackendDevice>;
type Device = keyof typeof devices;

async function create(options: BackendOptions): Promise<Backend> {
  const { device = 'cpu', threads = availableParallelism(), block: asked, profile } = options as OrtOptions;
  if (!Object.hasOwn(devices, device))
    throw new BackendError(
      `the backend ort has no device "${device}"; known are: ${Object.keys(devices).join(', ')}`,
      { code: 'backend-unknown', setting: 'backend', value: `ort:${device}` },
    );
  const ort = await loadRuntime();
  if (device !== 'cpu') await tryProvider(ort, device as Exclude<Device, 'cpu'>);
  const block = device === 'cpu' ? await usableBlock(ort, asked) : 0;
  return {
    name: devices[device as Device].name,
    device: device === 'cpu' ? `cpu, ${threads} ${threads === 1 ? 'thread' : 'threads'}` : device,
    capabilities: () => ({
      training: device !== 'webgpu',
      inference: true,
      dtypes: ['float32', 'int32', 'uint8', 'bool'],
      lowering: block === 0 ? 'NCHW' : `NCHW${block}c`,
    }),
    compile: async (graph, compileOptions = {}) => {
      if (device === 'webgpu' && compileOptions.state?.some(({ output }) => output !== undefined))
        throw new BackendError(
          "ort:webgpu does not train: ONNX Runtime 1.30's WebGPU provider gives other bits each time, and wrong ones for some shapes; it computes features (knn, export); train on ort or webgpu",
          { code: 'backend-unsupported', setting: 'backend', value: 'ort:webgpu' },
        );
      const stages = cut(graph, compileOptions);
      const alike = stages.length === 1 || (await sameEverywhere(block, compileOptions.communicator!));
      const { models, held } = lowerStages(graph, stages, compileOptions.state ?? [], block, alike);
      const compiled: CompiledStage[] = [];
      try {
        for (const [i, stage] of stages.entries()) {
          const model = models[i]!;
          const session = computes(stage)
            ? await ort.InferenceSession.create(model.bytes, {
                executionProviders: providers(device as Device, model),
                ...threading(threads),
                // The layout pass above this level would rewrite what is blocked already.
                graphOptimizationLevel: 'extended',
                logSeverityLevel: 3,
                // The planned layout also sums values that never live at the same time: 30 % more memory, and no faster.
                enableMemPattern: false,
                ...(profile === undefined ? {} : { enableProfiling: true, profileFilePrefix: profile }),
              }).catch((error: Error) => {
                throw refusal(error);
              })
            : undefined;
          compiled.push({ stage, model, session });
        }
        return createProgram(ort, graph, compiled, held, compileOptions, block);
      } catch (error) {
        for (const { session } of compiled) await session?.release();
        throw error;
      }
    },
    dispose: async () => {},
  };
}

/** Whether all replicas have one block, so that values may be summed as they are held. */
async function sameEverywhere(block: number, communicator: Communicator): Promise<boolean> {
  const blocks = new Int32Array(communicator.size);
  await communicator.allGather(Int32Array.of(block), blocks);
  return blocks.every((other) => other === block);
}

/** What a provider lacks runs on the CPU. */
function providers(
  device: Device,
  { notOnWebgpu }: LoweredModel,
): Ort.InferenceSession.ExecutionProviderConfig[] {
  if (device === 'cpu') return ['cpu'];
  if (device === 'cuda') return ['cuda', 'cpu'];
  // It takes no empty list.
  const forced = notOnWebgpu.length > 0 ? { forceCpuNodeNames: [...notOnWebgpu] } : {};
  return [{ name: 'webgpu', ...forced }, 'cpu'];
}

/** What a provider's absence is mended by. */
const remedies: Readonly<Record<Exclude<Device, 'cpu'>, string>> = {
  cuda:
    "it needs an NVIDIA GPU with CUDA 12 and cuDNN 9, and ONNX Runtime's CUDA libraries, which are not downloaded by " +
    'default: npm rebuild onnxruntime-node --foreground-scripts --onnxruntime-node-install=cuda12',
  webgpu: 'it needs a GPU with a Vulkan, Metal or Direct3D 12 driver',
};

/** Throws BackendError, with what to do, for a provider on which a small model doesn't run. */
async function tryProvider(ort: typeof Ort, device: Exclude<Device, 'cpu'>): Promise<void> {
  // Asked for before ONNX Runtime is: it would write pages of its own to the terminal.
  if (device === 'cuda' && !hasCudaLibraries())
    throw unusable('cuda', `ort:cuda is not usable here: its libraries are missing; ${remedies.cuda}`);
  try {
    const x = new ort.Tensor('float32', Float32Array.of(1, 2), [2]);
    const session = await ort.InferenceSession.create(tinyModel(), {
      executionProviders: [device],
      logSeverityLevel: 4,
    });
    const { y } = await session.run({ x });
    await session.release();
    if (y!.data[1] !== 4) throw new Error('it computes wrongly');
  } catch (error) {
    // Dawn puts its source line before the reason.
    const reason = (error as Error).message.split('\n')[0]!.replace(/^.*was false\. /, '');
    throw unusable(device, `ort:${device} is not usable here (${reason}); ${remedies[device]}`, error);
  }
}

const unusable = (device: Device, text: string, cause?: unknown) =>
  new BackendError(text, { code: 'backend-unavailable', setting: 'backend', value: `ort:${device}`, cause });

function hasCudaLibraries(): boolean {
  const folder = join(runtimeFolder(), 'bin', 'napi-v6', process.platform, process.arch);
  return readdirSync(folder).some((name) => name.includes('providers_cuda'));
}

/** y = x + x */
function tinyModel(): Uint8Array {
  const onnx = new OnnxBuilder();
  const type = { dtype: 'float32', shape: [2] } as const;
  const x = onnx.input('x', type, type.shape);
  onnx.output('y', onnx.op('Add', [x, x]), type, type.shape);
  return onnx.encode({ opset: 18, name: 'try' });
}

export const ortPlugin = defineBackend({ name: 'ort', devices: () => Object.values(devices), create });
