/** What earlier versions called what files store: the one place that knows. Names of settings' values: see `name` in rule.ts. */

const now = new Map([
  ['pictures', 'images'],
  ['spread', 'featureStd'],
  ['otherHands', 'crossDesigner'],
  ['knnEvery', 'measureEvery'],
]);

/** JSON of a file with the keys that this version gives it, at any depth. */
export function currentNames(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(currentNames);
  if (typeof json !== 'object' || json === null) return json;
  return Object.fromEntries(
    Object.entries(json).map(([key, value]) => [now.get(key) ?? key, currentNames(value)]),
  );
}
