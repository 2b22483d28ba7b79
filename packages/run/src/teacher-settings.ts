/** Settings of methods that learn from a trained network, the teacher: one that names `teacher` in `uses` takes them all. */
import { above, list, number, text, truth, whole } from './rule.ts';
import { defaulted, optional } from './setting.ts';

const shared = { group: 'Method', optIn: true } as const;

export const teacherSettings = {
  /** `distill`: the trained encoder to learn from: an ONNX model, a run, a checkpoint, or a file that `moco import` takes. */
  teacher: optional(text, {
    ...shared,
    flags: '--teacher <path>',
    doc: 'distill: the encoder to learn from: an ONNX model, a run, a checkpoint or a file that moco import takes',
  }),
  /** `distill`: side of the teacher's images in pixels. Default what its file says. */
  teacherSize: optional(whole(1, 4096), {
    ...shared,
    flags: '--teacher-size <px>',
    doc: "distill: side of the teacher's images (as its file says)",
    bound: true,
  }),
  /** `distill`: of the channels R, G, B in [0, 1], subtracted for the teacher. Default what its file says, else ImageNet's. */
  teacherMean: optional(list(number(-1000, 1000), 3, 3), {
    ...shared,
    flags: '--teacher-mean <r,g,b>',
    doc: "distill: of R, G, B in 0 to 1, subtracted for the teacher (as its file says, else ImageNet's)",
    bound: true,
  }),
  /** `distill`: by what is divided for the teacher. Default what its file says, else ImageNet's. */
  teacherStd: optional(list(above(0, 1000), 3, 3), {
    ...shared,
    flags: '--teacher-std <r,g,b>',
    doc: "distill: by what is divided for the teacher (as its file says, else ImageNet's)",
    bound: true,
  }),
  /** `distill`: the teacher sees each image once, without a view's crop and colours, and its features are kept. Default false. */
  cacheTeacher: defaulted(truth, {
    default: false,
    ...shared,
    flags: '--cache-teacher',
    doc: 'distill: the teacher sees each plain image once instead of each view',
    not: 'distill: the teacher sees the views (on)',
  }),
  /** A checksum of the teacher, which a run records: going on with another one is refused. */
  teacherChecksum: optional(text, { optIn: true, recorded: true }),
};

/** The settings of a teacher, for a method's `uses`: `teacher`, what its images are made of, and whether its features are kept. */
export const teacherNames = Object.keys(teacherSettings) as (keyof typeof teacherSettings)[];
