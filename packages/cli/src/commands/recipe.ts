/** The flags that make a recipe, as `pretrain` and `ablate` share them. */

import { UserError } from '@moco-ts/core';
import { type PresetName, presets, type RunFlags } from '@moco-ts/run';

/** What the options parse to. */
export interface RecipeOptions extends Omit<RunFlags, 'data'> {
  readonly preset?: PresetName;
}

/** Explicit flags before those of a preset. */
export function namedFlags(data: string | undefined, options: RecipeOptions): RunFlags {
  const { preset, ...rest } = options;
  return {
    ...(preset !== undefined && presets[preset].flags),
    ...rest,
    ...(data !== undefined && { data }),
  };
}

/** @throws UserError when neither the command line nor the preset names the data */
export function recipeFlags(
  data: string | undefined,
  options: RecipeOptions,
  command: string,
): RunFlags & { data: string } {
  const flags = namedFlags(data, options);
  if (flags.data === undefined)
    throw new UserError(`${command} needs DATA: an image folder, an idx or CIFAR folder, or emoji`, {
      code: 'setting-missing',
      setting: 'data',
    });
  return { ...flags, data: flags.data };
}
