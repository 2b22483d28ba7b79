export * from './archs.ts';
export { registerEncoders } from './register.ts';
export { defineResnet, type ResnetConfig, type ResnetSpec } from './resnet.ts';
