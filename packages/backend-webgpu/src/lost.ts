/** What is lost when the device is: a driver was reset, a GPU unplugged, memory overrun. */
import { BackendError, type Program, say, settingRef } from '@moco-ts/core';

export interface Device {
  readonly lost: Promise<{ readonly message: string }>;
}

/** What waits for a lost device waits for ever: with this it rejects with a BackendError instead. */
export type Guard = <T>(work: Promise<T>) => Promise<T>;

export function guardOf(device: Device): Guard {
  const waiting = new Set<(error: BackendError) => void>();
  let failure: BackendError | undefined;
  device.lost.then(({ message }) => {
    const reason = message.split('\n')[0]!.replace(/\.$/, '');
    failure = new BackendError(
      say`the GPU was lost${reason === '' ? '' : ` (${reason})`}, and what it held with it; start again, with ${settingRef('resume')} from the last checkpoint`,
      { code: 'device-lost' },
    );
    for (const reject of waiting) reject(failure);
  });
  // No Promise.race: each would stay with `lost`, which settles at no step, and a long run takes millions.
  return (work) =>
    new Promise((resolve, reject) => {
      if (failure) reject(failure);
      else waiting.add(reject);
      work.then(resolve, reject).finally(() => waiting.delete(reject));
    });
}

export function guarded(program: Program, guard: Guard): Program {
  return {
    memory: program.memory,
    load: (state) => guard(program.load(state)),
    run: (feeds) => guard(program.run(feeds)),
    read: (names) => guard(program.read(names)),
    dispose: () => program.dispose(),
  };
}
