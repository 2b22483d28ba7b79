/** RGB from grey (1 channel), grey and alpha (2), RGB (3) or RGBA (4), on white: for small images faster than sharp's. */
export function onWhite(bytes: Uint8Array | Uint8ClampedArray, channels: number): Uint8Array {
  if (channels === 3) return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const pixels = bytes.length / channels;
  const out = new Uint8Array(pixels * 3);
  const green = channels > 2 ? 1 : 0;
  for (let i = 0; i < pixels; i++) {
    const from = i * channels;
    const alpha = channels % 2 === 0 ? bytes[from + channels - 1]! : 255;
    const white = 255 * (255 - alpha) + 127;
    out[i * 3] = (bytes[from]! * alpha + white) / 255;
    out[i * 3 + 1] = (bytes[from + green]! * alpha + white) / 255;
    out[i * 3 + 2] = (bytes[from + 2 * green]! * alpha + white) / 255;
  }
  return out;
}
