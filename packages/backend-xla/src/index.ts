export { type InstallPlan, installPlugin, planInstall } from './install/install.ts';
export { packageIndex } from './install/package-index.ts';
export { xlaPlugin } from './plugin.ts';
