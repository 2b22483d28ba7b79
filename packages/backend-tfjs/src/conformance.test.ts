import { testBackend } from '@moco-ts/backend-testing';
import { tfjsPlugin } from './plugin.ts';

// Float32 sums of up to a few thousand terms against float64: 2e-5 of the largest value leaves a factor of about ten.
const tolerance = 2e-5;

const shared = { tolerance, repeatsBits: true };

testBackend(() => tfjsPlugin.create({ device: 'cpu' }), { name: 'tfjs:cpu', ...shared });
testBackend(() => tfjsPlugin.create({ device: 'wasm' }), { name: 'tfjs:wasm', ...shared });
