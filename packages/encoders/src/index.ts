export * from './archs.ts';
export { sinCosPositions } from './positions.ts';
export { builtInEncoders, registerEncoders, traitsNamed } from './register.ts';
export { defineResnet, type ResnetConfig, type ResnetEncoder, type ResnetSpec } from './resnet.ts';
export { defineVit, type VitEncoder } from './vit.ts';
export { defaultPatchSize, type VitConfig, type VitSpec } from './vit-layout.ts';
