import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { moco, temporaryFolder } from '../testing.ts';
import { aliasLine } from './demo.ts';

it('names the command for who has it by npm run demo alone', () => {
  expect(aliasLine({}, ['node', '/x/bin.js'])).toBe('');
  expect(aliasLine({ npm_lifecycle_event: 'test' }, ['node', '/x/bin.js'])).toBe('');
  const line = aliasLine({ npm_lifecycle_event: 'demo' }, ['node', '/my own/bin.js']);
  // It can be pasted.
  const shell = spawnSync('sh', ['-c', `${line.slice(line.indexOf('alias'))}\nalias moco`], {
    encoding: 'utf8',
  });
  expect(shell.stdout).toContain('node "/my own/bin.js"');
});

it('leaves a run on emoji alone that another command made', async () => {
  const out = temporaryFolder();
  const checkpoint = join(out, 'checkpoint-0001.safetensors');
  writeFileSync(join(out, 'config.json'), JSON.stringify({ config: { data: 'emoji' } }));
  writeFileSync(checkpoint, '');
  const { code, err } = await moco('demo', '--out', out);
  expect([code, err]).toEqual([1, `moco: ${out} holds a run of another command; choose another --out\n`]);
  expect(existsSync(checkpoint)).toBe(true);
});
