/** What is known of an arch by its name alone, as settings and stored configurations have it. */
import { type EncoderTraits, encoderNamed, encoderNames, traitsOf } from '@moco-ts/core';
import { builtInEncoders } from '@moco-ts/encoders';

/** The traits of the encoder that has the name, registered or built in; the defaults for one whose plugin is not loaded. */
export function traitsNamed(arch: string): EncoderTraits {
  const known = encoderNames().includes(arch)
    ? encoderNamed(arch)
    : builtInEncoders.find(({ name }) => name === arch);
  return traitsOf(known);
}
