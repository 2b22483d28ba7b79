/** The page: what is pressed goes to the workers, what they tell is shown. */
import type {
  Features,
  FileKind,
  FromTrainer,
  Mapped,
  Source,
  Started,
  Stepped,
  ToMapper,
  ToTrainer,
} from './messages.ts';
import { drawCurve, watchWidth } from './page/curve.ts';
import { byId, say } from './page/dom.ts';
import { createMap } from './page/map.ts';
import { neighboursOf, showNeighbours } from './page/neighbours.ts';
import { clearNumbers, showCompiling, showStart, showStep } from './page/numbers.ts';
import { type Gallery, openGallery } from './page/sheet.ts';
import { clearViews, showViews } from './page/views.ts';
import { startWorker } from './page/workers.ts';

type Phase = 'opening' | 'ready' | 'starting' | 'training' | 'paused' | 'finished';

const main = byId<HTMLButtonElement>('main');
const again = byId<HTMLButtonElement>('again');
const form = byId<HTMLFormElement>('settings');
const saves = [...document.querySelectorAll<HTMLButtonElement>('[data-save]')];

let phase: Phase = 'opening';
let gallery: Gallery | undefined;
let subjects = new Int32Array(0);
let started: Started | undefined;
/** What is open, in words. */
let described = '';
let losses: number[] = [];
let mapped: Mapped | undefined;
let chosen: number | undefined;
let atFirst: number | undefined;
/** Counts what was opened and started. */
let training = 0;

byId('stalled').remove();
/** Why a worker does nothing, once that is known. */
let [trainerFailed, mapperFailed]: (string | undefined)[] = [];
const trainer = startWorker(
  () => new Worker(new URL('./worker/trainer.ts', import.meta.url), { type: 'module' }),
  {
    does: 'trains',
    failed: (message) => {
      trainerFailed = message;
      hint('error', message);
      byId('images').textContent = described;
    },
  },
);
const mapper = startWorker(
  () => new Worker(new URL('./worker/mapper.ts', import.meta.url), { type: 'module' }),
  {
    does: 'draws the map',
    failed: (message) => {
      mapperFailed = message;
      sayOfMap(message);
    },
  },
);
function sayOfMap(text: string): void {
  byId('agreement').textContent = mapperFailed ?? text;
}
const tell = (message: ToTrainer) => trainer?.postMessage(message);

const map = createMap((index) => {
  chosen = index;
  near();
  if (index !== undefined && gallery && mapped) {
    const names = neighboursOf(mapped, index).map(({ index: at }) => gallery!.images[at]!.name);
    say(`${gallery.images[index]!.name}. Nearest: ${names.join(', ')}`);
  }
});
const near = () => gallery && showNeighbours(gallery, mapped, chosen, map.choose);

/** What the main button does. */
const labels: Readonly<Record<Phase, string>> = {
  opening: 'Start training',
  ready: 'Start training',
  starting: 'Starting',
  training: 'Pause',
  paused: 'Go on',
  finished: 'Train again',
};

function enter(next: Phase): void {
  phase = next;
  // Who stops must not see numbers that lag behind.
  if (next !== 'training') show();
  const busy = next === 'opening' || next === 'starting';
  main.textContent = labels[next];
  // Not `disabled`, which would take the keyboard's place away.
  main.setAttribute('aria-disabled', String(busy));
  again.hidden = next !== 'paused';
  for (const button of saves) button.disabled = !started || busy;
  document.body.dataset.phase = next;
}

function open(source: Source): void {
  if (trainerFailed) return;
  enter('opening');
  hint('error', undefined);
  byId('images').textContent = 'Loading images';
  tell({ type: 'open', source });
}

function start(): void {
  if (!form.reportValidity()) return;
  hint('error', undefined);
  training++;
  // The worker gives the earlier training up before it looks at the settings.
  clear();
  enter('starting');
  // Files are none of its fields.
  tell({ type: 'start', given: Object.fromEntries(new FormData(form)) as Record<string, string> });
}

/** Nothing of an earlier training stays. */
function clear(): void {
  started = undefined;
  newest = undefined;
  losses = [];
  atFirst = undefined;
  hint('error', undefined);
  hint('note', undefined);
  clearNumbers();
  clearViews();
}

/** A line below the numbers, or none. */
function hint(id: 'note' | 'error', text: string | undefined): void {
  byId(id).hidden = text === undefined;
  byId(id).textContent = text ?? '';
}

