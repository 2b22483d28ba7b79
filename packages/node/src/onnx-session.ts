/** An exported model at work. */

export interface OnnxModel {
  /** The names of its outputs. */
  readonly outputs: readonly string[];
  /** One output for a batch, the first where none is named; all outputs by name as `all`. */
  run(
    type: 'uint8' | 'float32',
    data: Uint8Array | Float32Array,
    dims: readonly number[],
    output?: string,
  ): Promise<OnnxResult>;
  close(): Promise<void>;
}

export interface OnnxResult {
  readonly first: Float32Array;
  /** Of that output: its element type, if it is a tensor, and its extents. */
  readonly type: string | undefined;
  readonly dims: readonly number[];
  readonly all: Readonly<Record<string, Float32Array>>;
}

/**
 * Opens a model of one input in the very ONNX Runtime that the backend runs on.
 * @throws BackendError when ONNX Runtime refuses it, here or as it runs
 */
export async function openModel(bytes: Uint8Array): Promise<OnnxModel> {
  const { loadRuntime, refusal } = await import('@moco-ts/backend-ort');
  const ort = await loadRuntime();
  const refused = (error: unknown) => {
    throw refusal(error);
  };
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 3 }).catch(refused);
  return {
    outputs: session.outputNames,
    run: async (type, data, dims, name = session.outputNames[0]!) => {
      const feeds = { [session.inputNames[0]!]: new ort.Tensor(type, data, dims) };
      const results = await session.run(feeds).catch(refused);
      const all = Object.fromEntries(
        Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]),
      );
      const { type: kind, dims: extents = [] } = results[name]! as {
        readonly type?: string;
        readonly dims?: readonly number[];
      };
      return { first: all[name]!, type: kind, dims: extents, all };
    },
    close: () => session.release(),
  };
}
