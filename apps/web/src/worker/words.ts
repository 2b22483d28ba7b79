/** The page's words for settings: the labels of its form. */
import type { UserError, Words } from '@moco-ts/core';

const labels: Readonly<Record<string, string>> = {
  backend: 'Computed by',
  arch: 'Encoder',
  batchSize: 'Batch',
  mocoK: 'Keys in the queue (K)',
  epochs: 'Epochs',
  lr: 'Learning rate',
  seed: 'Seed',
};

const asLabel: Words = ({ setting, value }) => {
  const name = `"${labels[setting] ?? setting}"`;
  return value === undefined ? name : `${name} ${value}`;
};

/** An error's message as the page tells it. */
export const inLabels = (error: UserError): string => error.in(asLabel);
