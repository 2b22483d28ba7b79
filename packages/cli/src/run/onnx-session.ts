/** An exported model at work. */

export interface OnnxModel {
  /** The first output for a batch; all outputs by name as `all`. */
  run(
    type: 'uint8' | 'float32',
    data: Uint8Array | Float32Array,
    dims: readonly number[],
  ): Promise<OnnxResult>;
  close(): Promise<void>;
}

export interface OnnxResult {
  readonly first: Float32Array;
  readonly all: Readonly<Record<string, Float32Array>>;
}

/** Opens a model of one input in the very ONNX Runtime that the backend runs on. */
export async function openModel(bytes: Uint8Array): Promise<OnnxModel> {
  const { loadRuntime } = await import('@moco-ts/backend-ort');
  const ort = await loadRuntime();
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 });
  return {
    run: async (type, data, dims) => {
      const results = await session.run({ [session.inputNames[0]!]: new ort.Tensor(type, data, dims) });
      const all = Object.fromEntries(
        Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]),
      );
      return { first: all[session.outputNames[0]!]!, all };
    },
    close: () => session.release(),
  };
}
