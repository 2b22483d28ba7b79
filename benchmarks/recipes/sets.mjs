// Makes sets of images from packages, as folders: node benchmarks/recipes/sets.mjs FOLDER [NAME ...]
//
// It needs apt-get, dpkg and npm. What is there already is not made again. Nothing of it is committed.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(new URL('../../packages/data/package.json', import.meta.url));

/** A folder has no test split of its own, and its folders are no classes. */
const divided = { labels: false, holdOut: 0.2 };

/**
 * `packages`: where the images come from; `find`: which files; `each`: what becomes of one, by default itself at 64 pixels;
 * `path`: where the set is when nothing is to be made of the packages.
 */
export const sets = {
  emoji: { about: 'emoji by two designers', path: () => 'emoji', open: {} },
  stamps: {
    about: 'stamps of a drawing program: photographs and clip art (Tux Paint)',
    debian: ['tuxpaint-stamps-default'],
    find: /usr\/share\/tuxpaint\/stamps\/.*\.(png|svg)$/,
    open: divided,
  },
  flags: {
    about: 'flags of countries and regions (flag-icons)',
    npm: ['flag-icons'],
    find: /flags\/4x3\/.*\.svg$/,
    open: divided,
  },
  icons: {
    about: 'icons of a desktop (Oxygen)',
    debian: ['oxygen-icon-theme'],
    find: /\/64x64\/.*\.png$/,
    open: divided,
  },
  papirus: {
    about: 'icons of programs (Papirus)',
    debian: ['papirus-icon-theme'],
    find: /\/Papirus\/64x64\/.*\.svg$/,
    open: divided,
  },
  photographs: {
    about: 'tiles of photographs (backgrounds of desktops)',
    debian: ['mate-backgrounds', 'plasma-workspace-wallpapers'],
    // One of the sizes that each comes in.
    find: /(mate\/nature\/\w+|contents\/images\/(2560x1600|3200x2000|3840x2160|5120x2880))\.(jpg|png)$/,
    each: tiles,
    open: divided,
  },
  'fashion-mnist': {
    about: 'photographs of clothes, grey, 28 px (Fashion-MNIST)',
    debian: ['dataset-fashion-mnist'],
    path: (folder) => join(folder, 'fashion-mnist', 'usr', 'share', 'datasets', 'fashion-mnist'),
    open: { labels: false },
  },
};

/** Squares of 160 pixels of a photograph 1600 wide, halved and more to 64. Those of one colour, such as skies, are left out. */
async function tiles(sharp, file, write) {
  const image = sharp(file).resize({ width: 1600, withoutEnlargement: true }).removeAlpha();
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
  const side = 160;
  for (let top = 0; top + side <= info.height; top += side)
    for (let left = 0; left + side <= info.width; left += side) {
      const box = { left, top, width: side, height: side };
      const tile = await sharp(data, { raw: info }).extract(box).resize(64).png().toBuffer();
      const { channels } = await sharp(tile).stats();
      if (channels.some(({ stdev }) => stdev > 8)) await write(sharp(tile), `-${top}-${left}`);
    }
}

/** On white, as large as fits in 64 pixels. */
async function whole(sharp, file, write) {
  await write(
    sharp(file, { density: 96 }).resize(64, 64, { fit: 'inside' }).flatten({ background: 'white' }),
    '',
  );
}

async function make(folder, name) {
  const { debian = [], npm = [], find, each = whole } = sets[name];
  const target = join(folder, name);
  if (existsSync(target) || debian.length + npm.length === 0) return;
  const work = mkdtempSync(join(folder, '.making-'));
  const run = (program, ...args) =>
    execFileSync(program, args, { cwd: work, stdio: ['ignore', 'pipe', 'inherit'] });
  for (const each of debian) {
    run('apt-get', 'download', each);
    run(
      'dpkg-deb',
      '-x',
      readdirSync(work).find((file) => file.endsWith('.deb')),
      'files',
    );
    rmSync(
      join(
        work,
        readdirSync(work).find((file) => file.endsWith('.deb')),
      ),
    );
  }
  if (npm.length > 0) run('npm', 'install', '--prefix', 'files', '--ignore-scripts', '--no-save', ...npm);
  if (find === undefined) renameSync(join(work, 'files'), target);
  else await pictures(work, target, find, each);
  rmSync(work, { recursive: true, force: true });
}

async function pictures(work, target, find, each) {
  const sharp = require('sharp');
  const made = join(work, 'made');
  mkdirSync(made);
  // Links are other names of the same image.
  const files = readdirSync(join(work, 'files'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((file) => find.test(file))
    .sort();
  let count = 0;
  for (const [i, file] of files.entries()) {
    const write = async (image, part) => {
      await image.png().toFile(join(made, `${String(i).padStart(5, '0')}${part}.png`));
      count++;
    };
    await each(sharp, file, write).catch((error) => console.error(`${file}: ${error.message}`));
  }
  console.log(`${target}: ${count} images of ${files.length} files`);
  renameSync(made, target);
}

if (import.meta.filename === process.argv[1]) {
  const [folder, ...names] = process.argv.slice(2);
  if (!folder) {
    console.error('FOLDER is missing: where to put the sets');
    process.exit(2);
  }
  mkdirSync(folder, { recursive: true });
  for (const name of names.length > 0 ? names : Object.keys(sets)) await make(folder, name);
}
