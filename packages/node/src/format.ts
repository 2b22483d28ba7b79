/** A size for people, in whole kB or in MB. */
export function bytes(count: number): string {
  return count >= 2 ** 20 ? `${(count / 2 ** 20).toFixed(1)} MB` : `${Math.ceil(count / 1024)} kB`;
}
