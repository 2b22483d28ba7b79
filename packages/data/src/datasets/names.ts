/**
 * File names as text. A name is bytes to the system, mostly but not always UTF-8. Bytes that are not UTF-8 are written
 * `\xe9`, and a backslash before what looks like that as `\x5c`, so that the text leads back to the bytes. All other names
 * are themselves.
 */
import { sep } from 'node:path';

const ESCAPE = /\\x([0-9a-f]{2})/g;
const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A name, or a path, that is text already. */
export function nameOfText(text: string): string {
  return text.replaceAll(/\\(?=x[0-9a-f]{2})/g, '\\x5c');
}

/** A name as the system gives it. */
export function nameOfBytes(bytes: Uint8Array): string {
  let out = '';
  let from = 0;
  while (from < bytes.length) {
    const { text, length } = longestText(bytes.subarray(from));
    out += nameOfText(text);
    from += length;
    if (from < bytes.length) out += `\\x${bytes[from++]!.toString(16).padStart(2, '0')}`;
  }
  return out;
}

/** The whole characters that bytes begin with. */
function longestText(bytes: Uint8Array): { text: string; length: number } {
  let length = 0;
  while (length < bytes.length) {
    const next = length + charLength(bytes[length]!);
    if (next > bytes.length || !isText(bytes.subarray(length, next))) break;
    length = next;
  }
  return { text: strict.decode(bytes.subarray(0, length)), length };
}

const charLength = (lead: number) => (lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4);

function isText(bytes: Uint8Array): boolean {
  try {
    strict.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The path that opens a file: text, or bytes where the name is not UTF-8. `name` may be a relative path with `/`. */
export function pathOf(root: string, name: string): string | Buffer {
  const before = root === '' || root.endsWith(sep) || root.endsWith('/') ? root : `${root}${sep}`;
  if (!name.includes('\\x')) return before + name;
  const parts: Buffer[] = [Buffer.from(before)];
  let from = 0;
  for (const match of name.matchAll(ESCAPE)) {
    parts.push(Buffer.from(name.slice(from, match.index)), Buffer.from(match[1]!, 'hex'));
    from = match.index + match[0].length;
  }
  parts.push(Buffer.from(name.slice(from)));
  const bytes = Buffer.concat(parts);
  const text = bytes.toString();
  return Buffer.from(text).equals(bytes) ? text : bytes;
}
