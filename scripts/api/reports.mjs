/** The public interface of packages as text, by API Extractor from the declarations that the compiler wrote. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CompilerState, Extractor, ExtractorConfig } from '@microsoft/api-extractor';
import { packages } from '../packages.mjs';

const root = join(import.meta.dirname, '..', '..');
const read = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** What has types in a package: its name in reports, its declarations, its folder. */
function entriesOf(folder) {
  const { name, exports } = read(join(folder, 'package.json'));
  return Object.entries(exports)
    .filter(([, { types }]) => types !== undefined)
    .map(([path, { types }]) => ({
      report: `${name.replace(/^@[^/]+\//, '')}${path.slice(1).replaceAll('/', '-')}.api.md`,
      declarations: join(folder, types),
      folder,
    }));
}

function configOf({ report, declarations, folder }, into, scratch) {
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'dom', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: true,
    types: ['node'],
    typeRoots: [join(root, 'node_modules', '@types')],
  };
  const quiet = { default: { logLevel: 'none' } };
  return ExtractorConfig.prepare({
    configObject: {
      projectFolder: folder,
      mainEntryPointFilePath: declarations,
      compiler: { overrideTsconfig: { compilerOptions, files: [declarations] } },
      apiReport: {
        enabled: true,
        reportFileName: report,
        reportFolder: into,
        reportTempFolder: scratch,
        // A type that is not exported may stand in a signature that is.
        includeForgottenExports: true,
      },
      docModel: { enabled: false },
      dtsRollup: { enabled: false },
      tsdocMetadata: { enabled: false },
      newlineKind: 'lf',
      messages: {
        compilerMessageReporting: quiet,
        extractorMessageReporting: quiet,
        tsdocMessageReporting: quiet,
      },
    },
    packageJsonFullPath: join(folder, 'package.json'),
  });
}

/** Nothing is printed: the caller says what differs. */
const messageCallback = (message) => {
  message.handled = true;
};

/**
 * Compares the reports of packages with those of a folder.
 * @param folders of the packages, built
 * @param into the folder of reports
 * @param update write what differs, and remove reports of what is no more
 * @returns the names of the reports that differ, or did
 */
export function compareReports(folders, into, update) {
  const entries = folders.flatMap(entriesOf);
  mkdirSync(into, { recursive: true });
  const scratch = mkdtempSync(join(tmpdir(), 'moco-api-'));
  try {
    const configs = entries.map((entry) => configOf(entry, into, scratch));
    const additionalEntryPoints = entries.slice(1).map(({ declarations }) => declarations);
    const compilerState = CompilerState.create(configs[0], { additionalEntryPoints });
    const options = { compilerState, localBuild: update, messageCallback };
    const changed = configs.filter((config) => Extractor.invoke(config, options).apiReportChanged);
    const known = new Set(entries.map(({ report }) => report));
    const stale = readdirSync(into).filter((name) => name.endsWith('.api.md') && !known.has(name));
    if (update) for (const name of stale) rmSync(join(into, name));
    return [...changed.map(({ reportFilePath }) => reportFilePath.slice(into.length + 1)), ...stale].sort();
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** The folders of the packages that are published. @throws Error for one that is not built */
export function published() {
  return packages()
    .filter(({ manifest }) => !manifest.private)
    .map(({ folder }) => {
      if (!existsSync(join(folder, 'dist'))) throw new Error(`${folder} is not built: npx tsc -b`);
      return folder;
    });
}
