// What the conformance kit uses of vitest, for machines that have Node and nothing else: pack.mjs bundles the kit with this.
import { chai, JestChaiExpect, setState } from '@vitest/expect';

chai.use(JestChaiExpect);
export const expect = (value, message) => chai.expect(value, message);
expect.fail = (message) => chai.expect.fail(message);
setState({ assertionCalls: 0, isExpectingAssertions: false, testPath: '' }, expect);

const tests = [];
const before = [];
const after = [];
const path = [];

/** `%s`, `%i` and `$name` in a title, which is all that the kit uses. */
function title(text, value) {
  const values = Array.isArray(value) ? [...value] : [value];
  return text
    .replace(/%[sdi]/g, () => `${values.shift()}`)
    .replace(/\$(\w+)/g, (_, key) => `${value?.[key]}`);
}

const spread = (value, body) => (Array.isArray(value) ? body(...value) : body(value));

export function describe(name, body) {
  path.push(name);
  body();
  path.pop();
}
describe.each = (values) => (text, body) => {
  for (const value of values) describe(title(text, value), () => spread(value, body));
};

export function it(name, body) {
  tests.push({ name: [...path, name].join(' > '), body });
}
it.each = (values) => (text, body) => {
  for (const value of values) it(title(text, value), () => spread(value, body));
};
it.for = (values) => (text, body) => {
  for (const value of values) it(title(text, value), (context) => body(value, context));
};
export const beforeAll = (body) => before.push(body);
export const afterAll = (body) => after.push(body);

/**
 * Runs what was registered, one test after the other.
 * @param options.only a pattern that a test's whole name matches
 * @param options.shard [i, n]: every n-th test, from the i-th on
 * @param options.seconds no test begins later
 * @param options.each is given each result: {name, error?, tolerance?, message?, ms}; `message` tells why a test failed
 * @returns how many tests were left out for want of time
 */
export async function runTests({ only = /./, shard = [0, 1], seconds = Infinity, each }) {
  const chosen = tests.filter(({ name }) => only.test(name)).filter((_, k) => k % shard[1] === shard[0]);
  const start = performance.now();
  for (const body of before) await body();
  let done = 0;
  for (const { name, body } of chosen) {
    if (performance.now() - start > seconds * 1000) break;
    const task = { meta: {} };
    const began = performance.now();
    const message = await failure(() => body({ task }));
    each({ name, ...task.meta.kit, message, ms: Math.round(performance.now() - began) });
    done++;
  }
  for (const body of after) await body();
  return chosen.length - done;
}

async function failure(body) {
  try {
    await body();
    return undefined;
  } catch (error) {
    return `${error?.message ?? error}`.slice(0, 400);
  }
}
