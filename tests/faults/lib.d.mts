/** `moco`'s program. */
export const moco: string;
/** Random images as an idx folder. @returns the folder */
export function images(folder: string, count?: number, side?: number): string;
/** The arguments of a small run; flags in `more` win. */
export function flags(data: string, out: string, more?: readonly string[], method?: string): string[];
