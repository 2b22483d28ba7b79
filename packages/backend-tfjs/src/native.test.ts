import { describe, expect, it } from 'vitest';
import { reason } from './native.ts';
import { tfjsPlugin } from './plugin.ts';

const name = '@tensorflow/tfjs-node';
const error = (message: string, code?: string) => Object.assign(new Error(message), { code });

it.each(['gpu', 'constructor'])('tfjs has no device "%s"', async (device) => {
  await expect(tfjsPlugin.create({ device })).rejects.toThrow(`tfjs has no device "${device}"; known are: `);
});

describe('what tfjs:node lacks', () => {
  it('is told in one line where nothing is installed', async () => {
    await expect(tfjsPlugin.create({ device: 'node' })).rejects.toThrow(
      'tfjs:node is not usable here: it needs the package @tensorflow/tfjs-node: npm install @tensorflow/tfjs-node',
    );
    await expect(tfjsPlugin.create({ device: 'node-gpu' })).rejects.toThrow(
      'npm install @tensorflow/tfjs-node-gpu',
    );
  });

  it.each([
    [
      error(`Cannot find package '${name}' imported from /x`, 'ERR_MODULE_NOT_FOUND'),
      'npm install @tensorflow/tfjs-node',
    ],
    [error('The Node.js native addon module (tfjs_binding.node) can not be found at path'), 'the binding of'],
    [
      error('libtensorflow.so.2: cannot open shared object file: No such file'),
      "TensorFlow's library is missing (libtensorflow.so.2)",
    ],
    [
      error('libcudart.so.11.0: cannot open shared object file: No such file'),
      'CUDA is missing (libcudart.so.11.0)',
    ],
    [
      error('libcudnn.so.8: cannot open shared object file: No such file'),
      'cuDNN is missing (libcudnn.so.8)',
    ],
    [error('something else\nand more'), 'something else'],
  ])('%s', (given, cause) => {
    const line = reason(name, given);
    expect(line).toContain(cause);
    expect(line).not.toContain('\n');
  });
});
