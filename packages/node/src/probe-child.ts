/** A process that tries the backend it is told, and prints what it found: started by `backends.ts`. */
import { probeHere } from './backends.ts';

const found = await probeHere(process.argv[2] ?? '');
process.stdout.write(JSON.stringify(found), () => process.exit(0));
