#!/usr/bin/env node
import { main } from './main.ts';

const code = await main(process.argv.slice(2));
// Native thread pools may hold the process open; everything that matters is on disk by now, except what a slow reader of
// a pipe has not read yet.
for (const stream of [process.stdout, process.stderr])
  await new Promise<void>((resolve) => stream.write('', () => resolve()));
process.exit(code);