const handlers: {
  readonly [Type in FromTrainer['type']]: (message: Extract<FromTrainer, { type: Type }>) => void;
} = {
  opened: (message) => {
    training++;
    clear();
    gallery = openGallery(message);
    subjects = subjectsOf(gallery);
    map.open(gallery);
    mapped = undefined;
    near();
    sayOfMap('The map is drawn when training starts.');
    const { skipped, left, sheet } = message;
    const count = sheet.images.length.toLocaleString('en');
    const lost = [
      ...(skipped.length > 0
        ? [
            `${skipped.length} could not be read (${skipped.slice(0, 3).join(', ')}${skipped.length > 3 ? ', ...' : ''})`,
          ]
        : []),
      ...(left > 0 ? [`${left.toLocaleString('en')} more are left out, by chance and the seed`] : []),
    ];
    described = [`${count} images of ${message.name}`, ...lost].join('; ');
    byId('images').textContent = described;
    byId('emoji').setAttribute('aria-pressed', String(message.name === 'emoji'));
    byId('folder').parentElement!.classList.toggle('pressed', message.name !== 'emoji');
    enter('ready');
  },
  compiling: ({ backend }) => {
    showCompiling(backend);
    say(`Compiling for ${backend}.`);
  },
  started: (message) => {
    // Messages that arrived in between belong to an earlier training.
    clear();
    started = message;
    hint('note', message.note);
    showStart(message);
    enter('training');
    say(`Training has begun on ${message.backend}. ${message.note ?? ''}`);
  },
  step: (message) => {
    // The last ones of a training that is over.
    if (!started) return;
    losses.push(message.loss);
    redraw(message);
    if (message.views && gallery) showViews(gallery, message.views);
  },
  features: ({ step, dim, data }: Features) => {
    if (phase === 'opening' || phase === 'starting') return;
    const message: ToMapper = { training, step, dim, features: data, subjects };
    mapper?.postMessage(message, [data.buffer]);
  },
  finished: () => {
    enter('finished');
    say(`Training has ended after ${losses.length} steps, at a loss of ${losses.at(-1)?.toFixed(2)}.`);
  },
  file: ({ name, blob }) => {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`${name} is ready.`);
  },
  failed: ({ message, over }) => {
    hint('error', message);
    byId('images').textContent = described;
    show();
    if (over) started = undefined;
    enter(gallery ? (started ? 'paused' : 'ready') : 'opening');
  },
};

trainer?.addEventListener('message', ({ data }: MessageEvent<FromTrainer>) => {
  (handlers[data.type] as (message: FromTrainer) => void)(data);
});
mapper?.addEventListener('message', ({ data }: MessageEvent<Mapped>) => {
  if (data.training !== training) return;
  mapped = data;
  map.place(data);
  near();
  if (data.agreement === undefined) {
    sayOfMap(`After ${data.step} steps.`);
    return;
  }
  atFirst ??= data.agreement;
  sayOfMap(
    `The nearest is the other designer's drawing of the same thing for ${data.agreement.toFixed(0)} % of the images, ` +
      `after ${data.step} steps; untrained for ${atFirst.toFixed(0)} %.`,
  );
});

/** The charts are drawn this often, in milliseconds: steps may be faster. */
const REDRAW = 250;
let newest: Stepped | undefined;
function redraw(message: Stepped): void {
  if (newest === undefined) setTimeout(show, losses.length > 1 ? REDRAW : 0);
  newest = message;
}

function show(): void {
  const now = newest;
  newest = undefined;
  if (!now || !started) return;
  showStep(now, started, losses);
}

watchWidth(() => started && drawCurve(losses, started.chance));

function subjectsOf({ images }: Gallery): Int32Array<ArrayBuffer> {
  const numbers = new Map<string, number>();
  return Int32Array.from(images, ({ subject }) => {
    if (subject === undefined) return -1;
    if (!numbers.has(subject)) numbers.set(subject, numbers.size);
    return numbers.get(subject)!;
  });
}

main.addEventListener('click', () => {
  if (phase === 'training') {
    tell({ type: 'pause' });
    enter('paused');
    say(`Paused at step ${losses.length}.`);
  } else if (phase === 'paused') {
    tell({ type: 'go-on' });
    enter('training');
  } else if (phase === 'ready' || phase === 'finished') start();
});
again.addEventListener('click', () => {
  start();
  main.focus();
});
form.addEventListener('submit', (event) => event.preventDefault());
for (const button of saves)
  button.addEventListener('click', () => tell({ type: 'save', kind: button.dataset.save as FileKind }));
byId<HTMLInputElement>('folder').addEventListener('change', ({ target }) => {
  const files = [...((target as HTMLInputElement).files ?? [])];
  if (files.length === 0) return;
  const name = files[0]!.webkitRelativePath.split('/')[0] || 'the chosen files';
  open({ kind: 'folder', name, files, seed: Number(new FormData(form).get('seed')) || 0 });
});
const emoji = () =>
  open({
    kind: 'emoji',
    image: new URL('emoji.webp', document.baseURI).href,
    list: new URL('emoji.json', document.baseURI).href,
  });
byId('emoji').addEventListener('click', emoji);
emoji();
