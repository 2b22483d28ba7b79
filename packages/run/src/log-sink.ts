/** Where the log of a run goes beside its folder's `log.jsonl`: the contract of log sinks, and those that are known by name. */
import { printable, SettingError, say, settingRef, UserError, type Wording } from '@moco-ts/core';

/** A line of a run's log, as `log.jsonl` has it. */
export interface LogEntry {
  /**
   * `start`, `resume`, `step`, `epoch`, `evaluation`, `validation` (of a classifier), `unmeasured`, `checkpoint`, `alarm` or
   * `diverged`; later versions may have others.
   */
  readonly event: string;
  /** When it was written. */
  readonly at: Date;
  /** What the line tells besides: `epoch`, `step`, `globalStep`; of a `checkpoint` its `file`, of an `alarm` its `message`. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** What is drawn as curves. */
  readonly scalars?: Scalars;
}

/** Values of curves at a step. */
export interface Scalars {
  /** Steps since the start of the run. */
  readonly step: number;
  /** By names that may have a group: `loss`, `mean/loss`, `test/acc1`. Losses, rates in their units, accuracies in percent. */
  readonly values: Readonly<Record<string, number>>;
}

/** What a sink is told of a run before its first line. */
export interface RunFacts {
  /** The run folder, in which a sink may keep a file of its own. */
  readonly folder: string;
  /** All settings, defaults included: plain JSON. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** The data, the backend, versions: plain JSON. */
  readonly about: Readonly<Record<string, unknown>>;
  /** Steps that are done: more than 0 in a run that goes on. Lines from here on replace those of the same steps. */
  readonly step: number;
  /** Tells the user. */
  warn(text: Wording): void;
}

/** `stopped`: by a signal or after so many steps, to go on later. */
export type RunOutcome = 'done' | 'stopped' | 'failed';

/** A log that is open. */
export interface LogSink {
  /**
   * Takes a line. The run waits, so it should return at once; an error that it throws is told, and the sink gets no more lines.
   */
  write(entry: LogEntry): void;
  /** The run has ended, and waits for this: what can't be written within seconds should be given up. */
  close(outcome: RunOutcome): void | Promise<void>;
}

/** A kind of log. {@link defineLogSink} checks its type. */
export interface LogSinkPlugin {
  /** What `--log` calls it. */
  readonly name: string;
  /**
   * Called before anything is written.
   * @param target what follows the name: of `mlflow:http://127.0.0.1:5000` the address
   * @throws UserError for a target that is none
   */
  check?(target: string | undefined): void;
  /** @throws UserError, by which the run does not begin */
  open(run: RunFacts, target: string | undefined): LogSink | Promise<LogSink>;
}

/** A sink of a plugin, as it exports it. */
export const defineLogSink = <Plugin extends LogSinkPlugin>(plugin: Plugin): Plugin => plugin;

const registry = new Map<string, LogSinkPlugin>();

/** Makes a sink known by its name; a later one of the same name replaces it. @throws UserError for a name that `--log` could not tell from others */
export function registerLogSink(plugin: LogSinkPlugin): void {
  if (!/^[a-z0-9][a-z0-9._-]*$/i.test(plugin.name))
    throw new UserError(
      `a log sink can't be called "${printable(plugin.name)}": letters, digits, dots and dashes`,
      { code: 'plugin-invalid' },
    );
  registry.set(plugin.name, plugin);
}

/** A sink and what it is to write to. */
export interface NamedSink {
  readonly plugin: LogSinkPlugin;
  readonly target?: string;
}

/**
 * The sinks that `NAME` or `NAME:TARGET` name, or that are given themselves.
 * @throws SettingError for an unknown one, one named twice, and a target that is none
 */
export function logSinks(named: readonly (string | LogSinkPlugin)[]): NamedSink[] {
  const sinks = named.map((each): NamedSink => {
    if (typeof each !== 'string') return { plugin: each };
    const [, name = '', target] = /^([^:]*):?(.+)?$/s.exec(each) ?? [];
    const plugin = registry.get(name);
    if (!plugin)
      throw new SettingError(
        say`${settingRef('log')} names "${printable(name)}", which there is not; known are: ${[...registry.keys()].join(', ')}`,
        { value: each },
      );
    return target === undefined ? { plugin } : { plugin, target };
  });
  const names = sinks.map(({ plugin }) => plugin.name);
  const twice = names.find((name, at) => names.indexOf(name) < at);
  if (twice !== undefined)
    throw new SettingError(say`${settingRef('log')} names ${twice} twice`, { value: twice });
  for (const { plugin, target } of sinks) plugin.check?.(target);
  return sinks;
}
