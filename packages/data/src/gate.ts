/** Bounds what is under way at a time. */
export interface Gate {
  /** Acts when its weight has room beside what is under way, in turn; what is heavier than the gate is alone. */
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
