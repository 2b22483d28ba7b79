// Charts by Vega-Lite, which is installed here on first use: nothing else needs it.
import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Draws a Vega-Lite specification into an SVG file. */
export async function draw(specification, file) {
  const home = join(import.meta.dirname, '..');
  if (!existsSync(join(home, 'node_modules', 'vega-lite')))
    execFileSync('npm', ['ci', '--silent', '--ignore-scripts', '--prefix', home], { stdio: 'inherit' });
  const [{ compile }, { View, parse }] = await Promise.all([import('vega-lite'), import('vega')]);
  const { spec } = compile({
    background: 'white',
    config: { font: 'sans-serif', view: { stroke: null } },
    ...specification,
  });
  writeFileSync(file, `${await new View(parse(spec), { renderer: 'none' }).toSVG()}\n`);
}
