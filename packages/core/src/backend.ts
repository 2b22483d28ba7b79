/** The contract of backends, and the registry through which a command line finds them. */
import type { Communicator } from './communicator.ts';
import { BackendError } from './errors.ts';
import type { Graph } from './graph/graph.ts';
import { say, settingRef } from './message.ts';
import type { Precision } from './passes/precision.ts';
import type { HostDType, Tensor } from './tensor/tensor.ts';

/** The tensors of a program's inputs or outputs, by name. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** An input that stays in the program between runs. */
export interface StateSlot {
  readonly input: string;
  /** The output that replaces it after each run; without one the input keeps its value. */
  readonly output?: string;
}

export interface CompileOptions {
  /**
   * Inputs owned by the program: given once by {@link Program.load}, held where the device wants them (in its layout),
   * replaced after each run without a copy, and seen again only through {@link Program.read}.
   */
  readonly state?: readonly StateSlot[];
  /** Products may round their float32 operands to TF32, of 11 bits. Asked only of backends whose precisions have `tf32`. */
  readonly tf32?: boolean;
  /**
   * Joins the replicas of a graph with collectives, each of which compiles and runs it by itself. Default: the backend's
   * {@link Backend.replicas} all together.
   */
  readonly communicator?: Communicator;
}

/** Bytes, as far as the backend can tell. */
export interface ProgramMemory {
  /** State held between runs, both halves of double buffers included, and what lies between the stages of a run. */
  readonly stateBytes: number;
}

/**
 * A compiled graph.
 * Buffers: feeds and everything returned belong to the caller; the program keeps no reference to them after the
 * promise is settled. State belongs to the program until `dispose`.
 * Runs must not overlap: await one before the next, unless the backend's capabilities tell that they may.
 */
export interface Program {
  /**
   * Copies state in. Slots that are not named keep their value; all must have been given before the first run.
   * Throws BackendError, and changes nothing, for a name, type or size that doesn't fit.
   */
  load(state: Tensors): Promise<void>;
  /**
   * Runs once. Takes every input that is no state, gives every output that is no state.
   * Throws BackendError for a missing feed or one of another type, and leaves the state as it was. Where the computation
   * itself fails, state may be lost: runs and reads say so until it is loaded again.
   */
  run(feeds: Tensors): Promise<Record<string, Tensor>>;
  /** Copies state out, by the names of the state's inputs. Default: all of it. Throws BackendError before it was loaded. */
  read(names?: readonly string[]): Promise<Record<string, Tensor>>;
  readonly memory: ProgramMemory;
  dispose(): Promise<void>;
}

export interface Capabilities {
  readonly training: boolean;
  readonly inference: boolean;
  /** Of feeds, state and results. */
  readonly dtypes: readonly HostDType[];
  /** What steps may compute in; of `bf16` and `fp16` values between nodes have the type. Default `fp32` alone. */
  readonly precisions?: readonly Precision[];
  /** How the backend computes, for people: 'blocked nchwc16', 'NCHW'. */
  readonly lowering: string;
  /**
   * A run may begin before the results of the one before have come, which then need not be waited for: on a device that computes
   * by itself. State is replaced, loaded and read in the order of the calls. Default false.
   */
  readonly overlapping?: boolean;
  /**
   * Whether images are better given as bytes, to be normalised by the graph: where they are copied to a device of its own memory.
   * Default false.
   */
  readonly byteImages?: boolean;
}

/** Bytes of a device, as its allocator counts them. */
export interface DeviceMemory {
  readonly inUse: number;
  /** The most since the device was opened. */
  readonly peak?: number;
  readonly limit?: number;
}

/** What compiles and runs graphs. */
export interface Backend {
  /** As it was asked for. */
  readonly name: string;
  /** What it runs on, for people: 'cpu, 2 threads'. */
  readonly device: string;
  /** What else there is to say of it, in one line for people: versions, memory, files. */
  readonly details?: string;
  /** What it can do, for choices and tables. */
  capabilities(): Capabilities;
  /**
   * R, the replicas that a program of a graph with collectives runs at once, on a device each. State is the same on all. Feeds
   * hold the rows of all of them where the graph's input has those of one, else they go to each; results are replica 0's. Default 1.
   */
  readonly replicas?: number;
  /** Missing, or undefined, where nobody counts. */
  memory?(): DeviceMemory | undefined;
  /** Throws BackendError naming the op and the node when an op is lacking. */
  compile(graph: Graph, options?: CompileOptions): Promise<Program>;
  /** Frees the device; its programs must be disposed of before. */
  dispose(): Promise<void>;
}

export interface BackendOptions {
  /** Threads within an op; default: the machine's. */
  readonly threads?: number;
  /** The same bits on each run, at some cost in speed where the backend has a choice. */
  readonly deterministic?: boolean;
  /** The part after the colon in `ort:cuda`. */
  readonly device?: string;
  /** Further options of one backend. */
  readonly [option: string]: unknown;
}

