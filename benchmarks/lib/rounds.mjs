// Programs that print one JSON line, run in turn, and what their numbers say.
import { execFileSync } from 'node:child_process';

/** The value below which a part q of the values lies. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))];
}

/** Median and quartiles, as text of so many digits. */
export function spread(values, digits) {
  return [0.25, 0.75].map((q) => quantile(values, q).toFixed(digits)).join('-');
}

/** Runs all programs once in each round, those marked `once` in the first alone, one after the other. Returns each one's JSON lines. */
export function alternate(programs, rounds) {
  const lines = programs.map(() => []);
  for (let round = 0; round < rounds; round++)
    programs.forEach(({ name, command, args, once = false }, i) => {
      if (once && round > 0) return;
      const text = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
      const line = JSON.parse(text.trim().split('\n').at(-1));
      console.error(`  round ${round + 1}: ${name} ${line.median.toFixed(3)}`);
      lines[i].push(line);
    });
  return lines;
}

/** Prints rows of cells in columns: the first left, the others right. */
export function table(rows) {
  const widths = rows[0].map((_, i) => Math.max(...rows.map((row) => row[i].length)));
  for (const row of rows)
    console.log(
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  '),
    );
}
