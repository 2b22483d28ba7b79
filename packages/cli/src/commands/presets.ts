import { presetNames, presets } from '@moco-ts/run';
import type { Command } from 'commander';
import type { Io } from '../io.ts';

export function presetsCommand(program: Command, io: Io): void {
  program
    .command('presets')
    .summary('the published recipes')
    .description(
      'Lists the recipes that moco pretrain --preset knows, with the figure that each should reach on the data it was published for.',
    )
    .addHelpText(
      'after',
      '\nExamples:\n  moco presets\n  moco pretrain photos/ --preset moco-v2-200ep -b 128',
    )
    .action(() => {
      for (const name of presetNames) {
        const { data, figure, source } = presets[name];
        io.show(
          `${name.padEnd(30)}${figure.value.toFixed(1).padStart(5)} %  ${figure.measure}, ${data}\n${''.padEnd(39)}${source}\n`,
        );
      }
      io.result({ presets: presetNames.map((name) => ({ name, ...presets[name] })) });
      io.next(`moco pretrain photos/ --preset ${presetNames[0]}`);
    });
}
