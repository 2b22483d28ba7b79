/** What a model file of a stranger asks for before it is given to a runtime, other files and loops without end, and what it notes of itself. */
import protobuf from 'protobufjs/light.js';

export interface ModelDemands {
  /** Where its tensors are that are not inside it, as it names them. */
  readonly externalData: readonly string[];
  /** The ops in it that may never end, if any. */
  readonly endless: readonly string[];
  /** What its maker noted, by key. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Messages by the numbers of their fields in onnx.proto, as far as tensors and nodes may lie in them. */
const messages: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  model: { 7: 'graph', 14: 'entry', 20: 'training', 25: 'function' },
  training: { 1: 'graph', 2: 'graph' },
  function: { 7: 'node', 11: 'attribute' },
  graph: { 1: 'node', 5: 'tensor', 15: 'sparse' },
  sparse: { 1: 'tensor', 2: 'tensor' },
  node: { 4: 'opType', 5: 'attribute' },
  attribute: { 5: 'tensor', 6: 'graph', 10: 'tensor', 11: 'graph', 22: 'sparse', 23: 'sparse' },
  tensor: { 13: 'entry' },
  entry: { 1: 'key', 2: 'value' },
};

/** Nesting of messages that protobuf's own readers take. */
const deepest = 100;
const endless: ReadonlySet<string> = new Set(['Loop', 'Scan']);

/** @throws RangeError for bytes that are no message, or nest too deep */
export function modelDemands(bytes: Uint8Array): ModelDemands {
  const [externalData, loops] = [new Set<string>(), new Set<string>()];
  const metadata = new Map<string, string>();
  const reader = protobuf.Reader.create(bytes);
  const texts = { key: '', value: '' };
  const read = (message: string, end: number, depth: number): void => {
    if (depth > deepest) throw new RangeError('its messages nest too deep');
    while (reader.pos < end) {
      const tag = reader.uint32();
      const inside = messages[message]![tag >>> 3];
      if (inside === undefined || (tag & 7) !== 2) {
        reader.skipType(tag & 7);
        continue;
      }
      if (inside === 'opType') {
        const op = reader.string();
        if (endless.has(op)) loops.add(op);
      } else if (inside === 'key' || inside === 'value') texts[inside] = reader.string();
      else {
        const length = reader.uint32();
        read(inside, reader.pos + length, depth + 1);
        if (inside !== 'entry') continue;
        if (message === 'model') metadata.set(texts.key, texts.value);
        else if (texts.key === 'location') externalData.add(texts.value);
      }
    }
  };
  read('model', bytes.length, 0);
  return { externalData: [...externalData], endless: [...loops], metadata: Object.fromEntries(metadata) };
}
