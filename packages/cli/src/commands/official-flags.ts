/** The flags by which the official scripts spread a training over GPUs and machines, in the words of this program. */
import { SettingError, say, settingRef, type Wording } from '@moco-ts/core';
import { alone, type World } from '@moco-ts/node';
import type { RunFlags } from '@moco-ts/run';
import { Option } from 'commander';
import { integer, oneOf } from './flags.ts';

export interface OfficialFlags {
  readonly worldSize?: number;
  readonly rank?: number;
  readonly distUrl?: string;
  readonly distBackend?: string;
  readonly gpu?: number;
  readonly multiprocessingDistributed?: true;
}

/** Not in `--help`: nobody who doesn't know them needs them. */
export const officialOptions = (): Option[] =>
  [
    new Option('--world-size <n>', 'processes that share the run').argParser(integer(-1, 65_536)),
    new Option('--rank <n>', 'number of this process').argParser(integer(-1, 65_535)),
    new Option('--dist-url <url>', 'where processes meet: mpirun knows'),
    new Option('--dist-backend <name>', 'what joins processes').argParser(oneOf(['nccl', 'gloo', 'mpi'])),
    new Option('--gpu <n>', 'the device').argParser(integer(0, 65_535)),
    new Option('--multiprocessing-distributed', 'all devices'),
  ].map((option) => option.hideHelp());

type Given = OfficialFlags & Pick<RunFlags, 'devices' | 'backend'> & { readonly resume?: string };

/**
 * The settings that they stand for. What joins processes, and where they meet, is mpirun's: these say nothing here.
 * @throws SettingError with the line to use instead, for what mpirun has to do
 */
export function fromOfficial<Flags extends Given>(
  given: Flags,
  note: (text: Wording) => void,
  { rank: own, size }: World = alone,
): Omit<Flags, keyof OfficialFlags> {
  const {
    worldSize = -1,
    rank = -1,
    distUrl,
    distBackend,
    gpu,
    multiprocessingDistributed,
    ...flags
  } = given;
  if (worldSize > 0 && worldSize !== size)
    throw refused(
      say`${settingRef('worldSize', worldSize)}: ${size === 1 ? 'this is one process by itself' : `mpirun started ${size}`}; start as many by mpirun -n ${worldSize} moco pretrain ..., without ${settingRef('rank')} and ${settingRef('distUrl')}`,
      'worldSize',
    );
  if (rank > -1 && rank !== own)
    throw refused(
      say`${settingRef('rank', rank)}: mpirun -n N moco pretrain ... gives each process its own, and this one has ${own}; leave it out`,
      'rank',
    );
  if (gpu !== undefined && gpu > 0)
    throw refused(
      say`${settingRef('gpu', gpu)}: choose a device by CUDA_VISIBLE_DEVICES=${gpu} moco pretrain ..., or several by ${settingRef('devices', '0,1')}`,
      'gpu',
    );
  if (flags.devices !== undefined || size > 1) return flags;
  if (gpu === 0) return isXla(flags) ? { ...flags, devices: '1' } : flags;
  if (!multiprocessingDistributed) return flags;
  if (isXla(flags)) return { ...flags, devices: 'all' };
  // Of a run that goes on, its checkpoint knows the backend and the devices.
  if (flags.resume !== undefined) return flags;
  note(
    say`${settingRef('multiprocessingDistributed')}: this is one replica; GPUs of a machine share batches with ${settingRef('backend', 'xla:cuda')}, processes by mpirun -n N moco pretrain ...`,
  );
  return flags;
}

const isXla = ({ backend = '' }: { readonly backend?: string | undefined }) => /^xla(:|$)/.test(backend);

const refused = (text: Wording, setting: keyof OfficialFlags) =>
  new SettingError(text, { code: 'setting-conflict', setting });
