// Folders as people have them: odd images are handled, bad ones left out with their reason; the run is the same whatever the
// number of threads or processes, and memory stays bounded.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { flags, start, unclear, unlike } from './lib.mjs';

const sharp = createRequire(new URL('../../packages/data/package.json', import.meta.url))('sharp');

export const name = 'bad images';
/** Images that are as they should be, in every second format. */
const GOOD = 40;
/**
 * MiB that a run may take at most. An image of 64 million pixels takes 190 as bytes, and as much again while it is decoded; two
 * threads may each be at one.
 */
const MEMORY = 1536;

export async function run({ work, quick }) {
  const folder = join(work, 'bad-images');
  const bad = await fill(folder);
  const failures = [];
  const ways = quick
    ? [['-j', '2']]
    : [
        ['-j', '0'],
        ['-j', '1'],
        ['-j', '2'],
        ['-j', '2', '--isolate'],
      ];
  let [first, peak, files] = ['', 0, 0];
  for (const way of ways) {
    const out = join(work, `bad-${way.join('')}`);
    const more = ['--max-bad', '100', '--image-size', '32', ...way];
    const { child, ended } = start(flags(folder, out, more));
    const watch = setInterval(() => {
      peak = Math.max(peak, memoryOf(child.pid));
    }, 20);
    const result = await ended;
    clearInterval(watch);
    files = Number(/(\d+) (?:images|images) of/.exec(result.out)?.[1] ?? 0);
    if (result.code !== 0) {
      failures.push(`${way.join(' ')}: ${unclear(result) ?? result.err.trim().split('\n').at(-1)}`);
      continue;
    }
    const skipped = readFileSync(join(out, 'skipped.jsonl'), 'utf8').trim().split('\n');
    const ids = skipped.map((line) => JSON.parse(line).id);
    const missing = bad.filter((id) => !ids.includes(id));
    const wrongly = ids.filter((id) => !bad.includes(id));
    if (missing.length > 0) failures.push(`${way.join(' ')}: not told: ${missing.join(', ')}`);
    if (wrongly.length > 0) failures.push(`${way.join(' ')}: left out, though good: ${wrongly.join(', ')}`);
    if (first === '') first = out;
    else {
      const why = unlike(out, first);
      if (why) failures.push(`${way.join(' ')}: ${why}`);
    }
  }
  if (peak > MEMORY) failures.push(`${peak.toFixed(0)} MiB of memory`);
  const tried = ways.length * bad.length;
  const detail = `${bad.length} of ${files} images bad, the rest odd or good; ${ways.length} runs equal to the bit; at most ${peak.toFixed(0)} MiB`;
  return { tried, survived: tried - failures.length, lost: 0, files, failures, detail };
}

/** @returns the ids of what can't be read */
async function fill(folder) {
  mkdirSync(join(folder, 'deep', 'er'), { recursive: true });
  const write = (id, bytes) => writeFileSync(join(folder, id), bytes);
  const colour = (i) => ({ r: (i * 53) % 256, g: (i * 101) % 256, b: (i * 29) % 256 });
  const plain = (i, width = 40, height = 30) =>
    sharp({ create: { width, height, channels: 3, background: colour(i) } });
  const formats = ['png', 'jpeg', 'webp', 'gif', 'tiff', 'avif'];
  for (let i = 0; i < GOOD; i++) {
    const format = formats[i % formats.length];
    write(`good-${i}.${format}`, await plain(i)[format]().toBuffer());
  }
  const photo = await plain(1, 400, 300).jpeg().toBuffer();
  write('png as.jpg', await plain(2).png().toBuffer());
  write('cmyk.jpg', await plain(3).toColourspace('cmyk').jpeg().toBuffer());
  write('sixteen.png', await plain(4).toColourspace('rgb16').png().toBuffer());
  write('alpha.png', await plain(5).ensureAlpha(0.5).png().toBuffer());
  write('turned.jpg', await plain(6).withMetadata({ orientation: 6 }).jpeg().toBuffer());
  write('one.png', await plain(7, 1, 1).png().toBuffer());
  write('line.png', await plain(8, 1, 20_000).png().toBuffer());
  write('cafe\u0301 \u7d75\u6587\u5b57.png', await plain(9).png().toBuffer());
  write('caf\u00e9 nfc.png', await plain(10).png().toBuffer());
  write('new\nline.png', await plain(11).png().toBuffer());
  write(`${'long'.repeat(60)}.png`, await plain(12).png().toBuffer());
  write(join('deep', 'er', 'below.png'), await plain(13).png().toBuffer());
  const frames = Buffer.concat([Buffer.alloc(192, 255), Buffer.alloc(192, 0)]);
  write(
    'moves.gif',
    await sharp(frames, { raw: { width: 8, height: 16, channels: 3, pageHeight: 8 } })
      .gif()
      .toBuffer(),
  );
  // A true bomb: 900 million pixels in some megabytes. And one below the limit, which is read.
  write('bomb.png', header(30_000, 30_000));
  write('large.png', await plain(14, 8000, 8000).png().toBuffer());
  write('cut.jpg', photo.subarray(0, Math.floor(photo.length / 2)));
  write('empty.png', '');
  write('text.png', 'no image');
  write('noise.jpg', Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 256)));
  symlinkSync('nowhere', join(folder, 'to nothing.png'));
  symlinkSync('..', join(folder, 'deep', 'circle'));
  symlinkSync('/dev/zero', join(folder, 'device.png'));
  if (process.platform === 'linux') execFileSync('mkfifo', [join(folder, 'pipe.png')]);
  mkdirSync(join(folder, 'folder.png'));
  const once = ['bomb.png', 'cut.jpg', 'empty.png', 'text.png', 'noise.jpg', 'to nothing.png'];
  // The circle leads through the whole folder once.
  return [...once, ...once.map((id) => `deep/circle/${id}`)];
}

/** A PNG that says to be of a size. */
function header(width, height) {
  const ihdr = Buffer.alloc(25);
  ihdr.writeUInt32BE(13, 0);
  ihdr.write('IHDR', 4);
  ihdr.writeUInt32BE(width, 8);
  ihdr.writeUInt32BE(height, 12);
  ihdr.set([8, 2], 16);
  ihdr.writeUInt32BE(crc32(ihdr.subarray(4, 21)), 21);
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    ihdr,
    Buffer.from('0000000049444154', 'hex'),
  ]);
}

/** MiB of a process and its children. */
function memoryOf(pid) {
  try {
    const own = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(/\s+/)
      .filter(Boolean);
    return children.reduce((sum, child) => sum + memoryOf(child), own);
  } catch {
    return 0;
  }
}
