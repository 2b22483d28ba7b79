/** What `moco train` compared, for the page of its run. */
import { join } from 'node:path';
import { jsonIfThere, measureNames, measureTitles } from '@moco-ts/node';
import { percent } from '../format.ts';
import { table } from '../html/page.ts';

const columns = ['pixels', 'before', 'after', 'chance'] as const;

/** A table of the encoder beside raw pixels, the untrained network and chance; empty for a run that compared nothing. */
export async function comparisonOf(folder: string): Promise<string> {
  const { rows, images } = await jsonIfThere(join(folder, 'train.json'));
  const compared = Array.isArray(rows) ? rows.map((row) => Object(row) as Record<string, unknown>) : [];
  const lines = measureNames.flatMap((measure) => {
    const row = compared.find((one) => one.measure === measure);
    const cells = columns.map((name) => (typeof row?.[name] === 'number' ? percent(row[name]).trim() : ''));
    return row ? [[measureTitles[measure], ...cells]] : [];
  });
  if (lines.length === 0) return '';
  return `<h2>Compared</h2>
<p>On ${Number(images)} images, by the same read-out.</p>
${table(['', 'raw pixels', 'untrained', 'trained', 'chance'], lines, ['', 'n', 'n', 'n', 'n'])}`;
}
