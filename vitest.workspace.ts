/** The test projects: one per package, so that `vitest --project core` runs a room on its own. */
const packages = [
  'core',
  'onnx',
  'backend-testing',
  'backend-ort',
  'backend-tfjs',
  'backend-webgpu',
  'backend-xla',
  'distributed',
  'encoders',
  'data',
  'run',
  'exchange',
  'node',
  'cli',
  'moco',
];

const projects = packages.map((name) => ({
  extends: true as const,
  test: { name, include: [`packages/${name}/src/**/*.test.ts`] },
}));

const examples = {
  extends: true as const,
  test: { name: 'examples', include: ['examples/**/*.test.js'] },
};

const docs = {
  extends: true as const,
  test: { name: 'docs', include: ['tests/docs/*.test.ts'] },
};

/** Files of earlier versions. */
const compat = {
  extends: true as const,
  test: { name: 'compat', include: ['tests/compat/*.test.ts'] },
};

const scripts = {
  extends: true as const,
  test: { name: 'scripts', include: ['scripts/**/*.test.mjs'] },
};

/** What needs a GPU's driver (or one in software) and the package `webgpu`: scripts/test-webgpu.sh. */
const gpu = {
  extends: true as const,
  test: { name: 'gpu', include: ['packages/*/src/**/*.gpu.ts'] },
};

/** What needs TensorFlow's library: scripts/test-tfjs-node.sh. */
const native = {
  extends: true as const,
  test: { name: 'native', include: ['packages/*/src/**/*.native.ts'] },
};

/** What needs an NVIDIA GPU: scripts/test-cuda.sh. */
const cuda = {
  extends: true as const,
  test: { name: 'cuda', include: ['packages/*/src/**/*.cuda.ts'] },
};

/** What needs a PJRT plugin: scripts/test-xla.sh. */
const xla = {
  extends: true as const,
  test: { name: 'xla', include: ['packages/*/src/**/*.xla.ts'] },
};

/** What needs launchers of MPI: scripts/test-mpi.sh. */
const mpi = {
  extends: true as const,
  test: { name: 'mpi', include: ['tests/mpi/*.mpi.ts'] },
};

/** What runs in a browser: scripts/test-chromium.sh. */
async function chromium() {
  const { playwright } = await import('@vitest/browser-playwright');
  const launchOptions = {
    executablePath: process.env.MOCO_CHROMIUM!,
    args: [
      '--no-sandbox',
      '--enable-unsafe-webgpu',
      ...(process.env.MOCO_CHROMIUM_ARGS ?? '').split(' ').filter(Boolean),
    ],
  };
  return {
    extends: true as const,
    test: {
      name: 'chromium',
      include: ['packages/*/src/**/*.chromium.ts'],
      browser: {
        enabled: true,
        headless: true,
        screenshotFailures: false,
        provider: playwright({ launchOptions }),
        instances: [{ browser: 'chromium' as const }],
      },
    },
  };
}

/** What needs a browser, the pages that commands write: scripts/test-pages.sh. */
const pages = {
  extends: true as const,
  test: { name: 'pages', include: ['packages/*/src/**/*.page.ts'] },
};

/** The parts of apps/web. */
const web = {
  extends: true as const,
  test: { name: 'web', include: ['apps/web/src/**/*.test.ts'] },
};

/** What needs Chromium and the built page of apps/web: scripts/test-web.sh. */
const browser = {
  extends: true as const,
  test: { name: 'browser', include: ['apps/web/test/**/*.web.ts'] },
};

async function chosen() {
  const { MOCO_PAGES, MOCO_WEB, MOCO_CHROMIUM_KIT, MOCO_GPU, MOCO_CUDA, MOCO_TFJS_NODE, MOCO_XLA, MOCO_MPI } =
    process.env;
  if (MOCO_WEB) return [browser];
  if (MOCO_PAGES) return [pages];
  if (MOCO_CHROMIUM_KIT) return [await chromium()];
  if (MOCO_GPU) return [gpu];
  if (MOCO_CUDA) return [cuda];
  if (MOCO_XLA) return [xla];
  if (MOCO_MPI) return [mpi];
  return MOCO_TFJS_NODE ? [native] : [...projects, examples, docs, compat, scripts, web];
}

export default await chosen();
