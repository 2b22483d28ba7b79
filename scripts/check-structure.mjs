// Checks the structure of the sources: packages import downwards, no files import each other in a circle, no function is longer
// than a screen or two, programs outside the packages import what the built packages have, and packages export what others take.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript-api';
import { unusedExports } from './public-exports.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The lines that a function may have. */
const longest = 80;

/** Packages from the ground up. One may import those of lower floors, and its neighbours where the manifest says so. */
const floors = [
  ['core'],
  ['onnx', 'encoders', 'data', 'backend-testing'],
  ['backend-ort', 'backend-tfjs', 'run', 'exchange'],
  ['backend-webgpu'],
  ['node'],
  ['cli'],
  ['moco'],
];

/** Tests stand outside the floors. */
const forTests = /\.(test|page|gpu|native|cuda|chromium)\.ts$|(^|[/-])testing\.ts$/;

/** Scripts that run in a page are one function each, since they are sent as text. */
const pageScripts = /packages\/cli\/src\/map\/script\.ts$/;

/** Longer functions that are known: the loops of training, which are to become one session. They may not grow. */
const known = {
  'packages/node/src/train.ts': 153,
  'apps/web/src/worker/session.ts': 179,
};

const sources = ['packages', 'apps'].flatMap((group) =>
  readdirSync(join(root, group)).flatMap((name) => {
    const folder = join(root, group, name, 'src');
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true })
      .map((path) => relative(root, join(folder, path)).split(sep).join('/'))
      .filter((path) => path.endsWith('.ts') && !path.endsWith('.d.ts'));
  }),
);

/** A file's imports, of types too: what must be read to understand it. */
function importsOf(file) {
  const found = [];
  const visit = (node) => {
    const from = node.moduleSpecifier ?? (ts.isImportTypeNode(node) ? node.argument.literal : undefined);
    const dynamic =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
        ? node.arguments[0]
        : undefined;
    for (const each of [from, dynamic]) if (each && ts.isStringLiteral(each)) found.push(each.text);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** Functions with more lines than `longest`. */
function longFunctions(file) {
  const found = [];
  const lineOf = (position) => file.getLineAndCharacterOfPosition(position).line + 1;
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const [first, last] = [lineOf(node.getStart(file)), lineOf(node.end)];
      if (last - first + 1 > longest) found.push({ first, lines: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** The groups of files in which each reaches each (Tarjan's strongly connected components, of two files or more). */
function cycles(edges) {
  const [order, low, onStack, stack, found] = [new Map(), new Map(), new Set(), [], []];
  const walk = (file) => {
    order.set(file, order.size);
    low.set(file, order.get(file));
    stack.push(file);
    onStack.add(file);
    for (const next of edges.get(file) ?? []) {
      if (!order.has(next)) {
        walk(next);
        low.set(file, Math.min(low.get(file), low.get(next)));
      } else if (onStack.has(next)) low.set(file, Math.min(low.get(file), order.get(next)));
    }
    if (low.get(file) !== order.get(file)) return;
    const members = stack.splice(stack.indexOf(file));
    for (const member of members) onStack.delete(member);
    if (members.length > 1) found.push(members.sort());
  };
  for (const file of edges.keys()) if (!order.has(file)) walk(file);
  return found;
}

const problems = [];
const edges = new Map();
for (const path of sources) {
  const file = ts.createSourceFile(
    path,
    readFileSync(join(root, path), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
  const imports = importsOf(file);
  const own = imports.filter((name) => name.startsWith('.'));
  edges.set(
    path,
    own.map((name) => join(dirname(path), name).split(sep).join('/')),
  );
  if (forTests.test(path)) continue;
  if (!pageScripts.test(path))
    for (const { first, lines } of longFunctions(file))
      if (lines > (known[path] ?? longest))
        problems.push(`${path}:${first}: a function of ${lines} lines; at most ${known[path] ?? longest}`);
  const [group, from] = path.split('/');
  if (group !== 'packages') continue;
  const floor = floors.findIndex((names) => names.includes(from));
  if (floor < 0) problems.push(`packages/${from} is on no floor: add it to scripts/check-structure.mjs`);
  for (const name of imports) {
    const to = /^@moco-ts\/([a-z-]+)/.exec(name)?.[1] ?? (name === 'moco-ts' ? 'moco' : undefined);
    if (to !== undefined && to !== from && floors.findIndex((names) => names.includes(to)) >= floor)
      problems.push(`${path}: imports ${name}, which is not below packages/${from}`);
  }
}
for (const members of cycles(edges)) problems.push(`imports in a circle: ${members.join(', ')}`);

/** Programs that import built files by their paths, which nothing else checks before they are run. */
const programs = ['benchmarks', 'parity', 'scripts', 'tests'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .map((path) => join(root, folder, path))
    .filter((path) => path.endsWith('.mjs') && !path.includes('node_modules')),
);
const { errors } = await build({
  entryPoints: programs,
  bundle: true,
  write: false,
  outdir: root,
  platform: 'node',
  format: 'esm',
  packages: 'external',
  // What a page asks its own server for.
  external: ['/node_modules/*'],
  logLevel: 'silent',
}).catch((failure) => failure);
for (const { text, location } of errors) problems.push(`${location?.file}:${location?.line}: ${text}`);

for (const { module, name, file, tests } of unusedExports())
  problems.push(`${file}: ${module} exports ${name}, which ${tests ? 'tests alone take' : 'nobody takes'}`);

for (const problem of problems) console.error(problem);
console.log(
  `structure of ${sources.length} files: ${problems.length === 0 ? 'fine' : `${problems.length} faults`}`,
);
process.exit(problems.length === 0 ? 0 : 1);
