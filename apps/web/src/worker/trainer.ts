/** The worker that trains: the messages it receives and sends. */
import { BackendError, UserError } from '@moco-ts/core';
import type { Batch } from '@moco-ts/data/portable';
import { registerEncoders } from '@moco-ts/encoders';
import { type Settings, settingsOf } from '../fields.ts';
import type { FileKind, FromTrainer, Pixels, Source, ToTrainer } from '../messages.ts';
import { fallBack, type Opened, openBackend } from './backend.ts';
import { fit } from './fit.ts';
import { type ImageSet, openImages } from './images.ts';
import { type Begun, createTabSession, type SavedFile, type TabSession } from './session.ts';
import { slowness } from './trial.ts';
import { inLabels } from './words.ts';

registerEncoders();

let set: ImageSet | undefined;
let session: TabSession | undefined;
/** The loop that trains, one at most: another one, or none, and it ends after its step. */
let loop: symbol | undefined;
/** Trainings that another takes the place of: what becomes of them is of no interest. */
const givenUp = new WeakSet<TabSession>();
/** When the last loop, and all before it, have ended. */
let ended: Promise<void> = Promise.resolve();

/** Everything goes through here, one after the other: a training step and a download must not overlap. */
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}

const tell = (message: FromTrainer, transfer: Transferable[] = []) => postMessage(message, { transfer });

addEventListener('message', ({ data }: MessageEvent<ToTrainer>) => {
  handle(data).catch(fail);
});

async function handle(message: ToTrainer): Promise<void> {
  switch (message.type) {
    case 'open':
      loop = undefined;
      return inTurn(() => open(message.source));
    case 'start':
      loop = undefined;
      if (session) givenUp.add(session);
      await inTurn(() => start(message.given));
      return train();
    case 'pause':
      loop = undefined;
      return;
    case 'go-on':
      return loop ? undefined : train();
    case 'save':
      return inTurn(() => save(message.kind));
  }
}

function fail(error: unknown): void {
  loop = undefined;
  const known = error instanceof UserError;
  if (known && error.code === 'device-lost') {
    tell({
      type: 'failed',
      message: 'The GPU was lost, and the training with it: reload the page to start again.',
      over: true,
    });
    return;
  }
  tell({
    type: 'failed',
    message: known ? inLabels(error) : `Something went wrong: ${(error as Error).message}`,
    over: session === undefined || session.broken,
  });
  // A defect keeps its stack.
  if (!known) console.error(error);
}

async function open(source: Source): Promise<void> {
  // A folder that is refused takes nothing away.
  const next = await openImages(source);
  await close();
  set = next;
  const { name, sheet, image, skipped, left } = set;
  tell({ type: 'opened', name, sheet, image, skipped, left });
}

async function close(): Promise<void> {
  loop = undefined;
  const old = session;
  session = undefined;
  if (old) givenUp.add(old);
  await old?.dispose();
}

async function start(given: Readonly<Record<string, string>>): Promise<void> {
  if (!set) return;
  await close();
  const { settings: fitted, note: changed } = fit(settingsOf(given), set.images.length);
  const { opened, made } = await openSession(set, fitted);
  session = made;
  const { steps, chance, config, measure } = made;
  const note = [changed, opened.note].filter(Boolean).join(' ');
  tell({
    type: 'started',
    backend: opened.name,
    ...(note !== '' && { note }),
    arch: config.arch,
    steps,
    batchSize: config.batchSize,
    queue: config.mocoK,
    chance,
    ...(measure && { measure }),
  });
}

/** Why WebGPU is left alone, by what was tried on it; undefined where it is fast enough. */
const tried = new Map<string, string | undefined>();

/** A session on what was asked for; where that is open, on WebAssembly if WebGPU fails or is too slow. */
async function openSession(images: ImageSet, settings: Settings) {
  const on = async (opened: Opened) => {
    const automatic = opened.backend.name === 'webgpu' ? 'resnet-tiny' : 'resnet-micro';
    const arch = settings.arch === 'auto' ? automatic : settings.arch;
    return { opened, made: await createTabSession(images, settings, arch, opened.backend) };
  };
  const opened = await openBackend(settings.backend);
  if (settings.backend !== 'auto' || opened.backend.name !== 'webgpu') return on(opened);
  const { arch, batchSize, mocoK } = settings;
  const kind = [arch, batchSize, mocoK].join();
  if (!tried.has(kind)) {
    tell({ type: 'compiling', backend: opened.name });
    tried.set(kind, await trial(async () => (await on(opened)).made));
  }
  const reason = tried.get(kind);
  return on(reason === undefined ? opened : await fallBack('auto', reason));
}

