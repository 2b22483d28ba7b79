// Checks what each published package would hold: the built files and what they import, a licence, a README, types.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { build } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { forTests, packAll, packages } from './packages.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const licence = readFileSync(join(root, 'LICENSE'), 'utf8');
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));
const { license, repository, engines } = read(join(root, 'package.json'));
/** All packages have one version (.changeset/config.json), which the changelog has a heading for. */
const { version } = read(join(root, 'packages', 'moco', 'package.json'));

/** Every file that the manifest names. */
function targets(manifest) {
  const paths = [];
  const visit = (value) => {
    if (typeof value === 'string') paths.push(value.replace(/^\.\//, ''));
    else for (const each of Object.values(value ?? {})) visit(each);
  };
  visit(manifest.exports);
  visit(manifest.bin);
  return paths;
}

/** What declarations import, by whatever form. */
function declared(text) {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const forms = /(?:\bfrom\s*|\bimport\s*\(\s*|^import\s+)['"]([^'"\n]+)['"]/gm;
  // What a template writes is text, such as an example for people.
  return [...code.matchAll(forms)].map(([, name]) => name).filter((name) => !name.startsWith('${'));
}

/** What each module imports: a parser's word, since modules may write code as text. */
async function imported(folder, modules) {
  const imports = new Map(modules.map((path) => [join(folder, path), []]));
  const listen = ({ onResolve }) =>
    onResolve({ filter: /./ }, ({ kind, path, importer }) => {
      if (kind === 'entry-point') return undefined;
      imports.get(importer)?.push(path);
      return { path, external: true };
    });
  await build({
    entryPoints: [...imports.keys()],
    bundle: true,
    write: false,
    outdir: folder,
    format: 'esm',
    platform: 'node',
    logLevel: 'silent',
    plugins: [{ name: 'listen', setup: listen }],
  });
  return (path) => imports.get(join(folder, path));
}

const packageOf = (name) => name.split('/', name.startsWith('@') ? 2 : 1).join('/');

async function problems({ folder, manifest }, { archive, files }) {
  const faults = [];
  const expected = {
    ...{ version, license, type: 'module', engines },
    repository: { ...repository, directory: relative(root, folder).split(sep).join('/') },
    publishConfig: { access: 'public', provenance: true },
  };
  for (const [field, value] of Object.entries(expected))
    if (!isDeepStrictEqual(manifest[field], value))
      faults.push(`${field} should be ${JSON.stringify(value)}`);
  if (!manifest.description) faults.push('a description is lacking');
  for (const need of ['LICENSE', 'README.md', ...targets(manifest)])
    if (!files.includes(need)) faults.push(`${need} would not be packed`);
  // pnpm packs that of the root where a package has none.
  if (existsSync(join(folder, 'LICENSE')) && readFileSync(join(folder, 'LICENSE'), 'utf8') !== licence)
    faults.push('LICENSE is not that of the project');
  for (const [name, target] of Object.entries(manifest.exports))
    if (typeof target === 'object' && Object.keys(target)[0] !== 'types')
      faults.push(`${name}: types should come first`);
  const plain = /^(package\.json|README\.md|LICENSE|dist\/.*\.(js|d\.ts|wasm))$/;
  for (const file of files) {
    if (!plain.test(file) || forTests.test(file)) faults.push(`${file} should not be packed`);
    else if (
      /^dist\/.*\.js$/.test(file) &&
      !existsSync(join(folder, file.replace(/^dist/, 'src').replace(/js$/, 'ts')))
    )
      faults.push(`${file} has no source any more: remove dist and build again`);
  }
  const allowed = new Set([
    manifest.name,
    ...Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies }),
  ]);
  const importsOf = await imported(
    folder,
    files.filter((path) => path.endsWith('.js')),
  );
  for (const file of files.filter((path) => /\.(js|d\.ts)$/.test(path)))
    for (const name of file.endsWith('.js')
      ? importsOf(file)
      : declared(readFileSync(join(folder, file), 'utf8'))) {
      const target = posix.join(posix.dirname(file), name);
      if (!name.startsWith('.')) {
        if (!isBuiltin(name) && !allowed.has(packageOf(name)))
          faults.push(`${file} imports ${name}, no dependency`);
      } else if (
        ![target, target.replace(/\.js$/, '.d.ts'), target.replace(/\.ts$/, '.d.ts')].some((path) =>
          files.includes(path),
        )
      )
        faults.push(`${file} imports ${name}, which would not be packed`);
    }
  const tarball = Uint8Array.from(readFileSync(archive)).buffer;
  const { messages } = await publint({ strict: true, pack: { tarball } });
  for (const message of messages)
    if (message.type !== 'suggestion') faults.push(formatMessage(message, manifest, { color: false }));
  return { name: manifest.name, count: files.length, faults };
}

const changelog = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
let failed = !changelog.includes(`\n## ${version}\n`);
if (failed) console.error(`CHANGELOG.md has no heading for version ${version}`);
const packs = mkdtempSync(join(tmpdir(), 'moco-packs-'));
process.on('exit', () => rmSync(packs, { recursive: true, force: true }));
const packed = packAll(packs);
for (const each of packages()) {
  if (each.manifest.private) continue;
  const { name, count, faults } = await problems(each, packed[each.manifest.name]);
  console.log(`${name}: ${count} files${faults.length === 0 ? '' : ', but'}`);
  for (const problem of faults) console.error(`  ${problem}`);
  failed ||= faults.length > 0;
}
process.exit(failed ? 1 : 0);
