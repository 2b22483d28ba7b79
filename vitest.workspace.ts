/** The test projects: one per package, so that `vitest --project core` runs a room on its own. */
const packages = ['core', 'onnx', 'backend-testing', 'backend-ort', 'encoders', 'data', 'cli'];

export default packages.map((name) => ({
  extends: true as const,
  test: { name, include: [`packages/${name}/src/**/*.test.ts`] },
}));
