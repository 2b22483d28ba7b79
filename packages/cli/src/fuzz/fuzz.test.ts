import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { decodeSafetensors } from '@moco-ts/core';
import { afterAll, describe, expect, it } from 'vitest';
import { fuzzCase } from './fuzz.ts';
import { fuzzTargets } from './targets.ts';

const targets = await fuzzTargets(
  fileURLToPath(new URL('../../../../parity/fixtures/exchange', import.meta.url)),
);
const cases = 120;

describe.each(targets.map((target) => [target.name, target] as const))('%s', (_, target) => {
  afterAll(() => target.dispose?.());

  it(`gives a clear error or a right answer, for ${cases} damaged files (seed 1)`, async () => {
    const faults: string[] = [];
    const outcomes = { read: 0, refused: 0 };
    for (let index = 0; index < cases; index++) {
      const { fault, tensors } = await fuzzCase(target, 1, index);
      outcomes[tensors ? 'read' : 'refused']++;
      if (fault !== undefined) faults.push(`${index}: ${fault}`);
    }
    expect(faults).toEqual([]);
    // Else the damage would be none, or nothing would be left to read.
    expect(outcomes.refused).toBeGreaterThan(cases / 10);
    expect(existsSync('code-of-a-file-was-run')).toBe(false);
  });
});

describe('a reader with a defect', () => {
  const [zip] = targets;
  const broken = async (read: (typeof targets)[number]['read'], checked = true) => {
    const { fault } = await fuzzCase({ ...zip!, mutate: (bytes) => bytes, read, checked }, 1, 3);
    return fault;
  };
  it('is found out', async () => {
    expect(
      await broken(async (bytes) => {
        throw new TypeError(`x of ${bytes.length}`);
      }),
    ).toMatch(/TypeError: x of/);
    const odd = { shape: [3], dtype: 'float32', data: new Float32Array(2) } as const;
    expect(await broken(async () => ({ odd }))).toMatch(/"odd" has 2 values for \[3\]/);
    let value = 0;
    expect(
      await broken(async () => ({ w: { shape: [1], dtype: 'float32', data: Float32Array.of(value++) } })),
    ).toMatch(/"w" is not what was written/);
    expect(await broken(async (bytes) => decodeSafetensors(bytes, 'a\nb').tensors, false)).toMatch(
      /no short, printable line/,
    );
  });
});
