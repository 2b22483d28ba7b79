/** The evaluations during a run. */
import { counted } from '@moco-ts/core';
import {
  type Checkpoint,
  type Done,
  isDue as isDueBetween,
  type Position,
  queryParams,
  type RunConfig,
} from '@moco-ts/run';
import type { Best } from './best-file.ts';
import type { Run } from './course.ts';
import { type Measures, measuredOr, measureRows } from './evaluate.ts';
import { loggedOf, type RunLog } from './log.ts';
import type { Reporter } from './reporter.ts';
import type { Selection } from './selection.ts';

/** Where a run goes on. */
interface Standing {
  readonly position: Position;
  readonly ended: boolean;
}

export function createEvaluator(
  { trainer, backend, evaluation, pool, course, loader, position: start }: Run,
  config: RunConfig,
  log: RunLog,
  reporter: Reporter,
  selection: Selection,
) {
  let last: { readonly measures?: Measures; readonly unmeasured?: string } = {};
  let measuredAt: number | undefined;
  /** When it was asked last whether one is due. */
  let before: Done = { epoch: start.epoch, progress: course.time ? 0 : course.progress(start) };
  return {
    /** What the last one measured, or why it measured nothing. */
    get last() {
      return last;
    },
    /**
     * Whether one is due at the end of an epoch.
     * @param epoch epochs that are done
     * @param progress the share of the run that is done
     */
    isDue(epoch: number, progress: number): boolean {
      const now = { epoch, progress };
      const due = evaluation !== undefined && isDueBetween(config.measureEvery, before, now);
      before = now;
      return due;
    },
    /** @param loss the mean of the epoch that was done last */
    async measure(at: Position, loss: number | undefined): Promise<void> {
      const { globalStep } = at;
      // In mid-epoch a fraction.
      const epoch = Number((at.epoch + at.step / loader.stepsPerEpoch).toFixed(2));
      measuredAt = globalStep;
      const params = await queryParams(trainer);
      const measured = await course.between('evaluation', () =>
        measuredOr(() => evaluation!.run(backend, params, pool)),
      );
      if (typeof measured === 'string') {
        last = { unmeasured: measured };
        log.write('unmeasured', { epoch, message: measured });
        reporter.warn(`epoch ${epoch} could not be measured: ${measured}`);
        return;
      }
      const { timing, ...measures } = measured;
      last = { measures };
      // Before the log: what is not in the log is measured again when the run goes on.
      await selection.add(at, measures, loss);
      const { best } = selection;
      const isBest = best && best.best.globalStep === globalStep;
      const values = { ...measures, ...(best && { [`best/${best.by}`]: best.best.value }) };
      log.write(
        'evaluation',
        { epoch, globalStep, ...measures, ...timing, ...(isBest && { best: true }) },
        { step: globalStep, values },
      );
      reporter.note(`Epoch ${epoch}: ${describe(measures)}${isBest ? ' (best)' : ''}`);
      reporter.measured?.(epoch, measures, isBest);
    },
    /** A kill may have come between a checkpoint and its evaluation; of a run that has ended the result has the last one. */
    async makeUp({ info }: Checkpoint, folder: string, { position, ended }: Standing): Promise<void> {
      const { epoch, step } = position;
      const at = epoch + step / loader.stepsPerEpoch;
      const now = ended ? 1 : (course.time?.record(position).progress ?? course.progress(position));
      const longer = (config.time ?? 1) / (info.config.time ?? config.time ?? 1);
      const doneAfter = async (epochs: number) =>
        (await loggedDone(folder, epochs, longer)) ?? (now * epochs) / (at || 1);
      const wasAsked = step > 0 ? epoch : Math.max(0, epoch - 1);
      before = { epoch: wasAsked, progress: await doneAfter(wasAsked) };
      if (epoch === 0 || step > 0) return;
      const isDue = this.isDue(epoch, ended ? 1 : await doneAfter(epoch));
      if (!isDue || (!ended && (await loggedOf(folder, 'evaluation', epoch)))) return;
      const { loss } = (await loggedOf(folder, 'epoch', epoch - 1)) ?? {};
      await this.measure(position, typeof loss === 'number' ? loss : undefined);
    },
    /** Where a training ended by its time, which may be in mid-epoch. */
    async atEnd(at: Position): Promise<void> {
      if (evaluation && measuredAt !== at.globalStep) await this.measure(at, undefined);
    },
  };
}

/** The share of a run that was done after epochs, where its log has it. @param longer its time now, of what it was */
async function loggedDone(folder: string, epochs: number, longer: number): Promise<number | undefined> {
  const { done } = (await loggedOf(folder, 'epoch', epochs - 1)) ?? {};
  return typeof done === 'number' ? done / longer : undefined;
}

/** Of a run whose patience came to its end. */
export function tellEarly(best: Best, log: RunLog, reporter: Reporter): void {
  const message = `No better checkpoint in ${counted(best.waited, 'evaluation')}: the run ends`;
  log.write('early', { message });
  reporter.note(`${message}.`);
}

function describe(measures: Measures): string {
  return measureRows(measures)
    .map(([name, value]) => `${name} ${value.toFixed(2)} %`)
    .join(', ');
}
