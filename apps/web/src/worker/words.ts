/** The page's words for settings: the labels of its form. */
import type { UserError, Words } from '@moco-ts/core';
import { settingNamed } from '@moco-ts/run';

const asLabel: Words = ({ setting, value }) => {
  const name = `"${settingNamed(setting)?.label ?? setting}"`;
  return value === undefined ? name : `${name} ${value}`;
};

/** An error's message as the page tells it. */
export const inLabels = (error: UserError): string => error.in(asLabel);
