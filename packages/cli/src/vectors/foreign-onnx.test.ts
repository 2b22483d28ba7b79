import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { imageFolder, moco, temporaryFolder } from '../testing.ts';

/** Models for raw images, by the Python package onnx: Cast and ReduceMean, and what each name says. */
const models = {
  good: 'CAg6mgEKHAoGaW1hZ2VzEgF4IgRDYXN0KgkKAnRvGAGgAQIKKQoBeAoEYXhlcxIBeSIKUmVkdWNlTWVhbioPCghrZWVwZGltcxgAoAECEgFnKhwIAhAHQgRheGVzShABAAAAAAAAAAIAAAAAAAAAWiMKBmltYWdlcxIZChcIAhITCgMSAW4KAxIBaAoDEgF3CgIIA2IJCgF5EgQKAggBQgQKABAS',
  whole:
    'CAg6UQocCgZpbWFnZXMSAXkiBENhc3QqCQoCdG8YB6ABAhIBZ1ojCgZpbWFnZXMSGQoXCAISEwoDEgFuCgMSAWgKAxIBdwoCCANiCQoBeRIECgIIB0IECgAQEg==',
  map: 'CAg6YwocCgZpbWFnZXMSAXgiBENhc3QqCQoCdG8YAaABAgoQCgF4EgF5IghJZGVudGl0eRIBZ1ojCgZpbWFnZXMSGQoXCAISEwoDEgFuCgMSAWgKAxIBdwoCCANiCQoBeRIECgIIAUIECgAQEg==',
  length:
    'CAg6hgEKHAoGaW1hZ2VzEgF4IgRDYXN0KgkKAnRvGAGgAQIKFQoBeAoEZmxhdBIBeSIHUmVzaGFwZRIBZyocCAIQB0IEZmxhdEoQAQAAAAAAAAD//////////1ojCgZpbWFnZXMSGQoXCAISEwoDEgFuCgMSAWgKAxIBdwoCCANiCQoBeRIECgIIAUIECgAQEg==',
  sequence:
    'CAg6cAocCgZpbWFnZXMSAXgiBENhc3QqCQoCdG8YAaABAgoZCgF4EgF5IhFTZXF1ZW5jZUNvbnN0cnVjdBIBZ1ojCgZpbWFnZXMSGQoXCAISEwoDEgFuCgMSAWgKAxIBdwoCCANiDQoBeRIIIgYKBAoCCAFCBAoAEBI=',
  loop: 'CAg6swIKHAoGaW1hZ2VzEgF4IgRDYXN0KgkKAnRvGAGgAQIKKQoBeAoEYXhlcxIBeSIKUmVkdWNlTWVhbioPCghrZWVwZGltcxgAoAECCokBCgAKBHRydWUKAXkSAXoiBExvb3AqcwoEYm9keTJoChEKAWMSAmMyIghJZGVudGl0eQoRCgFzEgJzMiIISWRlbnRpdHkSAWJaCwoBaRIGCgQIBxIAWgsKAWMSBgoECAkSAFoJCgFzEgQKAggBYgwKAmMyEgYKBAgJEgBiCgoCczISBAoCCAGgAQUSAWcqHAgCEAdCBGF4ZXNKEAEAAAAAAAAAAgAAAAAAAAAqCxAJQgR0cnVlSgEBWiMKBmltYWdlcxIZChcIAhITCgMSAW4KAxIBaAoDEgF3CgIIA2IJCgF6EgQKAggBQgQKABAS',
  nested:
    'CAg6mwMKHAoGaW1hZ2VzEgF4IgRDYXN0KgkKAnRvGAGgAQIKKQoBeAoEYXhlcxIBeSIKUmVkdWNlTWVhbioPCghrZWVwZGltcxgAoAECCvEBCgR0cnVlEgF6IgJJZioyCgtlbHNlX2JyYW5jaDIgChAKAXkSAWUiCElkZW50aXR5EgFlYgkKAWUSBAoCCAGgAQUqrQEKC3RoZW5fYnJhbmNoMpoBCokBCgAKBHRydWUKAXkSAXQiBExvb3AqcwoEYm9keTJoChEKAWMSAmMyIghJZGVudGl0eQoRCgFzEgJzMiIISWRlbnRpdHkSAWJaCwoBaRIGCgQIBxIAWgsKAWMSBgoECAkSAFoJCgFzEgQKAggBYgwKAmMyEgYKBAgJEgBiCgoCczISBAoCCAGgAQUSAXRiCQoBdBIECgIIAaABBRIBZyocCAIQB0IEYXhlc0oQAQAAAAAAAAACAAAAAAAAACoLEAlCBHRydWVKAQFaIwoGaW1hZ2VzEhkKFwgCEhMKAxIBbgoDEgFoCgMSAXcKAggDYgkKAXoSBAoCCAFCBAoAEBI=',
  outside:
    'CAg60AEKHAoGaW1hZ2VzEgF4IgRDYXN0KgkKAnRvGAGgAQIKKQoBeAoEYXhlcxIBeSIKUmVkdWNlTWVhbioPCghrZWVwZGltcxgAoAECCg4KAXkKAXcSAXoiA011bBIBZyocCAIQB0IEYXhlc0oQAQAAAAAAAAACAAAAAAAAACokCAMQAUIBd2oZCghsb2NhdGlvbhINLi4vc2VjcmV0LmJpbnABWiMKBmltYWdlcxIZChcIAhITCgMSAW4KAxIBaAoDEgF3CgIIA2IJCgF6EgQKAggBQgQKABAS',
} as const;

