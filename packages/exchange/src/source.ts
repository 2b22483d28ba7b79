/** Where a file's bytes come from: see core, whose reader of safetensors takes the same. */
export { type ByteSource, bytesSource, readExactly } from '@moco-ts/core';
