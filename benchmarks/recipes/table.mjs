// What run.mjs measured, as Markdown: node benchmarks/recipes/table.mjs [results.json] [--measure editedCopies]
//
// A table for each budget: recipes by sets, raw pixels and the untrained network first. Several seeds give their mean.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { recipes } from './recipes.mjs';
import { sets } from './sets.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { measure: { type: 'string', default: 'editedCopies' } },
});
const [file = join(import.meta.dirname, 'results.json')] = positionals;
const results = JSON.parse(readFileSync(file, 'utf8')).filter((row) => row[values.measure] !== undefined);
const present = (all, name) => all.filter((key) => results.some((row) => row[name] === key));

const budgets = [...new Set(results.flatMap(({ budget = [] }) => budget))].sort((a, b) => a - b);
for (const budget of budgets) {
  const rows = results.filter((row) => row.budget === budget || row.budget === undefined);
  const columns = present(Object.keys(sets), 'set').filter((set) =>
    rows.some((row) => row.set === set && row.budget),
  );
  const baselines = [...new Set(rows.filter((row) => !row.budget).map(({ recipe }) => recipe))].sort();
  const names = [...baselines, ...present(Object.keys(recipes), 'recipe')];
  const lines = names
    .map((recipe) => [recipe, ...columns.map((set) => cell(rows, { set, recipe }))])
    .filter(([, ...cells]) => cells.some((text) => text !== ''));
  console.log(`\n${budget.toLocaleString('en')} images seen\n`);
  console.log(markdown([['', ...columns], ...lines]));
}

function cell(rows, { set, recipe }) {
  const found = rows.filter((row) => row.set === set && row.recipe === recipe);
  if (found.length === 0) return '';
  const mean = found.reduce((sum, row) => sum + row[values.measure], 0) / found.length;
  return mean.toFixed(1) + (found.length > 1 ? ` (${found.length})` : '');
}

function markdown([head, ...lines]) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return [line(head), `|---${'|---:'.repeat(head.length - 1)}|`, ...lines.map(line)].join('\n');
}
