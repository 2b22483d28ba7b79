import pc from 'picocolors';
import { describe, expect, it } from 'vitest';
import { guarded, oneLine, terminalText } from './io.ts';
import { moco } from './testing.ts';

describe('what a terminal is given', () => {
  const { bold, red, cyan, dim } = pc.createColors(true);
  it('keeps the colours of this program, lines and all writing', () => {
    const own = `${bold('1')} ${red(cyan('x'))}\t${dim('= 0.9')}\ncafé 猫 👩‍🎨\n`;
    expect(terminalText(own, true)).toBe(own);
  });
  it.each([
    ['a title', '\x1b]0;owned\x07', '\\u001b]0;owned\\u0007'],
    ['a cleared screen', '\x1b[2J\x1b[H', '\\u001b[2J\\u001b[H'],
    ['hidden text', '\x1b[8mrm -rf\x1b[0m', '\\u001b[8mrm -rf\x1b[0m'],
    ['the C1 form', '\x9b2J', '\\u009b2J'],
    ['the clipboard', '\x1b]52;c;cm0=\x1b\\', '\\u001b]52;c;cm0=\\u001b\\'],
    ['a line written over', 'bad\rgood', 'bad\\u000dgood'],
    ['letters taken back', 'bad\b\b\b', 'bad\\u0008\\u0008\\u0008'],
    ['writing turned round', 'a\u202egnp.exe', 'a\\u202egnp.exe'],
    ['a line of its own', 'a\u2028b', 'a\\u2028b'],
  ])('shows what would steer it: %s', (_, text, shown) => {
    expect(terminalText(text, true)).toBe(shown);
    // Without colours there is no escape of this program's either.
    expect(terminalText(text, false)).toBe(shown.replaceAll('\x1b', '\\u001b'));
  });
  it('stays JSON with the same values', () => {
    const value = { id: 'a\x9b2J\u202e\x1b[2J\x7f' };
    const line = terminalText(JSON.stringify(value), false);
    expect(line).toMatch(/^[ -~]+$/);
    expect(JSON.parse(line)).toEqual(value);
  });
  it('has names on one line', () => {
    expect(oneLine('a\n  1.0000  b\t')).toBe('a\\n  1.0000  b\\t');
  });
  it('goes through both streams', () => {
    const seen: string[] = [];
    const take = (text: string) => void seen.push(text);
    const io = guarded({ out: take, err: take, live: false, color: false });
    io.out('\x1b[2J');
    io.err('\x9b');
    expect(seen).toEqual(['\\u001b[2J', '\\u009b']);
  });
  it('is what every command prints', async () => {
    for (const args of [
      ['knn', 'no\x1b[2J'],
      ['search', 'no\x1b[2J.npy', 'x'],
      ['\x1b[2Jdance'],
      ['pretrain', 'no\x1b[2J'],
    ]) {
      const { code, out, err } = await moco(...args);
      expect([code, `${out}${err}`.includes('\x1b')]).toEqual([1, false]);
      expect(err).toMatch(/\\u001b\[2J|\?\[2J/);
    }
  });
});
