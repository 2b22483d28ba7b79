/** FNV-1a, 32 bit: a stable hash of a name, for splits that must never change. */
export function stableHash(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) hash = Math.imul(hash ^ byte, 0x01000193);
  // FNV-1a's low bits mix poorly for names that differ in one place only; fold the high ones in.
  hash ^= hash >>> 15;
  return hash >>> 0;
}
