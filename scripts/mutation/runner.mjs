// A test runner for Stryker that runs test files in its own process, each from a bundle that is evaluated afresh for each
// mutant. Stryker's runner for vitest starts a worker and imports every module anew for each mutant (seconds), and sees
// what a test computes in the body of a `describe` as code outside of tests. Here a file is one test: all that it runs,
// from the import of its modules on, runs under the mutant.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import {
  ASYMMETRIC_MATCHERS_OBJECT,
  chai,
  customMatchers,
  JestAsymmetricMatchers,
  JestChaiExpect,
  JestExtend,
  setState,
} from '@vitest/expect';
import { afterAll, afterEach, beforeAll, beforeEach, describe, it, startTests, test } from '@vitest/runner';
import { build } from 'esbuild';
import { skipped, testFiles } from './files.mjs';

globalThis.__stryker__ ??= {};

const status = { success: 0, failed: 1 };

chai.use(JestExtend);
chai.use(JestChaiExpect);
chai.use(JestAsymmetricMatchers);
const expect = Object.assign((value, message) => chai.expect(value, message), chai.expect);
Object.assign(expect, globalThis[ASYMMETRIC_MATCHERS_OBJECT]);
chai.expect.extend(expect, customMatchers);
setState({ assertionCalls: 0, isExpectingAssertions: false, expectedAssertionsNumber: null }, expect);
const vitest = { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test };

/** Sources by `@moco-ts/<package>`, and `import.meta.url` as that of the file that asks for it. */
const sources = (root) => ({
  name: 'sources',
  setup(bundle) {
    bundle.onResolve({ filter: /^@moco-ts\/[a-z-]+$/ }, ({ path }) => ({
      path: join(root, 'packages', path.split('/')[1], 'src', 'index.ts'),
    }));
    bundle.onLoad({ filter: /packages\/.*\.ts$/ }, ({ path }) => ({
      loader: 'ts',
      contents: readFileSync(path, 'utf8').replaceAll(
        'import.meta.url',
        JSON.stringify(pathToFileURL(path).href),
      ),
    }));
  },
});

class InProcessRunner {
  #root = process.cwd();
  #scripts = new Map();
  #took = new Map();
  /** Where instrumented code looks for the active mutant, and counts what it reaches. */
  #stryker = globalThis.__stryker__;

  capabilities() {
    return { reloadEnvironment: true };
  }

  async init() {
    const { outputFiles } = await build({
      absWorkingDir: this.#root,
      entryPoints: testFiles(this.#root),
      outdir: 'bundles',
      outbase: this.#root,
      bundle: true,
      write: false,
      platform: 'node',
      format: 'cjs',
      external: ['vitest'],
      plugins: [sources(this.#root)],
      logLevel: 'error',
    });
    const folder = join(this.#root, 'bundles');
    for (const { path, text } of outputFiles) {
      const name = relative(folder, path).replace(/\.js$/, '.ts');
      const wrapped = `(function (require, module, exports) {${text}\n})`;
      this.#scripts.set(name, new Script(wrapped, { filename: path }));
    }
  }

  /** Every test file once, without a mutant: which mutants does each reach, and how long does it take? */
  async dryRun() {
    const tests = [];
    for (const name of this.#scripts.keys()) {
      this.#stryker.activeMutant = undefined;
      this.#stryker.currentTestId = name;
      tests.push(await this.#run(name));
      this.#took.set(name, tests.at(-1).timeSpentMs);
    }
    this.#stryker.currentTestId = undefined;
    return { status: 'complete', tests, mutantCoverage: this.#stryker.mutantCoverage };
  }

  /** The quickest file first, up to the first that fails. */
  async mutantRun({ activeMutant, testFilter = [...this.#scripts.keys()], hitLimit }) {
    Object.assign(this.#stryker, { activeMutant: activeMutant.id, hitCount: 0, hitLimit });
    const order = [...testFilter].sort((a, b) => (this.#took.get(a) ?? 0) - (this.#took.get(b) ?? 0));
    let nrOfTests = 0;
    for (const name of order) {
      const result = await this.#run(name);
      nrOfTests++;
      this.#took.set(name, Math.max(this.#took.get(name) ?? 0, result.timeSpentMs * 0.5));
      if (this.#stryker.hitCount > hitLimit) return { status: 'timeout', reason: 'hit limit' };
      if (result.status === status.failed)
        return { status: 'killed', killedBy: [name], failureMessage: result.failureMessage, nrOfTests };
    }
    return { status: 'survived', nrOfTests };
  }

  async #run(name) {
    const failures = [];
    let over = false;
    const require = createRequire(join(this.#root, name));
    const runner = {
      config: {
        root: this.#root,
        setupFiles: [],
        passWithNoTests: false,
        testTimeout: 60_000,
        hookTimeout: 60_000,
        retry: 0,
        maxConcurrency: 1,
        includeTaskLocation: false,
        sequence: { hooks: 'stack', setupFiles: 'list', seed: 0 },
        chaiConfig: undefined,
        tags: [],
      },
      importFile: () => {
        const module = { exports: {} };
        const load = (id) => (id === 'vitest' ? vitest : require(id));
        this.#scripts.get(name).runInThisContext()(load, module, module.exports);
      },
      // The rest of a file is skipped after its first failure.
      onBeforeRunTask: (task) => {
        if (over || skipped.test(`${task.suite?.name} ${task.name}`)) task.mode = 'skip';
      },
      onAfterRunTask: (task) => {
        if (task.result?.state === 'fail') over = true;
      },
      onTaskUpdate: () => {},
    };
    const began = performance.now();
    const files = await startTests([join(this.#root, name)], runner);
    const collect = (task) => {
      for (const error of task.result?.errors ?? []) failures.push(`${task.name}: ${error.message}`);
      for (const child of task.tasks ?? []) collect(child);
    };
    files.forEach(collect);
    const failed = files.some(({ result }) => result?.state !== 'pass');
    return {
      id: name,
      name,
      fileName: join(this.#root, name),
      timeSpentMs: performance.now() - began,
      ...(failed
        ? { status: status.failed, failureMessage: failures[0] ?? 'failed' }
        : { status: status.success }),
    };
  }
}

/** The wording of errors is free: tests look at what a message must name, where that matters. */
const messages = {
  shouldIgnore(path) {
    if (!path.isStringLiteral() && !path.isTemplateLiteral()) return undefined;
    const thrown = path.findParent(
      (parent) => parent.isNewExpression() && /Error$/.test(parent.node.callee.name),
    );
    return thrown ? 'the wording of an error' : undefined;
  },
};

export const strykerPlugins = [
  { kind: 'Ignore', name: 'messages', value: messages },
  { kind: 'TestRunner', name: 'in-process', injectableClass: InProcessRunner },
];
