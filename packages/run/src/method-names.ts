export const methods = ['moco-v1', 'moco-v2', 'moco-v3', 'simclr', 'instdisc'] as const;
/** A row of SPEC.md's table of methods. */
export type Method = (typeof methods)[number];
