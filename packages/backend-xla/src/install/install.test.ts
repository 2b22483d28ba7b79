import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BackendError } from '@moco-ts/core';
import { Uint8ArrayReader, Uint8ArrayWriter, ZipWriter } from '@zip.js/zip.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InstallPlan, installPlugin, planInstall } from './install.ts';
import { packageIndex } from './package-index.ts';

const root = mkdtempSync(join(tmpdir(), 'moco-xla-'));
const file = 'a_plugin-1.0-py3-none-any.whl';
let served: Uint8Array;
let server: Server;
let index: string;
let breaksOff = false;
let style: 'json' | 'html' | 'other' = 'json';
const asked: (string | undefined)[] = [];

const zip = async (entries: Record<string, string>) => {
  const writer = new ZipWriter(new Uint8ArrayWriter());
  for (const [name, text] of Object.entries(entries))
    await writer.add(name, new Uint8ArrayReader(new TextEncoder().encode(text)), {
      ...(name.endsWith('ptxas')
        ? { externalFileAttributes: (0o100755 << 16) >>> 0, msDosCompatible: false }
        : {}),
    });
  return writer.close();
};

beforeAll(async () => {
  served = await zip({ 'a/plugin.so': 'ELF', 'a/bin/ptxas': '#!' });
  server = createServer((request, response) => {
    asked.push(request.headers.authorization);
    if (request.url === '/simple/a-plugin/') {
      const url = `../../files/${file}`;
      if (style !== 'html') {
        response.setHeader('content-type', 'application/vnd.pypi.simple.v1+json');
        response.end(style === 'json' ? JSON.stringify({ files: [{ filename: file, url }] }) : '<html>');
      } else {
        response.setHeader('content-type', 'text/html');
        response.end(`<a href="x">other.whl</a>\n<a href="${url}#sha256=00" data-x="1">${file}</a>`);
      }
    } else if (request.url?.startsWith('/files/')) {
      if (!breaksOff) response.end(served);
      else response.writeHead(200, { 'content-length': 1000 }).write('PK', () => response.destroy());
    } else {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  index = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple`;
});
afterAll(() => {
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const planned = (name: string, bytes: Uint8Array = served): InstallPlan => ({
  device: 'cpu',
  wheels: [
    {
      package: 'a-plugin',
      file,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      bytes: bytes.length,
      licence: 'MIT',
    },
  ],
  bytes: bytes.length,
  folder: join(root, name, 'plugin'),
  installed: false,
});

describe('a plugin', () => {
  it.each(['json', 'html'] as const)('is fetched from an index that answers in %s', async (format) => {
    style = format;
    const plan = planned(format);
    await installPlugin(plan, { index });
    expect(readFileSync(join(plan.folder, 'a/plugin.so'), 'utf8')).toBe('ELF');
    expect(statSync(join(plan.folder, 'a/bin/ptxas')).mode & 0o111).toBe(0o111);
    expect(readdirSync(join(root, format))).toEqual(['plugin']);
  });

  it('comes from a folder, without a request', async () => {
    const from = join(root, 'wheels');
    mkdirSync(from);
    writeFileSync(join(from, file), served);
    const before = asked.length;
    const plan = planned('from');
    await installPlugin(plan, { from });
    expect(existsSync(join(plan.folder, 'a/plugin.so'))).toBe(true);
    expect(asked).toHaveLength(before);
    const two = { ...plan, wheels: [{ ...plan.wheels[0]!, file: 'b.whl' }, plan.wheels[0]!] };
    await expect(installPlugin({ ...two, folder: join(root, 'none', 'plugin') }, { from })).rejects.toThrow(
      /has no b\.whl$/,
    );
    await expect(installPlugin(two, { from: join(root, 'html') })).rejects.toThrow(
      /has no b\.whl, nor 1 more of the 2 that are needed/,
    );
    expect(existsSync(join(root, 'none'))).toBe(false);
  });

  it('with another hash is refused, and nothing is left of it', async () => {
    const plan = planned('other', new Uint8Array(3));
    await expect(installPlugin(plan, { index })).rejects.toThrow(/is not the file that was pinned/);
    expect(readdirSync(join(root, 'other'))).toEqual([]);
  });

  it('that was half unpacked by an install that was killed is no plugin, and goes', async () => {
    const plan = planned('killed');
    mkdirSync(join(root, 'killed', '.unpacking-1', 'packages'), { recursive: true });
    await installPlugin(plan, { index });
    expect(readdirSync(join(root, 'killed'))).toEqual(['plugin']);
  });

  it('of an install that is interrupted leaves nothing', async () => {
    const controller = new AbortController();
    const interrupted = installPlugin(
      planned('interrupted'),
      { index },
      { signal: controller.signal, onWheel: () => controller.abort() },
    );
    await expect(interrupted).rejects.toThrow(/abort/);
    expect(readdirSync(join(root, 'interrupted'))).toEqual([]);
  });

  it.each([
    ['nonsense', '"nonsense" is no address of a package index'],
    ['http://127.0.0.1:9/simple', /did not answer/],
  ])('is not fetched from %s', (address, message) =>
    expect(installPlugin(planned('nowhere'), { index: address })).rejects.toThrow(message),
  );

  it('is not fetched from what answers otherwise than an index', async () => {
    style = 'other';
    await expect(installPlugin(planned('odd'), { index })).rejects.toThrow(/has no file a_plugin/);
    style = 'json';
  });

  it('whose file breaks off is no plugin, which is said', async () => {
    breaksOff = true;
    const install = installPlugin(planned('broken-off'), { index });
    await expect(install).rejects.toThrow(BackendError);
    await expect(install).rejects.toThrow(/ broke off \(.+\): run the same command again$/);
    expect(readdirSync(join(root, 'broken-off'))).toEqual([]);
    breaksOff = false;
  });

  it('that would write outside its folder is refused', async () => {
    const before = served;
    served = await zip({ '../../escaped': 'x' });
    try {
      await expect(installPlugin(planned('escape'), { index })).rejects.toThrow(
        /a_plugin.* could not be unpacked: Unsafe filename/,
      );
    } finally {
      served = before;
    }
    expect(existsSync(join(root, 'escaped'))).toBe(false);
  });

  it('asks with the password of the address, and never tells it', async () => {
    const secret = index.replace('http://', 'http://user:p%40ss@');
    await installPlugin(planned('secret'), { index: secret });
    expect(asked.at(-2)).toBe(`Basic ${Buffer.from('user:p@ss').toString('base64')}`);
    const wrong = installPlugin(planned('wrong'), { index: `${secret}/nowhere` });
    await expect(wrong).rejects.toThrow(/nowhere\/a-plugin\/ answered 404/);
    await expect(wrong).rejects.not.toThrow(/p%40ss|p@ss/);
  });

  it('is known by device', () => {
    expect(() => planInstall('rocm')).toThrow(
      /no pinned plugin for xla:rocm; known are: cpu, cpu-older, cuda/,
    );
  });
});

it("the index is pip's: its variable, its files, else none", () => {
  const config = join(root, 'config');
  mkdirSync(join(config, 'pip'), { recursive: true });
  writeFileSync(
    join(config, 'pip', 'pip.conf'),
    '[freeze]\nindex-url = http://no\n[global]\ntimeout = 60\nindex-url = http://mirror/simple\n',
  );
  expect(packageIndex({ PIP_INDEX_URL: 'http://other', XDG_CONFIG_HOME: config })).toBe('http://other');
  expect(packageIndex({ XDG_CONFIG_HOME: config })).toBe('http://mirror/simple');
});
