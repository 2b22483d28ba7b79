/** A run that begins from given weights. */
import { CheckpointError, type Params, printable, sameShape, type Tensor } from '@moco-ts/core';

/** What became of the given weights, by the names that states have. */
export interface Start {
  readonly state: Record<string, Tensor>;
  readonly taken: readonly string[];
  /** Those that the state keeps as a fresh run has them. */
  readonly random: readonly string[];
  /** Those that the state has no place for. */
  readonly unused: readonly string[];
}

/** What given weights replace. A head or predictor of which a part does not fit is left as it is. */
const parts = [/^q\.(?!fc\.)/, /^q\.fc\./, /^predictor\./];

/** The stem of ResNets, all that another `stem` changes of them. */
const stem = 'q.conv1.weight';

/**
 * A fresh state with given weights in the place of its random ones: the query encoder's, with its head and predictor where they
 * fit. What is a copy of it, such as the key encoder, is a copy of them.
 * @param given `q.*`, its head under `q.fc`, and `predictor.*`
 * @param source the file, for messages
 * @throws CheckpointError when an encoder's weight is missing or has another shape, but for the stem of a ResNet
 */
export function startFrom(fresh: Readonly<Record<string, Tensor>>, given: Params, source: string): Start {
  const fits = (name: string) => {
    const tensor = given[name];
    return tensor !== undefined && sameShape(tensor.shape, fresh[name]!.shape);
  };
  const [encoder = [], ...heads] = parts.map((part) => Object.keys(fresh).filter((name) => part.test(name)));
  const strange = encoder.find((name) => name !== stem && !fits(name));
  if (strange !== undefined) throw mismatch(source, strange, given[strange], fresh[strange]!);
  const taken = [encoder.filter(fits), ...heads.filter((names) => names.every(fits))].flat();
  const replaced = new Set(taken);
  const state = Object.fromEntries(
    Object.entries(fresh).map(([name, value]) => {
      if (replaced.has(name)) return [name, given[name]!];
      const original = `q.${name.slice(name.indexOf('.') + 1)}`;
      return [name, replaced.has(original) && fresh[original] === value ? given[original]! : value];
    }),
  );
  return {
    state,
    taken,
    random: [encoder, ...heads].flat().filter((name) => !replaced.has(name)),
    unused: Object.keys(given).filter((name) => !replaced.has(name)),
  };
}

function mismatch(
  source: string,
  name: string,
  given: Tensor | undefined,
  { shape }: Tensor,
): CheckpointError {
  const fault = given ? `is [${given.shape.join(', ')}]` : 'is missing';
  return new CheckpointError(
    `${source}: "${printable(name.slice(2))}" ${fault}, that of this run [${shape.join(', ')}]: it is another model`,
    { code: 'checkpoint-mismatch' },
  );
}
