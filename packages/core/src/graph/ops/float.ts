import { ShapeError } from '../../errors.ts';
import { type DType, isFloat, type TensorType } from '../../tensor/tensor.ts';

/** The one float type that operands have. @throws ShapeError where they have another type, or several */
export function floatOf(...operands: readonly TensorType[]): DType {
  for (const { dtype } of operands)
    if (!isFloat(dtype)) throw new ShapeError(`expected float operands, got ${dtype}`);
  const [first, ...others] = operands.map(({ dtype }) => dtype);
  const other = others.find((dtype) => dtype !== first);
  if (other !== undefined) throw new ShapeError(`expected operands of one type, got ${first} and ${other}`);
  return first!;
}
