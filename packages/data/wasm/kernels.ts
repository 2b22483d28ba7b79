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
 * Down, the "line" is the whole image and a step one row.
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

/** Writes four pixels of values in [0, 255]. */
function storePixels(at: usize, r: v128, g: v128, b: v128): void {
  const words = v128.or(r, v128.or(i32x4.shl(g, 8), i32x4.shl(b, 16)));
  const packed = v128.swizzle(words, i8x16(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1));
  v128.store_lane<u64>(at, packed, 0);
  v128.store_lane<u32>(at, packed, 2, 8);
}

/** ITU-R 601 grey of four pixels, as color.ts has it. */
function grey4(r: v128, g: v128, b: v128): v128 {
  const weighted = i32x4.add(i32x4.mul(r, i32x4.splat(19595)), i32x4.mul(g, i32x4.splat(38470)));
  const sum = i32x4.add(i32x4.add(weighted, i32x4.mul(b, i32x4.splat(7471))), i32x4.splat(0x8000));
  return i32x4.shr_u(sum, 16);
}

/** The sum of all pixels' greys. What lies behind the last pixel must be zero. */
export function greySum(data: usize, length: i32): f64 {
  let sum = i32x4.splat(0);
  for (let i = 0; i < length; i += 12) {
    const pixels = v128.load(data + i);
    const grey = grey4(
      v128.swizzle(pixels, i8x16(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1)),
      v128.swizzle(pixels, i8x16(1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1)),
      v128.swizzle(pixels, i8x16(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1)),
    );
    sum = i32x4.add(sum, grey);
  }
  const halves = <f64>i32x4.extract_lane(sum, 0) + <f64>i32x4.extract_lane(sum, 1);
  return halves + <f64>i32x4.extract_lane(sum, 2) + <f64>i32x4.extract_lane(sum, 3);
}

/** grey + factor (value - grey), cut off, within [0, 255]: the grey is whole, so the product alone is rounded down. */
function saturate4(value: v128, grey: v128, factor: v128): v128 {
  const away = f32x4.mul(factor, f32x4.convert_i32x4_s(i32x4.sub(value, grey)));
  const made = i32x4.add(grey, i32x4.trunc_sat_f32x4_s(f32x4.floor(away)));
  return i32x4.min_s(i32x4.max_s(made, i32x4.splat(0)), i32x4.splat(255));
}

/** Blends each pixel with its grey. */
export function saturate(data: usize, length: i32, factor: f32): void {
  const f = f32x4.splat(factor);
  for (let i = 0; i < length; i += 12) {
    const pixels = v128.load(data + i);
    const r = v128.swizzle(pixels, i8x16(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1));
    const g = v128.swizzle(pixels, i8x16(1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1));
    const b = v128.swizzle(pixels, i8x16(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1));
    const grey = grey4(r, g, b);
    storePixels(data + i, saturate4(r, grey, f), saturate4(g, grey, f), saturate4(b, grey, f));
  }
}

function upper(x: v128): v128 {
  return v128.shuffle<u64>(x, x, 1, 1);
}

function joined(low: v128, high: v128): v128 {
  return v128.shuffle<u64>(low, high, 0, 2);
}

/** The hue of two pixels in 1/255 of a turn, cut off, from its sextant and two distances to the largest channel. */
function hue2(sextant: v128, plus: v128, minus: v128): v128 {
  const exact = f64x2.sub(
    f64x2.add(f64x2.promote_low_f32x4(sextant), f64x2.promote_low_f32x4(plus)),
    f64x2.promote_low_f32x4(minus),
  );
  const single = f64x2.promote_low_f32x4(f32x4.demote_f64x2_zero(exact));
  const one = f64x2.splat(1);
  const turn = f64x2.add(f64x2.div(single, f64x2.splat(6)), one);
  const wrapped = v128.bitselect(f64x2.sub(turn, one), turn, f64x2.ge(turn, one));
  const rounded = f64x2.promote_low_f32x4(f32x4.demote_f64x2_zero(wrapped));
  return i32x4.trunc_sat_f64x2_s_zero(f64x2.mul(rounded, f64x2.splat(255)));
}

/** The 8-bit saturation of two pixels, as a fraction, from range / most. */
function saturation2(quotient: v128): v128 {
  const scaled = f64x2.mul(f64x2.promote_low_f32x4(quotient), f64x2.splat(255));
  return f64x2.div(f64x2.trunc(scaled), f64x2.splat(255));
}

/** most (1 - saturation weight), rounded, of two pixels. */
function shade2(most: v128, saturation: v128, weight: v128): v128 {
  const rest = f64x2.sub(f64x2.splat(1), f64x2.mul(saturation, weight));
  const value = f64x2.mul(f64x2.convert_low_i32x4_s(most), rest);
  return i32x4.trunc_sat_f64x2_s_zero(f64x2.add(value, f64x2.splat(0.5)));
}

/** How far along its sextant a hue is, or, in even ones, how far from its end. */
function weight2(along: v128, even: v128): v128 {
  const f = f64x2.promote_low_f32x4(along);
  const wide = v128.shuffle<u32>(even, even, 0, 0, 1, 1);
  return v128.bitselect(f64x2.sub(f64x2.splat(1), f), f, wide);
}

