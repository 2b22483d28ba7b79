export { type Launch, launched } from './find.ts';
export { openWorld, type World } from './world.ts';
