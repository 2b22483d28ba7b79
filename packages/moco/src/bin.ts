#!/usr/bin/env node
import { main } from '@moco-ts/cli';

const code = await main(process.argv.slice(2));
// Native thread pools may hold the process open; everything that matters is on disk by now.
process.exit(code);
