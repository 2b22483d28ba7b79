/** Runs a command in this process and reads what it leaves, whatever the version that wrote it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { main } from '../../packages/cli/src/main.ts';

export interface Output {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export async function moco(...args: string[]): Promise<Output> {
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

interface Tensors {
  readonly metadata: Readonly<Record<string, string>>;
  /** Of each tensor's bytes, by the tensor's name. */
  readonly sums: Readonly<Record<string, number>>;
}

/** A safetensors file, read by nothing of the project's. */
function safetensors(path: string): Tensors {
  const bytes = readFileSync(path);
  const front = 8 + Number(bytes.readBigUInt64LE());
  const { __metadata__: metadata, ...entries } = JSON.parse(bytes.toString('utf8', 8, front));
  const sums = Object.entries(entries as Record<string, { data_offsets: [number, number] }>)
    .map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => [name, crc32(bytes.subarray(front + from, front + to))],
    )
    .sort(([a], [b]) => (a! < b! ? -1 : 1));
  return { metadata, sums: Object.fromEntries(sums) };
}

/** One number for all tensors of a file, which changes with any bit of them. */
export function sumOf(path: string): number {
  return crc32(JSON.stringify(safetensors(path).sums));
}

type Line = Readonly<Record<string, number>> & { readonly event: string };

export function logOf(folder: string, event: string): Line[] {
  return readFileSync(join(folder, 'log.jsonl'), 'utf8')
    .split('\n')
    .flatMap((line) => (line === '' ? [] : (JSON.parse(line) as Line)))
    .filter((line) => line.event === event);
}

/** Values of a `.npy` of float32. */
export function npyValues(path: string): number[] {
  const bytes = readFileSync(path);
  const from = 10 + bytes.readUInt16LE(8);
  return Array.from({ length: (bytes.length - from) / 4 }, (_, i) => bytes.readFloatLE(from + 4 * i));
}

/** The figures that a command prints: of the lines that end in percent. */
export function percents(text: string): number[] {
  return [...text.matchAll(/(\d+\.\d\d) %/g)].map(([, value]) => Number(value));
}

/** Where each curve of a page begins and ends, as it says in words. */
export function curves(page: string): number[][] {
  const text = readPage(page);
  return [...text.matchAll(/ from (-?[\d.e-]+) to (-?[\d.e-]+)/g)].map(([, from, to]) => [
    Number(from),
    Number(to),
  ]);
}

/** The means in the tables of an ablation's report, each with the least and the greatest seed. */
export function means(page: string): number[][] {
  const text = readPage(page);
  return [...text.matchAll(/(\d+\.\d) \((\d+\.\d) to (\d+\.\d)\)/g)].map(([, ...values]) =>
    values.map(Number),
  );
}

function readPage(path: string): string {
  const text = readFileSync(path, 'utf8');
  const body = text.slice(text.indexOf('<body'));
  const [lost] = /.{0,40}\b(?:undefined|NaN)\b.{0,40}/.exec(body) ?? [];
  if (lost !== undefined) throw new Error(`${path}: ${lost}`);
  return text;
}
