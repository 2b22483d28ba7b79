/** An exported model at work. */
import { availableParallelism } from 'node:os';

export interface OnnxModel {
  /** What it asks for, in order. */
  readonly inputs: readonly OnnxInput[];
  /** The names of its outputs. */
  readonly outputs: readonly string[];
  /** Images are given to the first input. One output for a batch, the first where none is named; and all outputs. */
  run(
    type: 'uint8' | 'float32',
    data: Uint8Array | Float32Array,
    dims: readonly number[],
    output?: string,
  ): Promise<OnnxResult>;
  close(): Promise<void>;
}

export interface OnnxInput {
  readonly name: string;
  /** Its element type, if it is a tensor. */
  readonly type: string | undefined;
  /** Extents, and names of those that are free; empty where the model doesn't say. */
  readonly shape: readonly (number | string)[];
}

export interface OnnxOutput {
  /** Its element type, if it is a tensor. */
  readonly type: string | undefined;
  readonly dims: readonly number[];
  readonly data: Float32Array;
}

export interface OnnxResult extends Omit<OnnxOutput, 'data'> {
  readonly first: Float32Array;
  readonly outputs: Readonly<Record<string, OnnxOutput>>;
}

/**
 * Opens a model in the very ONNX Runtime that the backend runs on.
 * @param threads that compute
 * @throws BackendError when ONNX Runtime refuses it, here or as it runs
 */
export async function openModel(bytes: Uint8Array, threads = availableParallelism()): Promise<OnnxModel> {
  const { loadRuntime, refusal, threading } = await import('@moco-ts/backend-ort');
  const ort = await loadRuntime();
  const refused = (error: unknown) => {
    throw refusal(error);
  };
  const options = { ...threading(threads), logSeverityLevel: 3 as const };
  const session = await ort.InferenceSession.create(bytes, options).catch(refused);
  const inputs = session.inputMetadata.map((input) => ({
    name: input.name,
    type: input.isTensor ? input.type : undefined,
    shape: input.isTensor ? input.shape : [],
  }));
  return {
    inputs,
    outputs: session.outputNames,
    run: async (type, data, dims, name = session.outputNames[0]!) => {
      const feeds = { [session.inputNames[0]!]: new ort.Tensor(type, data, dims) };
      const results = await session.run(feeds).catch(refused);
      const outputs = Object.fromEntries(
        Object.entries(results).map(([name, value]) => {
          const { type, dims = [], data } = value as Partial<OnnxOutput>;
          return [name, { type, dims, data: data as Float32Array }];
        }),
      );
      const { data: first, ...rest } = outputs[name]!;
      return { first, ...rest, outputs };
    },
    close: () => session.release(),
  };
}
