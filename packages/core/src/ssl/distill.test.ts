import { describe, expect, it } from 'vitest';
import { trace } from '../graph/trace.ts';
import { interpret } from '../reference/interpreter.ts';
import { distillation } from './losses.ts';

/** Two images, a queue of three features, all in the plane. */
const unit = (...angles: number[]) => angles.flatMap((angle) => [Math.cos(angle), Math.sin(angle)]);
const columns = (...angles: number[]) => [...angles.map(Math.cos), ...angles.map(Math.sin)];
const queue = [0.3, 1.1, -2];

function loss(students: number[], teachers: number[], student: number, teacher: number) {
  const graph = trace((builder) => {
    const [s, t] = [builder.input('s', [2, 2]), builder.input('t', [2, 2])];
    const { loss, divergence } = distillation(s, t, builder.input('q', [2, 3]), { student, teacher });
    return { loss, divergence };
  });
  const out = interpret(graph, {
    s: { shape: [2, 2], data: unit(...students) },
    t: { shape: [2, 2], data: unit(...teachers) },
    q: { shape: [2, 3], data: columns(...queue) },
  });
  return [out.loss!.data[0]!, out.divergence!.data[0]!] as const;
}

describe('distillation', () => {
  it('is the entropy of the teacher where the student is the teacher, of which nothing can be lost', () => {
    const teachers = [0.2, 2];
    const entropies = teachers.map((angle) => {
      const all = [angle, ...queue].map((other) => Math.exp(Math.cos(angle - other) / 0.5));
      const total = all.reduce((sum, value) => sum + value);
      return -all.reduce((sum, value) => sum + (value / total) * Math.log(value / total), 0);
    });
    const [value, divergence] = loss(teachers, teachers, 0.5, 0.5);
    // The graph holds constants as float32.
    expect(value).toBeCloseTo((entropies[0]! + entropies[1]!) / 2, 7);
    expect(divergence).toBeCloseTo(0, 7);
  });

  it('is the cross entropy with the image itself where the teacher is sharp', () => {
    const [students, teachers] = [
      [0.5, 1.7],
      [0.2, 2],
    ];
    const wanted = students.map((angle, i) => {
      const all = [teachers[i]!, ...queue].map((other) => Math.exp(Math.cos(angle - other) / 0.2));
      return -Math.log(all[0]! / all.reduce((sum, value) => sum + value));
    });
    const [value] = loss(students, teachers, 0.2, 1e-4);
    expect(value).toBeCloseTo((wanted[0]! + wanted[1]!) / 2, 6);
  });
});
