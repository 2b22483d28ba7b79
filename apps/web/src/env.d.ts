/// <reference types="vite/client" />
/** The version of `moco`, by vite.config.ts. */
declare const __MOCO_VERSION__: string;
