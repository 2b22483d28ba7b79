import { expect, it } from 'vitest';
import { parseSpec } from './replay-spec.ts';

it("fills in the method's head and temperature", () => {
  expect(parseSpec('{"method":"moco-v1"}', 's')).toMatchObject({ mlp: false, t: 0.07, K: 4096, bnSplits: 8 });
  expect(parseSpec('{"mlp":null,"t":null,"steps":null}', 's')).toMatchObject({
    method: 'moco-v2',
    mlp: true,
    t: 0.2,
  });
  expect(parseSpec('{"method":"moco-v1","t":0.5,"steps":2}', 's')).toMatchObject({ t: 0.5, steps: 2 });
});

it.each([
  ['{', 's is no JSON'],
  ['[]', 's holds no JSON object'],
  ['{"kk":1}', 's: unknown key "kk"'],
  ['{"K":"4096"}', 's: "K" should be a number'],
  ['{"K":1.5}', 's: "K" should be a whole number'],
  ['{"bn":"batch"}', 's: "bn" should be one of'],
])('refuses %s', (text, message) => {
  expect(() => parseSpec(text, 's')).toThrow(message);
});