const folder = temporaryFolder();
const images = imageFolder(3);
async function embed(bytes: string | Uint8Array) {
  const [model, out] = [join(folder, 'm.onnx'), join(folder, 'v.npy')];
  writeFileSync(model, typeof bytes === 'string' ? Buffer.from(bytes, 'base64') : bytes);
  return { ...(await moco('embed', model, images, '--out', out, '--restart', '-j', '0')), out };
}

describe('an ONNX model of the user', () => {
  it('of any making gives its vectors', async () => {
    const { code, err, out } = await embed(models.good);
    expect([code, err, existsSync(out)]).toEqual([0, '', true]);
  });

  it.each([
    ['a loop, which may have no end', models.loop, /holds a Loop, which may never end/],
    ['a loop within a branch', models.nested, /holds a Loop, which may never end/],
    [
      'weights outside its folder',
      models.outside,
      /keeps weights in another file \(\.\.\/secret\.bin\), which is not opened/,
    ],
    ['whole numbers', models.whole, /gives int64, not vectors of float32/],
    [
      'maps',
      models.map,
      /gives \[1, 64, 64, 3\] for an image of 64 x 64, not a vector|gives \[1, 16, 16, 3\]/,
    ],
    [
      'vectors as long as the image is large',
      models.length,
      /gives \[1, 768\] for an image of 16 x 16, not a vector \[1, 12288\]/,
    ],
    ['a sequence', models.sequence, /m\.onnx (gives no tensor|takes no raw images|is no model)/],
    ['no message', Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0x7f, 1, 2), /is no ONNX model/],
    ['messages without a bottom', nested(5000), /is no ONNX model: its messages nest too deep/],
  ])('with %s is refused in one line', async (_, bytes, message) => {
    const { code, err } = await embed(bytes);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
    expect(err).toMatch(/^moco: [^\n]*\n$/);
  });
});

/** A graph in an attribute of a node in a graph, and so on. */
function nested(depth: number): Uint8Array {
  let inner = Buffer.alloc(0);
  const field = (number: number, content: Buffer) => {
    const head = [number * 8 + 2];
    let length = content.length;
    for (; length > 127; length >>>= 7) head.push((length & 127) | 128);
    return Buffer.concat([Buffer.from([...head, length]), content]);
  };
  for (let i = 0; i < depth; i++) inner = field(1, field(5, field(6, inner)));
  return field(7, inner);
}
