import { folders, sourceFiles } from './files.mjs';

const chosen = process.env.MOCO_MUTATE ? process.env.MOCO_MUTATE.split(',') : Object.keys(folders);

/** See https://stryker-mutator.io/docs/stryker-js/configuration */
export default {
  plugins: ['./scripts/mutation/runner.mjs'],
  testRunner: 'in-process',
  mutate: sourceFiles(process.cwd(), chosen),
  coverageAnalysis: 'perTest',
  ignorers: ['messages'],
  concurrency: Number(process.env.MOCO_MUTATION_PROCESSES ?? 2),
  // Loops without end are found by counting; the rest is a busy machine.
  timeoutMS: 60_000,
  timeoutFactor: 1.5,
  incremental: true,
  incrementalFile: 'coverage/mutation/incremental.json',
  reporters: ['json', 'progress-append-only'],
  jsonReporter: { fileName: 'coverage/mutation/report.json' },
  tempDirName: 'coverage/mutation/sandbox',
  // Only a checker of types would read it, and there is none.
  tsconfigFile: 'none.json',
  // The sandbox needs the packages and PyTorch's results alone.
  ignorePatterns: [
    ...[
      '.ci',
      '.github',
      'benchmarks',
      'docs',
      'examples',
      'scripts',
      'coverage',
      '**/dist',
      '*.tsbuildinfo',
    ],
    ...['backend-ort', 'backend-tfjs', 'backend-webgpu', 'cli', 'data', 'exchange', 'node', 'onnx'].map(
      (name) => `packages/${name}`,
    ),
  ],
  disableTypeChecks: false,
  allowConsoleColors: false,
  packageManager: 'npm',
};
