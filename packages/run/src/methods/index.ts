/** The built-in methods, in the order in which lists name them. */
import { distill } from './distill.ts';
import { instDisc } from './instdisc.ts';
import { mocoV1, mocoV2 } from './moco.ts';
import { mocoV3 } from './moco-v3.ts';
import { simclr } from './simclr.ts';

export const builtInMethods = [mocoV1, mocoV2, mocoV3, simclr, instDisc, distill] as const;
/** The name of a built-in method. */
export type Method = (typeof builtInMethods)[number]['name'];
