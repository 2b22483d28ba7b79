import type { Node } from '@moco-ts/core';
import type { BlockedLowering } from './lowering.ts';

/** Lowers a node in blocked layouts, or returns false and leaves it to the plain rule. */
export type BlockedRule = (node: Node, lowering: BlockedLowering) => boolean;
