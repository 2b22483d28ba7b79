import { join } from 'node:path';
import { ortPlugin } from '@moco-ts/backend-ort';
import { type DType, defineBackend, registerBackend } from '@moco-ts/core';
import { expect, it } from 'vitest';
import { differences, imageFolder, logged, moco, temporaryFolder, tiny } from '../../cli/src/testing.ts';

/** What steps were given, by name. */
const given = new Map<string, DType>();

/** ONNX Runtime, as a backend that is better given bytes. */
registerBackend('bytes', async () =>
  defineBackend({
    name: 'bytes',
    create: async (options) => {
      const backend = await ortPlugin.create(options);
      return {
        ...backend,
        capabilities: () => ({ ...backend.capabilities(), byteImages: true }),
        compile: (graph, compileOptions) => {
          if (compileOptions?.state?.some(({ output }) => output !== undefined))
            for (const { name, value } of graph.inputs) given.set(name, graph.values[value]!.dtype);
          return backend.compile(graph, compileOptions);
        },
      };
    },
  }),
);

it.each(['moco-v2', 'instdisc'])('%s is given bytes, and the run is the same to the bit', async (method) => {
  const images = imageFolder(20);
  const root = temporaryFolder();
  const [usual, bytes] = ['usual', 'bytes'].map((name) => join(root, name)) as [string, string];
  const flags = ['pretrain', images, ...tiny, '--method', method, '--max-steps', '3'];
  expect(await moco(...flags, '--out', usual)).toMatchObject({ code: 0 });
  given.clear();
  expect(await moco(...flags, '--backend', 'bytes', '--out', bytes)).toMatchObject({ code: 0 });
  expect(given.get('xq')).toBe('uint8');
  const losses = (folder: string) => logged(folder, 'step').map(({ loss }) => loss);
  expect(losses(bytes)).toEqual(losses(usual));
  const last = 'checkpoint-0001-00001.safetensors';
  expect(differences(join(bytes, last), join(usual, last))).toEqual([]);
});
