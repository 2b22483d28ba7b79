// The time of a sum over all ranks: of ResNet-50's gradients and of a single value. Medians of the slowest rank's.
//
//   mpirun -n 2 node benchmarks/allreduce.mjs [values]
import { launched, openWorld } from '../packages/distributed/dist/index.js';

if (!launched()) {
  console.error('start it by mpirun');
  process.exit(2);
}
/** ResNet-50's, and its head's. */
const GRADIENTS = 27_970_000;
const world = await openWorld();

async function median(values, times) {
  const all = [];
  for (let i = 0; i <= times; i++) {
    await world.barrier();
    const start = performance.now();
    await world.allReduce([values]);
    const took = new Float32Array(world.size);
    await world.allGather(Float32Array.of(performance.now() - start), took);
    // The first call sets things up.
    if (i > 0) all.push(Math.max(...took));
  }
  return all.sort((a, b) => a - b)[times >> 1];
}

const gradients = new Float32Array(Number(process.argv[2] ?? GRADIENTS));
const [many, one] = [await median(gradients, 10), await median(new Float32Array(1), 1000)];
if (world.rank === 0) {
  const megabytes = (gradients.byteLength / 1e6).toFixed(1);
  console.log(
    `${world.library}, ${world.size} ranks: ${megabytes} MB ${many.toFixed(1)} ms, 4 bytes ${one.toFixed(3)} ms`,
  );
}
await world.finalize();
