import { KERNELS } from './kernels.bytes.ts';

/** The functions of `wasm/kernels.ts`; every number but counts and weights is an address in `memory`. */
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  base(): number;
  across(
    from: number,
    pitch: number,
    rows: number,
    axis: number,
    pairs: number,
    columns: number,
    to: number,
  ): void;
  down(from: number, line: number, rows: number, axis: number, pairs: number, to: number): void;
  blend(data: number, length: number, factor: number, mean: number): void;
  planes(data: number, size: number, tables: number, mirrored: number, to: number): void;
  greySum(data: number, length: number): number;
  saturate(data: number, length: number, factor: number): void;
  hue(data: number, length: number, turn: number): void;
  blur(
    data: number,
    lines: number,
    length: number,
    step: number,
    radius: number,
    lows: number,
    highs: number,
    a: number,
    b: number,
  ): void;
}

/** What is used of the engine's WebAssembly; its types are in the browser's library only. */
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
}

export interface Kernels {
  readonly run: Exports;
  /** Room for areas of these many bytes, each with slack behind; returns their addresses and all bytes. */
  room(lengths: readonly number[]): { readonly at: readonly number[]; readonly bytes: Uint8Array };
}

/** Vectors read and write up to this much beyond the end. */
const SLACK = 64;
const PAGE = 65536;

/** Per thread: null where WebAssembly or its vectors are missing, and the TypeScript forms do the work. */
export const kernels: Kernels | null = instantiate();

function instantiate(): Kernels | null {
  const engine = (globalThis as { WebAssembly?: Engine }).WebAssembly;
  if (engine === undefined) return null;
  let run: Exports;
  try {
    const binary = Uint8Array.from(atob(KERNELS), (letter) => letter.charCodeAt(0));
    run = new engine.Instance(new engine.Module(binary)).exports as Exports;
  } catch {
    return null;
  }
  const base = run.base();
  let bytes = new Uint8Array(run.memory.buffer);
  return {
    run,
    room(lengths) {
      let end = base;
      const at = lengths.map((length) => {
        const start = end;
        end = (start + length + SLACK + 15) & ~15;
        return start;
      });
      const missing = end - run.memory.buffer.byteLength;
      if (missing > 0) run.memory.grow(Math.ceil(missing / PAGE));
      if (bytes.buffer !== run.memory.buffer) bytes = new Uint8Array(run.memory.buffer);
      return { at, bytes };
    },
  };
}
