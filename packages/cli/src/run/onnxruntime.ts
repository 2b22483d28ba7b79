/** The part of onnxruntime-node's types that is used here. */
export interface Value {
  readonly data: unknown;
}

export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Readonly<Record<string, Value>>): Promise<Record<string, Value>>;
  release(): Promise<void>;
}

export declare const InferenceSession: {
  create(bytes: Uint8Array, options: { readonly logSeverityLevel: number }): Promise<Session>;
};

export declare const Tensor: new (
  type: 'uint8' | 'float32',
  data: Uint8Array | Float32Array,
  dims: readonly number[],
) => Value;
