// What packages export that no other package, program, example or document takes: it should not be public.
//
//   node scripts/public-exports.mjs      lists it; check-structure.mjs fails on it
//
// Values alone: types stand in the signatures of values.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript-api';
import { forTests, packages } from './packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Packages that are public as a whole: the library, the command, and the encoders, each by its name. */
const wholly = ['moco-ts', '@moco-ts/cli', '@moco-ts/encoders'];

/** A package for tests: theirs is the use that it is made for. */
const kit = '@moco-ts/backend-testing';

/** What a reporter is given: made by the session, and by whoever tests a reporter. */
const given = new Set(['@moco-ts/run Meter', '@moco-ts/run createMeters']);

/** Files of core and run from which authors of encoders, methods, optimizers, ops and backends take what they need: docs/new-*.md. */
const building =
  /^packages\/(run\/src\/(method|registry|rule|setting)|core\/src\/(backend|encoder|errors|grad|graph\/(op|trace|ops\/\w[\w-]*)|nn\/index|optim\/\w+|ssl\/(ema|head|losses|pass|projector|queue)|train\/(branch|step)|tensor\/tensor|passes\/passes))\.ts$/;

const read = (path) => readFileSync(join(root, path), 'utf8');
const parse = (path, text = read(path)) => ts.createSourceFile(path, text, ts.ScriptTarget.Latest, true);
const relativeTo = (path, name) =>
  relative(root, resolve(root, dirname(path), name))
    .split(sep)
    .join('/');

/** The sources of what can be imported from packages by name: `@moco-ts/data/portable`, and its file. */
function entryPoints() {
  const entries = new Map();
  for (const { folder, manifest } of packages()) {
    const { name, exports = {} } = manifest;
    for (const [path, target] of Object.entries(exports)) {
      const source = target.default?.replace('./dist/', './src/').replace(/\.js$/, '.ts');
      if (source !== undefined) entries.set(join(name, path), relativeTo(`${folder}/package.json`, source));
    }
  }
  return entries;
}

const isExported = (statement) =>
  ts.canHaveModifiers(statement) &&
  ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

/** The values that a file exports, each with the file that has it. */
function valuesOf(path) {
  const values = new Map();
  for (const statement of parse(path).statements) {
    if (isExported(statement)) for (const name of declared(statement)) values.set(name, path);
    if (!ts.isExportDeclaration(statement) || statement.isTypeOnly || !statement.moduleSpecifier) continue;
    const from = statement.moduleSpecifier.text;
    const file = from.startsWith('.') ? relativeTo(path, from) : path;
    const clause = statement.exportClause;
    if (clause === undefined) for (const [name, origin] of valuesOf(file)) values.set(name, origin);
    else if (ts.isNamespaceExport(clause)) values.set(clause.name.text, file);
    else for (const each of clause.elements) if (!each.isTypeOnly) values.set(each.name.text, file);
  }
  return values;
}

/** The names of values that a statement declares. */
function declared(statement) {
  if (ts.isVariableStatement(statement))
    return statement.declarationList.declarations.map(({ name }) => name.text);
  const isValue =
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isEnumDeclaration(statement);
  return isValue && statement.name ? [statement.name.text] : [];
}

/** Programs and documents below a folder, but for what is built or installed. */
function programsIn(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ['node_modules', 'dist'].includes(entry.name) ? [] : programsIn(path);
    return /\.(m?js|ts|md)$/.test(path) && !path.endsWith('.d.ts') ? [path] : [];
  });
}

/** A program's text, or that of a document's examples. */
function textOf(path) {
  const text = read(path);
  if (!path.endsWith('.md')) return text;
  return [...text.matchAll(/```[jt]s\n([\s\S]*?)```/g)].map(([, code]) => code).join('\n');
}

/** The names that a file imports, as `module name`. @param built entry points by their built files */
function importsOf(path, text, entries, built) {
  const names = [];
  const spaces = new Map();
  const moduleOf = (node) => {
    if (!node || !ts.isStringLiteralLike(node)) return undefined;
    return entries.has(node.text) ? node.text : built.get(relativeTo(path, node.text));
  };
  const take = (module, elements) => {
    for (const { propertyName, name } of elements) names.push(`${module} ${(propertyName ?? name).text}`);
  };
  const visit = (node) => {
    const module = moduleOf(
      node.moduleSpecifier ?? (ts.isCallExpression(node) ? node.arguments[0] : undefined),
    );
    if (module !== undefined) {
      const bindings = node.importClause?.namedBindings ?? node.exportClause;
      if (bindings?.elements) take(module, bindings.elements);
      else if (bindings) spaces.set(bindings.name.text, module);
      // (await import('x')).name, const { name } = await import('x')
      let outer = node.parent;
      while (ts.isAwaitExpression(outer) || ts.isParenthesizedExpression(outer)) outer = outer.parent;
      if (ts.isPropertyAccessExpression(outer)) names.push(`${module} ${outer.name.text}`);
      if (ts.isVariableDeclaration(outer) && ts.isObjectBindingPattern(outer.name))
        take(module, outer.name.elements);
    }
    if (ts.isPropertyAccessExpression(node) && spaces.has(node.expression.getText()))
      names.push(`${spaces.get(node.expression.getText())} ${node.name.text}`);
    ts.forEachChild(node, visit);
  };
  visit(parse(path.replace(/\.md$/, '.ts'), text));
  return names;
}

/** Exports that nobody takes, or tests alone: `{ module, name, file, tests }`. */
export function unusedExports() {
  const entries = entryPoints();
  const built = new Map(
    [...entries].map(([name, file]) => [file.replace('/src/', '/dist/').replace(/ts$/, 'js'), name]),
  );
  const folders = ['packages', 'apps', 'examples', 'benchmarks', 'parity', 'scripts', 'tests', 'docs'];
  const taken = { code: new Set(), tests: new Set() };
  for (const path of [...folders.flatMap(programsIn), 'README.md']) {
    const text = textOf(path);
    if (!/moco-ts|\/dist\//.test(text)) continue;
    const by = taken[forTests.test(path) || path.startsWith('tests/') ? 'tests' : 'code'];
    for (const name of importsOf(path, text, entries, built)) by.add(name);
  }
  const isTaken = (module, name) =>
    taken.code.has(`${module} ${name}`) ||
    given.has(`${module} ${name}`) ||
    (module === kit && taken.tests.has(`${module} ${name}`));
  return [...entries].flatMap(([module, entry]) => {
    if (wholly.includes(module)) return [];
    return [...valuesOf(entry)]
      .filter(([name, file]) => !building.test(file) && !isTaken(module, name))
      .map(([name, file]) => ({ module, name, file, tests: taken.tests.has(`${module} ${name}`) }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const { module, name, file, tests } of unusedExports())
    console.log(`${module} ${name} (${file}): ${tests ? 'tests alone take it' : 'nobody takes it'}`);
