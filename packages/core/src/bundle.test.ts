/// <reference types="node" />
/** Core runs in a browser: it depends on no package and on no API of Node. */
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createContext, runInContext } from 'node:vm';
import { build } from 'esbuild';
import { beforeAll, expect, it } from 'vitest';

const sources = dirname(fileURLToPath(import.meta.url));
let code = '';
let inputs: string[] = [];
let imports: unknown[] = [];

beforeAll(async () => {
  // Nothing is external: an import of a package or of `node:...` is an error or an input from elsewhere.
  const result = await build({
    entryPoints: [resolve(sources, 'index.ts')],
    absWorkingDir: sources,
    bundle: true,
    write: false,
    metafile: true,
    minify: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'core',
    target: 'es2023',
    logLevel: 'silent',
  });
  code = result.outputFiles[0]!.text;
  inputs = Object.keys(result.metafile.inputs);
  imports = Object.values(result.metafile.outputs).flatMap((output) => output.imports);
});

it('is bundled from its own sources alone', () => {
  expect(inputs.length).toBeGreaterThan(30);
  expect(inputs.filter((path) => path.startsWith('..') || path.includes('node_modules'))).toEqual([]);
  expect(imports).toEqual([]);
});

it('names no global of Node', () => {
  const globals = /(?<![.\w$])(process|Buffer|require|__dirname|__filename|global|setImmediate)(?![\w$:])/g;
  expect(code.match(globals)).toBeNull();
});

it('computes where there is nothing but the language and two web globals', () => {
  const context = createContext({ TextEncoder, TextDecoder });
  const result = runInContext(
    `${code};
    const { trace, sum, mul, grad, interpret, encodeSafetensors, decodeSafetensors, tensor } = core;
    const graph = trace((builder) => {
      const x = builder.input('x', [3]);
      return { loss: sum(mul(x, x)) };
    });
    const outputs = interpret(grad(graph, 'loss', ['x']), { x: { shape: [3], data: [1, 2, 3] } });
    const file = encodeSafetensors({ g: tensor(outputs['grad.x'].data, [3]) });
    [...decodeSafetensors(file, 'memory').tensors.g.data].join()`,
    context,
  );
  expect(result).toBe('2,4,6');
});
