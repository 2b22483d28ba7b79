// The same run whatever the number of workers, and twice the same.
import { join } from 'node:path';
import { finish, flags, unlike } from './lib.mjs';

export const name = 'other numbers of workers';

const methods = {
  'moco-v1': [],
  'moco-v2': [],
  'moco-v3': ['--moco-mlp-dim', '32'],
  simclr: [],
  instdisc: [],
};

export async function run({ work, data, quick }) {
  const failures = [];
  let tried = 0;
  for (const [method, more] of Object.entries(methods)) {
    const take = async (workers, folder = join(work, `workers-${method}-${workers}`)) => {
      const own = [...more, '-j', String(workers), '--max-steps', '6'];
      const { code, err } = await finish(flags(data, folder, own, method));
      if (code !== 0) failures.push(`${method}, ${workers} workers: ${err.trim()}`);
      return folder;
    };
    const first = await take(0);
    for (const workers of quick ? [2] : [0, 1, 2, 3]) {
      tried++;
      const why = unlike(await take(workers, join(work, `workers-${method}-${workers}-again`)), first);
      if (why) failures.push(`${method}, ${workers} workers: ${why}`);
    }
  }
  return {
    tried,
    survived: tried - failures.length,
    lost: 0,
    failures,
    detail: 'five methods, losses and state equal to the bit',
  };
}
