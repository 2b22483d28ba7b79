import { execFileSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { counted, quoted } from './text.ts';

it('leaves arguments alone that a shell takes as they are', () => {
  for (const path of ['runs/photos', '/data/a_b-c.d', 'C:/x', 'café/日本', 'a=b,c+d@e%f'])
    expect(quoted(path)).toBe(path);
});

it.each([
  ...[
    'my photos/2019',
    "it's",
    '$HOME',
    '`id`',
    'a;b',
    '~',
    '~user',
    '*',
    '!x',
    '"',
    '\\',
    '#x',
    'a&b',
    '(x)',
    ' ',
  ],
  ...[
    'line\nbreak',
    '\x1b[31mred',
    "tab\tand 'quote' \\",
    '\u202Eevil',
    '',
    'a|b',
    '<x>',
    '{a,b}',
    '[x]',
    '?',
  ],
])('gives %j back to a shell that reads it', (argument) => {
  const run = (shell: string) =>
    execFileSync(shell, ['-c', `printf %s ${quoted(argument)}`], { encoding: 'utf8' });
  expect(run('bash')).toBe(argument);
  expect(quoted(argument)).not.toMatch(/[\p{C}]/u);
});

it('does not let a path pass for a flag', () => {
  expect(quoted('-rf')).toBe('./-rf');
  expect(quoted('-a b')).toBe("'./-a b'");
});

it('counts one as one', () => {
  expect([0, 1, 2].map((n) => counted(n, 'epoch'))).toEqual(['0 epochs', '1 epoch', '2 epochs']);
  expect(counted(1, 'class', 'classes') + counted(3, 'class', 'classes')).toBe('1 class3 classes');
});
