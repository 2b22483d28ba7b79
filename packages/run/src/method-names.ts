/** The names of all methods that are known, built-in ones first. The registry fills it. */
export const methodNames: string[] = [];

/** The method of a run that names none. */
export const defaultMethod = 'moco-v1';
