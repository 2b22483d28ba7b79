/** What the tests share: folders that go away, tiny images, and a captured command line. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';
import { decodeSafetensors, rng } from '@moco-ts/core';
import type { Reporter } from '@moco-ts/node';
import { afterAll, expect } from 'vitest';
import { main } from './main.ts';

const folders: string[] = [];
// Registered here, not where a folder is made: a hook that a running test adds never runs.
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A folder of the test file's own, removed after its last test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'moco-cli-'));
  folders.push(folder);
  return folder;
}

/** A reporter of runs that says nothing. */
export const quietReporter: Reporter = {
  step: () => undefined,
  epoch: () => undefined,
  note: () => undefined,
  warn: () => undefined,
  close: () => undefined,
};

export interface Captured {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process. */
export async function moco(...args: string[]): Promise<Captured> {
  let [out, err] = ['', ''];
  const io = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    live: false,
    color: false,
  };
  const code = await main(args, io);
  return { code, out, err };
}

/** Starts a command in a process of its own, from the sources. */
export function spawnMoco(...args: string[]): ChildProcess & { output(): string; ended: Promise<Ended> } {
  const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path('./bin.ts'), ...args], {
    cwd: path('..'),
    env: { ...process.env, TSX_TSCONFIG_PATH: path('../tsconfig.sources.json') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  const collect = (chunk: Buffer) => {
    text += chunk.toString();
  };
  child.stdout.on('data', collect);
  child.stderr.on('data', collect);
  const ended = new Promise<Ended>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal })),
  );
  return Object.assign(child, { output: () => text, ended });
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Waits until a process has printed a text. */
export async function printed(child: ReturnType<typeof spawnMoco>, text: string): Promise<void> {
  let over = false;
  void child.ended.then(() => {
    over = true;
  });
  while (!child.output().includes(text)) {
    if (over) throw new Error(`ended without printing "${text}":\n${child.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A PNG of random colours, 8 x 8 cells of `cell` pixels. */
export function png(number: number, cell = 2): Uint8Array {
  const side = 8 * cell;
  const random = rng(1, 'test/png', number);
  const cells = Uint8Array.from({ length: 8 * 8 * 3 }, () => random.integer(256));
  const rows = Buffer.alloc(side * (1 + 3 * side));
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++)
      for (let c = 0; c < 3; c++)
        rows[y * (1 + 3 * side) + 1 + 3 * x + c] =
          cells[(Math.floor(y / cell) * 8 + Math.floor(x / cell)) * 3 + c]!;
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2], 8);
  const chunk = (type: string, data: Uint8Array) => {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const out = Buffer.alloc(8 + body.length);
    out.writeUInt32BE(data.length, 0);
    out.set(body, 4);
    out.writeUInt32BE(crc32(body), 4 + body.length);
    return out;
  };
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A folder of images. */
export function imageFolder(count: number): string {
  const folder = temporaryFolder();
  writeImages(folder, count);
  return folder;
}

export function writeImages(folder: string, count: number, first = 0): void {
  mkdirSync(folder, { recursive: true });
  for (let i = 0; i < count; i++)
    writeFileSync(join(folder, `p${String(i).padStart(3, '0')}.png`), png(first + i));
}

/** A run that takes seconds. */
export const tiny = [
  ...['-a', 'resnet-tiny', '--image-size', '16', '-b', '8', '--bn-splits', '2', '--moco-k', '16'],
  ...['--moco-dim', '8', '--method', 'moco-v2', '-j', '0', '--threads', '1', '-p', '1', '--lr', '0.01'],
];

/** The lines of one event in a run's log. */
export function logged(folder: string, event: string): Readonly<Record<string, unknown>>[] {
  return readFileSync(join(folder, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Readonly<Record<string, unknown>>)
    .filter((line) => line.event === event);
}

/** The names of the tensors of two checkpoints that are not the same to the last bit. */
export function differences(a: string, b: string): string[] {
  const [left, right] = [a, b].map((path) => decodeSafetensors(readFileSync(path), path).tensors);
  const bytes = (data?: ArrayBufferView) =>
    data ? Buffer.from(data.buffer, data.byteOffset, data.byteLength) : Buffer.alloc(0);
  const names = Object.keys({ ...left, ...right });
  expect(names.length).toBeGreaterThan(50);
  return names.filter((name) => !bytes(left![name]?.data).equals(bytes(right![name]?.data)));
}