/** A place where a backend computes: a line of `moco backends`, and what `auto` chooses among. */
export interface BackendDevice {
  /** What it is asked for by: the backend's name, alone or with a device behind a colon. */
  readonly name: string;
  /** `training`: fast enough to train on, so its speed is measured and `auto` may choose it; `check`: neither. */
  readonly speed: 'training' | 'check';
  /** Whether it computes on a GPU, in that one's memory. Default false. */
  readonly gpu?: boolean;
  /**
   * `driver`: opening it loads libraries that may write to the terminal or end the process, so that it is tried in a process of its
   * own. Default nothing.
   */
  readonly needs?: 'driver';
  /** As {@link Capabilities.precisions}, before it is opened. Default `fp32` alone. */
  readonly precisions?: readonly Precision[];
}

/** What a backend package exports. */
export interface BackendPlugin {
  /** What it is asked for by. */
  readonly name: string;
  /** Where it computes, the usual first; loads and opens nothing. Default: one device of its own name, for checks. */
  devices?(): readonly BackendDevice[];
  /** Opens the device. @throws BackendError when it is not usable here */
  create(options: BackendOptions): Promise<Backend>;
  /**
   * What {@link Backend.compile} gives its engine, as a text; the same graph gives the same one. Opens no device. Missing where the
   * engine takes no text.
   * @throws BackendError as compile does
   */
  lower?(graph: Graph, options?: CompileOptions): Promise<string>;
}

/** Marks an object as a backend plugin, with its type checked. */
export function defineBackend(plugin: BackendPlugin): BackendPlugin {
  return plugin;
}

const registry = new Map<string, () => Promise<BackendPlugin>>();

/** Makes a backend known under a name; `load` is called when the backend is first asked for. */
export function registerBackend(name: string, load: () => Promise<BackendPlugin>): void {
  registry.set(name, load);
}

export function backendNames(): string[] {
  return [...registry.keys()].sort();
}

/** The devices of a backend; of one that declares none, one for checks. */
export function devicesOf({
  name,
  devices,
}: Pick<BackendPlugin, 'name' | 'devices'>): readonly BackendDevice[] {
  return devices?.() ?? [{ name, speed: 'check' }];
}

/** The devices of all registered backends, in the order of registration. One that fails to load is listed by its name. */
export async function backendDevices(): Promise<BackendDevice[]> {
  const devices = [...registry].map(async ([name, load]) =>
    load().then(devicesOf, () => devicesOf({ name })),
  );
  return (await Promise.all(devices)).flat();
}

/** Whether a backend or a device computes in a precision. */
export const computesIn = (
  { precisions = ['fp32'] }: Pick<Capabilities, 'precisions'>,
  precision: Precision,
): boolean => precisions.includes(precision);

/** @throws BackendError, with the registered devices that compute in the precision, where a backend does not */
export async function checkPrecision(backend: Backend, precision: Precision): Promise<void> {
  const capabilities = backend.capabilities();
  if (computesIn(capabilities, precision)) return;
  const { precisions = ['fp32'] } = capabilities;
  const able = (await backendDevices()).filter((device) => computesIn(device, precision));
  const others = able.map(({ name }) => name).join(', ');
  throw new BackendError(
    say`${backend.name} computes in ${precisions.join(', ')} alone: leave out ${settingRef('precision', precision)}${others && say`, or choose ${settingRef('backend', others)}`}`,
    { code: 'backend-unsupported', setting: 'precision', value: precision },
  );
}

/**
 * Creates a backend by its name, such as `ort` or `ort:cuda`.
 * @throws BackendError for an unknown name, or when a package that it needs is not installed
 */
export async function createBackend(name: string, options: BackendOptions = {}): Promise<Backend> {
  const colon = name.indexOf(':');
  const plugin = await pluginOf(name);
  return plugin.create(colon < 0 ? options : { ...options, device: name.slice(colon + 1) });
}

/**
 * A graph as the text that a backend gives its engine. No device is opened.
 * @param name of the backend, such as `xla:cuda`
 * @throws BackendError for an unknown name, a backend whose engine takes no text, an op that it lacks
 */
export async function lowerGraph(name: string, graph: Graph, options: CompileOptions = {}): Promise<string> {
  const { lower } = await pluginOf(name);
  if (!lower)
    throw new BackendError(`${name} gives its engine no text that could be written out, as xla does`, {
      code: 'backend-unsupported',
      setting: 'backend',
      value: name,
    });
  return lower(graph, options);
}

async function pluginOf(name: string): Promise<BackendPlugin> {
  const load = registry.get(name.split(':')[0]!);
  if (load) return load();
  throw new BackendError(`there is no backend "${name}"; registered are: ${backendNames().join(', ')}`, {
    code: 'backend-unknown',
    setting: 'backend',
    value: name,
  });
}
