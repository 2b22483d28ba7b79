/**
 * Training within a time, with a progress bar of your own: `node index.js photos/ 30m` makes an encoder of your images, prints what was
 * chosen and why, draws how far it is, and ends with the encoder beside what it should beat.
 */
import { pathToFileURL } from 'node:url';
import { train } from 'moco-ts';

/** `[######------]  50 %  1:05 left` */
export function bar(done, seconds, width = 30) {
  const full = Math.round(done * width);
  const [minutes, rest] = [Math.floor(seconds / 60), String(Math.floor(seconds % 60)).padStart(2, '0')];
  const percent = String(Math.round(100 * done)).padStart(3);
  return `[${'#'.repeat(full)}${'-'.repeat(width - full)}] ${percent} %  ${minutes}:${rest} left`;
}

/** Trains, and shows it by `print`, which writes a text as it is. */
export async function learn(options, print = (text) => process.stdout.write(text)) {
  const run = train(options);
  for await (const event of run) {
    if (event.kind === 'phase') print(`\n${event.phase} ...\n`);
    if (event.kind === 'recipe')
      for (const { what, value, reason } of event.recipe) print(`${what}: ${value} (${reason})\n`);
    if (event.kind === 'step') print(`\r${bar(event.done, event.eta)}`);
  }
  const result = await run.result;
  for (const { measure, pixels, before, after, chance } of result?.compared ?? [])
    print(`${measure}: pixels ${pixels}, untrained ${before}, trained ${after}, chance ${chance} %\n`);
  return result;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [data = 'emoji', time = '4m'] = process.argv.slice(2);
  const controller = new AbortController();
  // What was learned by then is measured and exported too.
  process.once('SIGINT', () => controller.abort());
  const result = await learn({ data, time, signal: controller.signal });
  console.log(result ? `${result.model} in ${Math.round(result.seconds)} s` : 'nothing was learned');
}
