import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { packEmoji } from './build/emoji.ts';
import { withFields } from './build/form.ts';

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));
const { version } = JSON.parse(readFileSync(path('../../packages/cli/package.json'), 'utf8')) as {
  readonly version: string;
};

export default defineConfig({
  root: path('.'),
  // The page may lie in any folder of a server.
  base: './',
  publicDir: 'generated',
  define: { __MOCO_VERSION__: JSON.stringify(version) },
  resolve: {
    alias: [
      { find: '@moco-ts/data/portable', replacement: path('../../packages/data/src/portable.ts') },
      { find: /^@moco-ts\/([a-z-]+)$/, replacement: path('../../packages/$1/src/index.ts') },
    ],
  },
  build: {
    outDir: 'dist/site',
    target: 'es2023',
    chunkSizeWarningLimit: 2000,
    // Only ever imported in Node.
    rolldownOptions: { external: ['node:module'] },
  },
  worker: { format: 'es', rolldownOptions: { external: ['node:module'] } },
  plugins: [
    {
      name: 'emoji',
      async buildStart() {
        if (!existsSync(path('generated/emoji.json'))) await packEmoji(path('generated'));
      },
    },
    { name: 'form', transformIndexHtml: withFields },
  ],
});
