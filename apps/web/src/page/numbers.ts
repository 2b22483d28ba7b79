/** The numbers below the progress bar, the curve and the queue: of the training under way, or of none. */
import type { Measure, Started, Stepped } from '../messages.ts';
import { drawCurve } from './curve.ts';
import { byId } from './dom.ts';
import { drawQueue, emptyQueue } from './queue.ts';

const progress = () => byId<HTMLProgressElement>('progress');
const put = (name: string, text: string) => {
  byId(`n-${name}`).textContent = text;
};

/** As before the first training. */
export function clearNumbers(): void {
  for (const name of ['loss', 'measure', 'time', 'backend']) put(name, '-');
  put('step', '0');
  Object.assign(progress(), { value: 0, max: 1 });
  byId('curve').replaceChildren();
  emptyQueue();
}

/** What else than the loss the method's steps tell, and its name. */
function showMeasure(measure: Measure | undefined): void {
  const place = byId('measure');
  place.hidden = measure === undefined;
  place.title = measure?.note ?? '';
  place.firstElementChild!.textContent = measure?.title ?? '';
}

/** Before the first step, which takes as long as kernels are compiled. */
export function showStart({ backend, arch, steps, chance, queue, batchSize, measure }: Started): void {
  showMeasure(measure);
  put('backend', `${backend}, ${arch}`);
  put('step', `0 of ${steps}`);
  put('time', 'compiling');
  Object.assign(progress(), { value: 0, max: steps });
  drawCurve([], chance);
  drawQueue(0, queue, batchSize);
}

export function showCompiling(backend: string): void {
  put('backend', backend);
  put('time', 'compiling');
}

/** @param losses of all steps so far */
export function showStep(
  { step, loss, measured, milliseconds }: Stepped,
  { steps, chance, queue, batchSize, measure }: Started,
  losses: readonly number[],
): void {
  put('step', `${step} of ${steps}`);
  put('loss', loss.toFixed(3));
  if (measure) put('measure', `${measured!.toFixed(0)} ${measure.unit === 'percent' ? '%' : measure.unit}`);
  put(
    'time',
    milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`,
  );
  progress().value = step;
  drawCurve(losses, chance);
  drawQueue(step, queue, batchSize);
}
