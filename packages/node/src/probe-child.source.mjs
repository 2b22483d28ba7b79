// Starts the process from the sources, for tests.
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

register({ tsconfig: fileURLToPath(new URL('../tsconfig.sources.json', import.meta.url)) });
await import('./probe-child.ts');
