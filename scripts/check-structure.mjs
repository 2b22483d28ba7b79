// Checks the structure of the sources: packages import downwards, no files import each other in a circle, no function is longer
// than a screen or two, only the command names flags, no errors are told apart by their texts, programs outside the packages
// import what the built packages have, and packages export what others take.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import ts from 'typescript-api';
import { forTests } from './packages.mjs';
import { unusedExports } from './public-exports.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The lines that a function may have. */
const longest = 80;

/** Packages from the ground up. One may import those of lower floors, and its neighbours where the manifest says so. */
const floors = [
  ['core'],
  ['onnx', 'encoders', 'data', 'backend-testing', 'distributed'],
  ['backend-ort', 'backend-tfjs', 'backend-xla', 'run', 'exchange'],
  ['backend-webgpu'],
  ['node'],
  ['cli'],
  ['moco'],
];

/** Scripts that run in a page are one function each, since they are sent as text. */
const pageScripts = /packages\/cli\/src\/map\/script\.ts$/;

/** Packages whose messages leave the names of settings to who tells them (`settingRef`). */
const flagless = new Set(floors.flat().filter((name) => name !== 'cli'));

/** A document for those who have the command; and flags of other programs. */
const withFlags = 'packages/node/src/model-card.ts';
const foreignFlags = /--(foreground-scripts|onnxruntime-node-install|query-gpu|format)\b/g;

/** Where the errors of others, which have nothing but a text, become errors with a code. */
const translators = new Set([
  'packages/backend-ort/src/runtime.ts',
  'packages/backend-tfjs/src/native.ts',
  'packages/data/src/decode.ts',
  'packages/data/src/machine.ts',
  'packages/cli/src/main.ts',
  // Judges messages themselves.
  'packages/cli/src/fuzz/fuzz.ts',
  'packages/cli/src/vectors/index-file.ts',
]);
/** Methods that find something in a text. */
const searches = new Set([
  'test',
  'exec',
  'match',
  'matchAll',
  'includes',
  'startsWith',
  'endsWith',
  'indexOf',
  'search',
]);

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
  const names = [];
  const visit = (node) => {
    const from = node.moduleSpecifier ?? (ts.isImportTypeNode(node) ? node.argument.literal : undefined);
    const dynamic =
      ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
        ? node.arguments[0]
        : undefined;
    for (const each of [from, dynamic]) if (each && ts.isStringLiteral(each)) names.push(each.text);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return names;
}

const lineAt = (file, position) => file.getLineAndCharacterOfPosition(position).line + 1;

/** The line on which a node begins. */
const lineOf = (file, node) => lineAt(file, node.getStart(file));

/** Functions with more lines than `longest`. */
function longFunctions(file) {
  const functions = [];
  const visit = (node) => {
    if (ts.isFunctionLike(node) && node.body) {
      const [first, last] = [lineOf(file, node), lineAt(file, node.end)];
      if (last - first + 1 > longest) functions.push({ first, lines: last - first + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return functions;
}

/** Texts with a flag of the command in them, but for the `flags` of a setting. */
function flagTexts(file) {
  const flags = [];
  const visit = (node) => {
    const text = ts.isStringLiteralLike(node) || ts.isTemplateLiteralToken(node) ? node.text : '';
    const flag = /(?<![\w-])--[a-z][a-z-]*/.exec(text.replaceAll(foreignFlags, ''))?.[0];
    const defines = flag !== undefined && node.parent.name?.text === 'flags';
    if (flag !== undefined && !defines) flags.push({ line: lineOf(file, node), flag });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return flags;
}

/** Lines that look for something in the message of an error: in `.message`, or in what a variable took from it. */
function messageSearches(file) {
  const lines = [];
  const messages = new Set(['message']);
  const isMessage = (node) => {
    if (ts.isIdentifier(node)) return messages.has(node.text);
    if (ts.isPropertyAccessExpression(node) && node.name.text === 'message') return true;
    if (ts.isFunctionLike(node) || ts.isObjectLiteralExpression(node)) return false;
    return ts.forEachChild(node, isMessage) ?? false;
  };
  const visit = (node) => {
    if (ts.isVariableDeclaration(node) && node.initializer && isMessage(node.initializer))
      messages.add(node.name.text);
    const { expression: called, arguments: given } = node;
    if (ts.isCallExpression(node) && ts.isPropertyAccessExpression(called) && searches.has(called.name.text))
      if ([called.expression, ...given].some(isMessage)) lines.push(lineOf(file, node));
    ts.forEachChild(node, visit);
  };
  visit(file);
  return lines;
}

/** The groups of files in which each reaches each (Tarjan's strongly connected components, of two files or more). */
function cycles(edges) {
  const [order, low, onStack, stack, groups] = [new Map(), new Map(), new Set(), [], []];
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
    if (members.length > 1) groups.push(members.sort());
  };
  for (const file of edges.keys()) if (!order.has(file)) walk(file);
  return groups;
}

/** Methods are told apart by what they define; their names stand where they are defined, in recipes, and in others' formats. */
const namesMethods =
  /^packages\/(exchange\/|run\/src\/(methods\/|method-names|presets|recipes\/table)|cli\/src\/(ablation\/sweeps|commands\/replay-spec))/;
const methods = new Set(['moco-v1', 'moco-v2', 'moco-v3', 'simclr', 'instdisc', 'distill']);

/** Texts that are the name of a method, types among them. */
function methodTexts(file) {
  const texts = [];
  const visit = (node) => {
    if (ts.isStringLiteralLike(node) && methods.has(node.text))
      texts.push({ line: lineOf(file, node), name: node.text });
    ts.forEachChild(node, visit);
  };
  visit(file);
  return texts;
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
  // Tests stand outside the floors.
  if (forTests.test(path)) continue;
  if (!pageScripts.test(path))
    for (const { first, lines } of longFunctions(file))
      problems.push(`${path}:${first}: a function of ${lines} lines; at most ${longest}`);
  const [group, from] = path.split('/');
  if (!translators.has(path))
    for (const line of messageSearches(file))
      problems.push(`${path}:${line}: looks into a message; errors are told apart by their class and code`);
  if (group !== 'packages') continue;
  if (flagless.has(from) && path !== withFlags)
    for (const { line, flag } of flagTexts(file))
      problems.push(`${path}:${line}: names the flag ${flag}; settings are named by settingRef`);
  if (!namesMethods.test(path))
    for (const { line, name } of methodTexts(file))
      problems.push(
        `${path}:${line}: names the method ${name}; what differs by method is said in run/src/methods`,
      );
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