/** Why a backend is no place to train, by two steps of a session of its own. */
async function trial(make: () => Promise<TabSession>): Promise<string | undefined> {
  try {
    const made = await make();
    const reason = await slowness(async () => (await made.step())?.result);
    const closed = made.dispose();
    // One that hangs is not waited for.
    closed.catch(() => undefined);
    if (reason === undefined) await closed;
    return reason;
  } catch (error) {
    if (!(error instanceof BackendError)) throw error;
    return `WebGPU failed (${inLabels(error)})`;
  }
}

/** Views are sent this often, in milliseconds. */
const VIEWS_EVERY = 700;
/** Features of all images take at most this share of the time. */
const SHARE = 0.2;

async function train(): Promise<void> {
  const trained = session;
  if (!trained) return;
  const own = Symbol('loop');
  loop = own;
  // Steps of a loop that was paused are still under way: with those of this one they would be too many.
  const result = ended
    .then(() => trainAs(own, trained))
    .catch((error: unknown) => {
      if (!givenUp.has(trained)) throw error;
    });
  ended = result.catch(() => undefined);
  return result;
}

async function trainAs(own: symbol, trained: TabSession): Promise<void> {
  let viewsAt = 0;
  let featuresAt = 0;
  const features = () =>
    inTurn(async () => {
      // Other images may have been opened while this waited.
      if (session !== trained) return;
      const began = performance.now();
      const { dim, data } = await trained.features();
      tell({ type: 'features', step: trained.begun, dim, data }, [data.buffer]);
      const now = performance.now();
      featuresAt = now + Math.max(1000, (now - began) / SHARE);
    });
  const underWay: Begun[] = [];
  const settle = async (remaining: number) => {
    while (underWay.length > remaining) {
      const { step, batch, result } = underWay.shift()!;
      const metrics = await result;
      if (givenUp.has(trained)) return;
      const now = performance.now();
      const views = now >= viewsAt ? { views: viewsIn(batch, trained) } : {};
      if (now >= viewsAt) viewsAt = now + VIEWS_EVERY;
      tell({ type: 'step', step, ...metrics, ...views });
    }
  };
  if (trained.begun === 0) await features();
  while (loop === own) {
    const begun = await inTurn(async () => (loop === own ? trained.step() : undefined));
    if (!begun) break;
    underWay.push(begun);
    await settle(trained.most);
    if (performance.now() >= featuresAt) await features();
    // WebAssembly never waits: without this no message would come in.
    await new Promise((resolve) => setTimeout(resolve));
  }
  // A closed training reports nothing more.
  if (session === trained) await settle(0);
  const finished = loop === own;
  // Another loop shows its own.
  if (loop === undefined || finished) await features();
  if (!finished || loop !== own) return;
  loop = undefined;
  tell({ type: 'finished' });
}

function viewsIn({ indices, views }: Batch, { config }: TabSession) {
  const [query, key] = views.map((view) => pixels(view, config)) as [Pixels, Pixels];
  return { image: indices[0]!, query, key };
}

/** The first image of a batch, as the eye sees it. */
function pixels(view: Float32Array, { imageSize: size, mean, std }: TabSession['config']): Pixels {
  const area = size * size;
  const data = new Uint8ClampedArray(area * 4).fill(255);
  for (let c = 0; c < 3; c++)
    for (let i = 0; i < area; i++) data[4 * i + c] = (view[c * area + i]! * std[c]! + mean[c]!) * 255;
  return { size, data };
}

async function save(kind: FileKind): Promise<void> {
  if (!session) return;
  const make: Record<FileKind, () => Promise<SavedFile>> = {
    model: session.model,
    checkpoint: session.checkpoint,
    features: session.featuresFile,
  };
  const { name, bytes } = await make[kind]();
  tell({ type: 'file', kind, name, blob: new Blob([bytes], { type: 'application/octet-stream' }) });
}
