/** Bounds the work in flight. */
export interface Gate {
  /** Acts, in order of arrival, when its weight fits beside the work in flight; work heavier than the capacity runs alone. */
  run<T>(weight: number, act: () => Promise<T>): Promise<T>;
}

export function createGate(capacity: number): Gate {
  let free = capacity;
  const waiting: { readonly weight: number; readonly enter: () => void }[] = [];
  const admit = () => {
    for (let first = waiting[0]; first !== undefined && first.weight <= free; first = waiting[0]) {
      waiting.shift();
      free -= first.weight;
      first.enter();
    }
  };
  return {
    async run(asked, act) {
      const weight = Math.min(asked, capacity);
      await new Promise<void>((enter) => {
        waiting.push({ weight, enter });
        admit();
      });
      try {
        return await act();
      } finally {
        free += weight;
        admit();
      }
    },
  };
}
