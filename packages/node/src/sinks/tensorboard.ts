/** TensorBoard's event files: TFRecords of Event messages, by the field numbers of tensorflow's event.proto. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import { defineLogSink } from '@moco-ts/run';
import protobuf from 'protobufjs/light.js';
import { appendTo } from '../append.ts';
import { maskedCrc32c } from '../crc32c.ts';

const root = protobuf.Root.fromJSON({
  nested: {
    Event: {
      fields: {
        wallTime: { type: 'double', id: 1 },
        step: { type: 'int64', id: 2 },
        fileVersion: { type: 'string', id: 3 },
        summary: { type: 'Summary', id: 5 },
        sessionLog: { type: 'SessionLog', id: 7 },
      },
    },
    Summary: { fields: { value: { rule: 'repeated', type: 'Value', id: 1 } } },
    Value: { fields: { tag: { type: 'string', id: 1 }, simpleValue: { type: 'float', id: 2 } } },
    SessionLog: { fields: { status: { type: 'int32', id: 1 } } },
  },
});
/** Exported for the test, which reads the files back. */
export const EventMessage = root.lookupType('Event');
const START = 1;

/** One record: length, its CRC, the bytes, their CRC; all little-endian. */
export function tfRecord(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(16 + data.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return out;
}

const record = (event: object) =>
  tfRecord(EventMessage.encode(EventMessage.create({ wallTime: Date.now() / 1000, ...event })).finish());

/** The first record of a file, and, for a resumed run, the one that makes readers drop what lies after `step`. */
export function eventFileStart(step: number): Uint8Array {
  const version = record({ fileVersion: 'brain.Event:2' });
  return step === 0 ? version : Buffer.concat([version, record({ step, sessionLog: { status: START } })]);
}

export function scalarEvent(step: number, values: Readonly<Record<string, number>>): Uint8Array {
  const value = Object.entries(values).map(([tag, simpleValue]) => ({ tag, simpleValue }));
  return record({ step, summary: { value } });
}

function eventFileName(): string {
  const seconds = Math.floor(Date.now() / 1000);
  return `events.out.tfevents.${seconds}.${hostname()}.${process.pid}`;
}

/** An event file in the run folder, beside the checkpoints. */
export const tensorboardSink = defineLogSink({
  name: 'tensorboard',
  open: ({ folder, step }) => {
    const events = appendTo(join(folder, eventFileName()));
    events.append(eventFileStart(step));
    return {
      write: ({ scalars }) => {
        if (scalars) events.append(scalarEvent(scalars.step, scalars.values));
      },
      close: events.close,
    };
  },
});
