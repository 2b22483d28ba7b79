/** What `moco train` compared, for the page of its run. */
import { join } from 'node:path';
import { measureNames, measureTitles, textIfThere } from '@moco-ts/node';
import { percent } from '../format.ts';
import { table } from '../html/page.ts';

const columns = ['pixels', 'before', 'after', 'chance'] as const;

/** A table of the encoder beside raw pixels, the untrained network and chance; empty for a run that compared nothing. */
export async function comparisonOf(folder: string): Promise<string> {
  const text = await textIfThere(join(folder, 'train.json'));
  const { rows, images } = parsed(text);
  const lines = measureNames.flatMap((measure) => {
    const row = rows.find((one) => one.measure === measure);
    const cells = columns.map((name) => (typeof row?.[name] === 'number' ? percent(row[name]).trim() : ''));
    return row ? [[measureTitles[measure], ...cells]] : [];
  });
  if (lines.length === 0) return '';
  return `<h2>Compared</h2>
<p>On ${Number(images)} images, by the same read-out.</p>
${table(['', 'raw pixels', 'untrained', 'trained', 'chance'], lines, ['', 'n', 'n', 'n', 'n'])}`;
}

/** A file that was damaged from outside compares nothing. */
function parsed(text: string | undefined): {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly images?: unknown;
} {
  try {
    const { rows, images } = Object(JSON.parse(text ?? '')) as { rows?: unknown; images?: unknown };
    return { rows: Array.isArray(rows) ? rows.map(Object) : [], images };
  } catch {
    return { rows: [] };
  }
}
