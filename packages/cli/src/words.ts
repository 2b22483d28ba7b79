/** The command's words for settings: its flags. */
import { inWords, type Wording, type Words } from '@moco-ts/core';
import { longFlag, settingNamed } from '@moco-ts/run';

/** The long flag of a setting, as messages have it: `--batch-size`; of what no flag sets, `DATA`. */
function flagOf(key: string): string {
  const flag = longFlag(settingNamed(key) ?? {});
  if (flag !== undefined) return flag;
  return key === 'data' ? 'DATA' : `--${key.replaceAll(/[A-Z0-9]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** `--moco-k 64`, `moco import --prefix` */
const asFlag: Words = ({ setting, value, command }) =>
  [command, flagOf(setting), value].filter((part) => part !== undefined).join(' ');

/** A message as the command tells it. */
export const inFlags = (text: Wording): string => inWords(text, asFlag);