/** Turns hues by `turn` / 255 of a full turn, through 8-bit HSV; in double precision where color.ts is. */
export function hue(data: usize, length: i32, turn: i32): void {
  const turns = i32x4.splat(turn);
  const one = i32x4.splat(1);
  for (let i = 0; i < length; i += 12) {
    const pixels = v128.load(data + i);
    const r = v128.swizzle(pixels, i8x16(0, -1, -1, -1, 3, -1, -1, -1, 6, -1, -1, -1, 9, -1, -1, -1));
    const g = v128.swizzle(pixels, i8x16(1, -1, -1, -1, 4, -1, -1, -1, 7, -1, -1, -1, 10, -1, -1, -1));
    const b = v128.swizzle(pixels, i8x16(2, -1, -1, -1, 5, -1, -1, -1, 8, -1, -1, -1, 11, -1, -1, -1));
    const most = i32x4.max_s(r, i32x4.max_s(g, b));
    const range = i32x4.sub(most, i32x4.min_s(r, i32x4.min_s(g, b)));
    const divisor = f32x4.convert_i32x4_s(i32x4.max_s(range, one));
    const red = f32x4.div(f32x4.convert_i32x4_s(i32x4.sub(most, r)), divisor);
    const green = f32x4.div(f32x4.convert_i32x4_s(i32x4.sub(most, g)), divisor);
    const blue = f32x4.div(f32x4.convert_i32x4_s(i32x4.sub(most, b)), divisor);
    const isRed = i32x4.eq(r, most);
    const isGreen = i32x4.eq(g, most);
    const plus = v128.bitselect(blue, v128.bitselect(red, green, isGreen), isRed);
    const minus = v128.bitselect(green, v128.bitselect(blue, red, isGreen), isRed);
    const later = v128.bitselect(f32x4.splat(2), f32x4.splat(4), isGreen);
    const sextant = v128.andnot(later, isRed);
    const low = hue2(sextant, plus, minus);
    const high = hue2(upper(sextant), upper(plus), upper(minus));
    const turned = v128.and(i32x4.add(joined(low, high), turns), i32x4.splat(255));

    const place = f32x4.div(f32x4.convert_i32x4_s(i32x4.mul(turned, i32x4.splat(6))), f32x4.splat(255));
    const integral = f32x4.floor(place);
    const along = f32x4.sub(place, integral);
    const unwrapped = i32x4.trunc_sat_f32x4_s(integral);
    const sector = v128.andnot(unwrapped, i32x4.eq(unwrapped, i32x4.splat(6)));
    const even = i32x4.eq(v128.and(sector, one), i32x4.splat(0));

    const quotient = f32x4.div(f32x4.convert_i32x4_s(range), f32x4.convert_i32x4_s(i32x4.max_s(most, one)));
    const full = f64x2.splat(1);
    const lowSaturation = saturation2(quotient);
    const highSaturation = saturation2(upper(quotient));
    const highMost = upper(most);
    const p = joined(shade2(most, lowSaturation, full), shade2(highMost, highSaturation, full));
    const x = joined(
      shade2(most, lowSaturation, weight2(along, even)),
      shade2(highMost, highSaturation, weight2(upper(along), upper(even))),
    );
    const first = i32x4.eq(sector, i32x4.splat(0));
    const second = i32x4.eq(sector, one);
    const third = i32x4.eq(sector, i32x4.splat(2));
    const fourth = i32x4.eq(sector, i32x4.splat(3));
    const fifth = i32x4.eq(sector, i32x4.splat(4));
    const sixth = i32x4.eq(sector, i32x4.splat(5));
    // Without colour there is no hue to turn.
    const grey = i32x4.eq(range, i32x4.splat(0));
    storePixels(
      data + i,
      v128.bitselect(
        r,
        v128.bitselect(most, v128.bitselect(x, p, v128.or(second, fifth)), v128.or(first, sixth)),
        grey,
      ),
      v128.bitselect(
        g,
        v128.bitselect(most, v128.bitselect(x, p, v128.or(first, fourth)), v128.or(second, third)),
        grey,
      ),
      v128.bitselect(
        b,
        v128.bitselect(most, v128.bitselect(x, p, v128.or(third, sixth)), v128.or(fourth, fifth)),
        grey,
      ),
    );
  }
}

/** Pixels as planes of what `tables` (256 numbers a channel) give for their bytes, mirrored or not. */
export function planes(data: usize, size: i32, tables: usize, mirrored: i32, to: usize): void {
  const plane = (size * size) << 2;
  const step = mirrored ? -4 : 4;
  for (let y = 0; y < size; y++) {
    let at = to + <usize>((y * size + (mirrored ? size - 1 : 0)) << 2);
    for (let x = 0; x < size; x++) {
      store<f32>(at, load<f32>(tables + ((<usize>load<u8>(data)) << 2)));
      store<f32>(at + plane, load<f32>(tables + ((<usize>load<u8>(data, 1)) << 2), 1024));
      store<f32>(at + 2 * plane, load<f32>(tables + ((<usize>load<u8>(data, 2)) << 2), 2048));
      data += 3;
      at += step;
    }
  }
}
