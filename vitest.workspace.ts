/** The test projects: one per package, so that `vitest --project core` runs a room on its own. */
const packages = [
  'core',
  'onnx',
  'backend-testing',
  'backend-ort',
  'backend-tfjs',
  'backend-webgpu',
  'encoders',
  'data',
  'exchange',
  'cli',
];

const projects = packages.map((name) => ({
  extends: true as const,
  test: { name, include: [`packages/${name}/src/**/*.test.ts`] },
}));

const examples = {
  extends: true as const,
  test: { name: 'examples', include: ['examples/**/*.test.js'] },
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

export default process.env.MOCO_GPU ? [gpu] : process.env.MOCO_TFJS_NODE ? [native] : [...projects, examples];
