export { memoryCommunicators } from './memory-communicators.ts';
export { createReference } from './reference-backend.ts';
export type { KitOptions } from './subject.ts';
export { testBackend } from './test-backend.ts';
export { type Member, type ReplicaOptions, testReplicas } from './test-replicas.ts';
export { type Factories, testTrajectories } from './test-trajectory.ts';
