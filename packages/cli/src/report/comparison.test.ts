import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryFolder } from '../testing.ts';
import { comparisonOf } from './comparison.ts';

it('shows what train compared, and nothing of other runs and damaged files', async () => {
  const folder = temporaryFolder();
  const write = (text: string) => writeFileSync(join(folder, 'train.json'), text);
  expect(await comparisonOf(folder)).toBe('');
  for (const damaged of ['{"rows"', '3', 'null', '{"rows":[3,null,{"measure":"<b>"}]}']) {
    write(damaged);
    expect(await comparisonOf(folder), damaged).toBe('');
  }
  const row = { measure: 'editedCopies', pixels: 20, before: 12.34, after: 56.78, chance: '<i>' };
  write(JSON.stringify({ rows: [row], images: 40 }));
  const page = await comparisonOf(folder);
  expect(page).toContain('On 40 images');
  expect(page).toContain(
    '<td>edited copies, R@1</td><td class="n">20.0 %</td><td class="n">12.3 %</td><td class="n">56.8 %</td><td class="n"></td>',
  );
  expect(page).not.toContain('<i>');
});
