#!/usr/bin/env node
import '@moco-ts/cli/bin';
