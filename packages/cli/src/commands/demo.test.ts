import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
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
