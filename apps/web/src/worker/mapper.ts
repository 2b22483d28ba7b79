/** The worker that draws the map: nearest neighbours by cosine, and UMAP (McInnes et al., arXiv 1802.03426) on them. */
import type { Mapped, ToMapper } from '../messages.ts';
import { layout, unitSquare } from './layout.ts';
import { agreement, nearest } from './neighbours.ts';

/** Neighbours that the page shows, and that hold the map together. */
const NEIGHBOURS = 12;

let current = -1;
/** Where the map was: the next one begins there, so that images wander and do not jump. */
let before: number[][] | undefined;

addEventListener(
  'message',
  ({ data: { training, step, dim, features, subjects } }: MessageEvent<ToMapper>) => {
    const count = features.length / dim;
    if (training !== current) before = undefined;
    current = training;
    const k = Math.min(NEIGHBOURS, count - 1);
    const { neighbours, similarities } = nearest(features, dim, k);
    before = layout(neighbours, similarities, k, before);
    const positions = unitSquare(before);
    const agree = agreement(neighbours, k, subjects);
    const message: Mapped = {
      ...{ training, step, positions, neighbours, similarities, k },
      ...(agree !== undefined && { agreement: agree }),
    };
    postMessage(message, { transfer: [positions.buffer, neighbours.buffer, similarities.buffer] });
  },
);
