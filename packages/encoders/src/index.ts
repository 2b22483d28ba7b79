export * from './archs.ts';
export { sinCosPositions } from './positions.ts';
export { builtInEncoders, registerEncoders } from './register.ts';
export { defineResnet, type ResnetConfig, type ResnetSpec } from './resnet.ts';
export { defineVit } from './vit.ts';
export type { VitConfig, VitSpec } from './vit-layout.ts';
