// Starts the thread from the sources, for tests: `--import tsx` does not reach a thread's own entry on Node 20.
import { fileURLToPath } from 'node:url';
import { register } from 'tsx/esm/api';

register({ tsconfig: fileURLToPath(new URL('../../tsconfig.sources.json', import.meta.url)) });
await import('./worker.ts');
