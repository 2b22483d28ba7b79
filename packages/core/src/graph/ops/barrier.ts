/** Order between nodes that don't read each other. */
import { filled } from '../../tensor/tensor.ts';
import { defineOp } from '../op.ts';
import type { Traced } from '../trace.ts';

defineOp({
  name: 'barrier',
  infer: ([x]) => [x!],
  grad: ({ dOutputs, inputs: [, after], needs }) => [
    dOutputs[0]!,
    needs[1] ? after!.builder.constant(filled(after!.shape, 0)) : undefined,
  ],
});
/**
 * The value itself, which nothing reads before `after` is there: what is computed with it runs late, and is never taken for
 * what was computed with `x` before.
 */
export function barrier(x: Traced, after: Traced): Traced {
  return x.builder.emit('barrier', [x, after])[0]!;
}
