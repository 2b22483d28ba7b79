// AssemblyScript, not TypeScript: resize and blur of ../src/views with 128-bit vectors, equal to them to the byte.
// After a change: node packages/data/scripts/kernels.mjs
// Blocks of 16 bytes run over the end of a row; the next row, written later, or slack at the end covers that.

/** Where memory is free. */
export function base(): usize {
  return (__heap_base + 15) & ~15;
}

/**
 * Across. `axis`: per output a start in bytes, then per pair of taps the low 11 bits of both weights, then the high ones:
 * one instruction multiplies 16-bit pairs and adds them.
 */
export function across(
  from: usize,
  pitch: usize,
  rows: i32,
  axis: usize,
  pairs: i32,
  columns: i32,
  to: usize,
): void {
  const spread = i8x16(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
  const pack = i8x16(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
  const half = i32x4.splat(1 << 21);
  for (let y = 0; y < rows; y++) {
    let k = axis;
    for (let x = 0; x < columns; x++) {
      let at = from + load<u32>(k);
      k += 4;
      let low = half;
      let high = i32x4.splat(0);
      for (let p = 0; p < pairs; p++) {
        const two = v128.swizzle(v128.load_zero<u64>(at), spread);
        low = i32x4.add(low, i32x4.dot_i16x8_s(two, v128.load_splat<u32>(k)));
        high = i32x4.add(high, i32x4.dot_i16x8_s(two, v128.load_splat<u32>(k, 4)));
        at += 6;
        k += 8;
      }
      const sum = i32x4.shr_u(i32x4.add(low, i32x4.shl(high, 11)), 22);
      v128.store_lane<u32>(to, v128.swizzle(sum, pack), 0);
      to += 3;
    }
    from += pitch;
  }
}

/** Down, rows of `line` bytes; the weights as for `across`, the starts in bytes. */
export function down(from: usize, line: i32, rows: i32, axis: usize, pairs: i32, to: usize): void {
  const half = i32x4.splat(1 << 21);
  const zero = i32x4.splat(0);
  for (let y = 0; y < rows; y++) {
    const row = from + load<u32>(axis);
    for (let x = 0; x < line; x += 8) {
      let at = row + x;
      let k = axis + 4;
      let low0 = half;
      let low1 = half;
      let high0 = zero;
      let high1 = zero;
      for (let p = 0; p < pairs; p++) {
        const a = v128.load_zero<u64>(at);
        const b = v128.load_zero<u64>(at + line);
        const both = v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
        const first = i16x8.extend_low_i8x16_u(both);
        const second = i16x8.extend_high_i8x16_u(both);
        const lows = v128.load_splat<u32>(k);
        const highs = v128.load_splat<u32>(k, 4);
        low0 = i32x4.add(low0, i32x4.dot_i16x8_s(first, lows));
        low1 = i32x4.add(low1, i32x4.dot_i16x8_s(second, lows));
        high0 = i32x4.add(high0, i32x4.dot_i16x8_s(first, highs));
        high1 = i32x4.add(high1, i32x4.dot_i16x8_s(second, highs));
        at += 2 * line;
        k += 8;
      }
      const sum0 = i32x4.shr_u(i32x4.add(low0, i32x4.shl(high0, 11)), 22);
      const sum1 = i32x4.shr_u(i32x4.add(low1, i32x4.shl(high1, 11)), 22);
      const words = i16x8.narrow_i32x4_s(sum0, sum1);
      v128.store_lane<u64>(to + x, i8x16.narrow_i16x8_u(words, words), 0);
    }
    axis += 4 + 8 * pairs;
    to += line;
  }
}

/** Weighs 8 sums and 8 pairs of outer taps; weights of 24 bits in two halves of 12. */
function weigh(sum: v128, edges: v128, low: v128, high: v128): v128 {
  const a = v128.shuffle<i16>(sum, edges, 0, 8, 1, 9, 2, 10, 3, 11);
  const b = v128.shuffle<i16>(sum, edges, 4, 12, 5, 13, 6, 14, 7, 15);
  const round = i32x4.splat(1 << 23);
  const x = i32x4.add(i32x4.add(i32x4.dot_i16x8_s(a, low), round), i32x4.shl(i32x4.dot_i16x8_s(a, high), 12));
  const y = i32x4.add(i32x4.add(i32x4.dot_i16x8_s(b, low), round), i32x4.shl(i32x4.dot_i16x8_s(b, high), 12));
  const words = i16x8.narrow_i32x4_s(i32x4.shr_u(x, 24), i32x4.shr_u(y, 24));
  return i8x16.narrow_i16x8_u(words, words);
}

/** One pass of an extended box: the neighbours lie `step` bytes apart, and beyond the edges too. */
function pass(from: usize, to: usize, length: i32, step: i32, radius: i32, low: v128, high: v128): void {
  const reach = step * radius;
  for (let x = 0; x < length; x += 8) {
    const at = from + x;
    let sum = v128.load_ext<u8>(at);
    for (let r = step; r <= reach; r += step)
      sum = i16x8.add(sum, i16x8.add(v128.load_ext<u8>(at - r), v128.load_ext<u8>(at + r)));
    const edges = i16x8.add(v128.load_ext<u8>(at - reach - step), v128.load_ext<u8>(at + reach + step));
    v128.store_lane<u64>(to + x, weigh(sum, edges, low, high), 0);
  }
}

/**
 * Three passes along lines of `length` bytes in place. `a` and `b`: room for a line with `radius + 1` steps either side.
 * Down, the "line" is the whole picture and a step one row.
 */
export function blur(
  data: usize,
  lines: i32,
  length: i32,
  step: i32,
  radius: i32,
  lows: i32,
  highs: i32,
  a: usize,
  b: usize,
): void {
  const low = i32x4.splat(lows);
  const high = i32x4.splat(highs);
  const pad = step * (radius + 1);
  for (let y = 0; y < lines; y++) {
    memory.copy(a + pad, data, length);
    for (let i = 0; i < 3; i++) {
      for (let p = 0; p < pad; p += step) {
        memory.copy(a + p, a + pad, step);
        memory.copy(a + pad + length + p, a + pad + length - step, step);
      }
      pass(a + pad, b + pad, length, step, radius, low, high);
      const other = a;
      a = b;
      b = other;
    }
    memory.copy(data, a + pad, length);
    data += length;
  }
}

/** mean + factor (value - mean) in single precision, cut off, within [0, 255], for four values. */
function blend4(values: v128, factor: v128, mean: v128): v128 {
  const away = f32x4.mul(factor, f32x4.sub(f32x4.convert_i32x4_s(values), mean));
  return i32x4.trunc_sat_f32x4_s(f32x4.add(mean, away));
}

/** Blends bytes in place with one value. */
export function blend(data: usize, length: i32, factor: f32, mean: f32): void {
  const f = f32x4.splat(factor);
  const m = f32x4.splat(mean);
  for (let i = 0; i < length; i += 8) {
    const words = v128.load_ext<u8>(data + i);
    const a = blend4(i32x4.extend_low_i16x8_u(words), f, m);
    const b = blend4(i32x4.extend_high_i16x8_u(words), f, m);
    const made = i16x8.narrow_i32x4_s(a, b);
    v128.store_lane<u64>(data + i, i8x16.narrow_i16x8_u(made, made), 0);
  }
}
