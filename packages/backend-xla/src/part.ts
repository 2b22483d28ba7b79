/** A graph, or a stage of one, as an executable. */
import { type CompileOptions, type Graph, type HostType, isReduced, type Port } from '@moco-ts/core';
import { moduleOf } from './module-of.ts';
import type { DeviceBuffer, Executable, PjrtClient } from './pjrt/client.ts';
import type { CompileFlags } from './pjrt/options.ts';

/** Feature maps of a reduced type are kept in it: otherwise XLA leaves out the rounding of what it has in float32. */
const roundingFlags: CompileFlags = { xla_allow_excess_precision: false };

export class Part {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  private readonly executable: Executable;
  private readonly types: readonly HostType[];

  private constructor(graph: Graph, outputs: readonly Port[], executable: Executable) {
    this.inputs = graph.inputs;
    this.outputs = outputs;
    this.executable = executable;
    // Within a program values may be of two bytes: of these nothing reads the type.
    this.types = outputs.map(({ value }) => graph.values[value] as HostType);
  }

  /**
   * @param options whose state gives its memory to what replaces it
   * @param replicas that run it at once
   */
  static async compile(
    client: PjrtClient,
    graph: Graph,
    options: CompileOptions,
    replicas: number,
  ): Promise<Part> {
    const { text, outputs } = moduleOf(graph, options);
    const rounds = graph.values.some(({ dtype }) => isReduced(dtype));
    return new Part(graph, outputs, await client.compile(text, replicas, rounds ? roundingFlags : {}));
  }

  /** Starts a run. @returns the outputs, in their order, which the caller frees */
  run(inputs: readonly DeviceBuffer[]): DeviceBuffer[] {
    return this.executable.execute(inputs, this.types);
  }

  destroy(): void {
    this.executable.destroy();
  }
}
