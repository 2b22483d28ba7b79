// What one rank does in the tests: `mpirun -n 3 node rank.mjs NAME`. A line of JSON tells what a rank saw.
import assert from 'node:assert/strict';
import { openWorld } from '../../packages/distributed/dist/index.js';

const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Tells that all ranks are there, from rank 0. */
async function ready(world) {
  await world.barrier();
  if (world.rank === 0) say({ ready: true });
}

/** Sums until a rank is lost. */
async function forever(world) {
  for (;;) {
    await world.allReduce([new Float32Array(1000)]);
    await sleep(5);
  }
}

const programs = {
  /** Every call. */
  async calls(world) {
    const { rank, size } = world;
    // Of 1 to R.
    const total = (size * (size + 1)) / 2;
    const whole = new Float32Array(6);
    // One behind the other, at an odd offset, in front of what isn't theirs.
    const [a, b] = [whole.subarray(1, 3), whole.subarray(3, 5)];
    whole.fill(rank + 1);
    await world.allReduce([a, b]);
    assert.deepEqual([...whole], [rank + 1, total, total, total, total, rank + 1]);
    // Apart, and in another order than they lie.
    const [c, d] = [Float32Array.of(rank, 1), Float32Array.of(10 * rank)];
    await world.allReduce([d, c]);
    assert.deepEqual([...c, ...d], [total - size, size, 10 * (total - size)]);
    await world.allReduce([]);
    const large = new Float32Array(3_000_000).fill(rank);
    await world.allReduce([large]);
    assert.ok(large.every((value) => value === total - size));
    const same = await Promise.all(
      [1, 2, 3].map(async (x) => {
        const value = Float32Array.of(x);
        await world.allReduce([value]);
        return value[0];
      }),
    );
    assert.deepEqual(same, [size, 2 * size, 3 * size]);

    const ranks = Array.from({ length: size }, (_, each) => each);
    const gathered = new Int32Array(2 * size);
    await world.allGather(Int32Array.of(rank, 10 + rank), gathered);
    assert.deepEqual(
      [...gathered],
      ranks.flatMap((each) => [each, 10 + each]),
    );
    // Out of the place where it goes.
    const own = new Uint8Array(size);
    own[rank] = rank + 1;
    await world.allGather(own.subarray(rank, rank + 1), own);
    assert.deepEqual(
      [...own],
      ranks.map((each) => each + 1),
    );
    // Sums whose bits depend on the order are the same on each rank.
    const random = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i * (rank + 1)) * 10 ** (i % 7));
    await world.allReduce([random]);
    const bits = new Float32Array(1000 * size);
    await world.allGather(random, bits);
    for (const each of ranks)
      assert.deepEqual(bits.subarray(1000 * each, 1000 * (each + 1)), bits.subarray(0, 1000));

    const message = await world.broadcast(
      Buffer.from(rank === 0 ? 'of rank zero' : `of rank ${rank}, longer`),
    );
    assert.equal(Buffer.from(message).toString(), 'of rank zero');
    assert.equal((await world.broadcast(new Uint8Array())).length, 0);
    await world.barrier();
    await world.finalize();
    const { local, threads, library } = world;
    say({ rank, size, local, threads, library });
  },

  /** Rank 1 fails while the others wait for it, and while it waits itself. */
  async fails(world) {
    await ready(world);
    if (world.rank !== 1) await forever(world);
    void world.barrier();
    await sleep(100);
    console.error(`rank 1 of ${world.size}: out of paper`);
    world.abort(3);
  },

  /** Rank 1 throws what nobody catches. */
  async throws(world) {
    await ready(world);
    if (world.rank === 1) throw new Error('a defect in rank 1');
    await forever(world);
  },

  /** Rank 1 ends as if all were well. */
  async exits(world) {
    await ready(world);
    if (world.rank === 1) process.exit(0);
    await forever(world);
  },

  forever: async (world) => {
    await ready(world);
    await forever(world);
  },

  /** Ends at a signal: the ranks agree on the step by a sum, rank 0 saves. */
  async stops(world) {
    await ready(world);
    const stop = new Float32Array(1);
    do {
      stop[0] = signalled ? 1 : 0;
      await world.allReduce([stop]);
      await sleep(5);
    } while (stop[0] === 0);
    if (world.rank === 0) say({ saved: true });
    await world.finalize();
  },

  /** V8 notices accesses outside of WebAssembly's memory by a signal. */
  async webassembly(world) {
    // (module (memory 1) (func (export "f") (param i32) (result i32) (i32.load (local.get 0))))
    const code =
      '0061736d0100000001060160017f017f0302010005030100010705010166' + '00000a0901070020002802000b';
    const { instance } = await WebAssembly.instantiate(Buffer.from(code, 'hex'));
    assert.throws(() => instance.exports.f(0x7ffffff0), WebAssembly.RuntimeError);
    await world.finalize();
    say({ rank: world.rank });
  },
};

const [name] = process.argv.slice(2);
let signalled = false;
if (name === 'stops')
  for (const signal of ['SIGINT', 'SIGTERM'])
    process.on(signal, () => {
      signalled = true;
    });
let world;
try {
  world = await openWorld();
} catch (error) {
  console.error(`moco: ${error.message}`);
  process.exit(error.code === undefined ? 70 : 1);
}
await programs[name](world);
