import { describe, expect, it } from 'vitest';
import { readTorch } from './read.ts';
import { expected, fixtureSource } from './testing.ts';
import { isKind, type TensorRef, type Value } from './values.ts';

type Nested = number | boolean | string | readonly Nested[];
const { tensors } = expected<{
  tensors: Record<string, { shape: number[]; values: Nested }>;
}>();

function flat(value: Nested): number[] {
  if (typeof value === 'object') return value.flatMap(flat);
  return [Number(value === 'inf' ? Number.POSITIVE_INFINITY : value)];
}

const tuple = (...items: Value[]): Value => ({ kind: 'tuple', items });

describe.each(['kinds.pth', 'kinds-legacy.pth'])('%s, saved by PyTorch', async (name) => {
  const file = await readTorch(fixtureSource(name));
  const dict = file.value as Map<string, Value>;

  it('has plain values as Python had them', () => {
    expect(file.format).toBe(name === 'kinds.pth' ? 'zip' : 'legacy');
    expect(dict.get('values')).toEqual([
      null,
      true,
      false,
      [0, 1, -1, 255, 70000, 2 ** 40, -(2n ** 70n), 0.1, Number.NEGATIVE_INFINITY],
      'text – é',
      Uint8Array.from([0, 255, ...new TextEncoder().encode('bytes')]),
      tuple(),
      tuple(1, tuple(2)),
      new Map([['a', [1]]]),
      new Set([3]),
    ]);
    expect(dict.get('namespace')).toEqual(
      new Map<string, Value>([
        ['lr', 0.03],
        ['schedule', [120, 160]],
      ]),
    );
    expect(dict.get('size')).toEqual(tuple(2, 3, 4));
    expect(dict.get('dtype')).toEqual({ kind: 'dtype', dtype: 'float32' });
  });

  it.each(Object.entries(tensors).filter(([key]) => key !== 'wide'))(
    'has the tensor %s',
    async (key, made) => {
      const entry = dict.get(key)!;
      if (!isKind(entry, 'tensor')) throw new Error(`${key} is no tensor`);
      const { shape, dtype, data } = (await file.read(new Map([[key, entry]]))).get(key)!;
      expect(shape).toEqual(made.shape);
      const values = flat(made.values);
      expect([...data]).toEqual(dtype === 'float32' ? values.map(Math.fround) : values);
      const own = {
        int64: 'int32',
        int32: 'int32',
        int16: 'int32',
        int8: 'int32',
        uint8: 'uint8',
        bool: 'bool',
      };
      expect(dtype).toBe((own as Record<string, string>)[key] ?? 'float32');
    },
  );

  it('reads many at once, in their order', async () => {
    const wanted = new Map(
      [...dict].filter(([key]) => ['view', 'scalar', 'base', 'transposed'].includes(key)),
    );
    const read = await file.read(wanted as Map<string, TensorRef>);
    expect([...read.keys()]).toEqual([...wanted.keys()]);
    expect([...read.get('view')!.data]).toEqual(flat(tensors.view!.values));
  });

  it.each([
    ['wide', /"wide" holds an integer of more than 32 bits/],
    ['complex64', /"complex64" is of the type complex64, which is not read here/],
  ])('refuses %s by name', async (key, message) => {
    await expect(file.read(new Map([[key, dict.get(key) as TensorRef]]))).rejects.toThrow(message);
  });
});
