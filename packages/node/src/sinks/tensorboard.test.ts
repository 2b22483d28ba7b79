import protobuf from 'protobufjs/light.js';
import { expect, it } from 'vitest';
import { maskedCrc32c } from '../crc32c.ts';
import { eventFileStart, scalarEvent, tfRecord } from './tensorboard.ts';

/** The payloads of a TFRecord file, with both checksums verified. */
function records(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const out: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    expect(view.getUint32(at + 8, true)).toBe(maskedCrc32c(file.subarray(at, at + 8)));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(view.getUint32(at + 12 + length, true)).toBe(maskedCrc32c(data));
    out.push(data);
    at += 16 + length;
  }
  return out;
}

it('writes an empty record as the format says', () => {
  // The CRC-32C of eight zero bytes is 0x8c28b28a, of nothing 0.
  const mask = (crc: number) => (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
  const view = new DataView(tfRecord(new Uint8Array(0)).buffer);
  expect([view.getBigUint64(0, true), view.getUint32(8, true), view.getUint32(12, true)]).toEqual([
    0n,
    mask(0x8c28b28a),
    mask(0),
  ]);
});

it('writes an event by the field numbers of event.proto and summary.proto', () => {
  const before = Date.now() / 1000;
  const [data] = records(scalarEvent(300, { loss: 0.5 }));
  const after = Date.now() / 1000;
  const reader = protobuf.Reader.create(data!);
  // wall_time = 1, double
  expect(reader.uint32()).toBe((1 << 3) | 1);
  const wallTime = reader.double();
  expect(wallTime).toBeGreaterThanOrEqual(before);
  expect(wallTime).toBeLessThanOrEqual(after);
  // step = 2, int64
  expect(reader.uint32()).toBe(2 << 3);
  expect(Number(reader.int64())).toBe(300);
  // summary = 5 { value = 1 { tag = 1, simple_value = 2 } }
  expect(reader.uint32()).toBe((5 << 3) | 2);
  reader.uint32();
  expect(reader.uint32()).toBe((1 << 3) | 2);
  reader.uint32();
  expect(reader.uint32()).toBe((1 << 3) | 2);
  expect(reader.string()).toBe('loss');
  expect(reader.uint32()).toBe((2 << 3) | 5);
  expect(reader.float()).toBe(0.5);
  expect(reader.pos).toBe(data!.length);
});

it('starts a file with the version, and a run that goes on with its step', () => {
  expect(records(eventFileStart(0))).toHaveLength(1);
  const [version, session] = records(eventFileStart(7));
  expect(new TextDecoder().decode(version)).toContain('brain.Event:2');
  const reader = protobuf.Reader.create(session!);
  reader.uint32();
  reader.double();
  expect(reader.uint32()).toBe(2 << 3);
  expect(Number(reader.int64())).toBe(7);
  // session_log = 7 { status = 1: START = 1 }
  expect([...session!.subarray(reader.pos)]).toEqual([(7 << 3) | 2, 2, 1 << 3, 1]);
});
