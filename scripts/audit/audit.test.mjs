import { createServer } from 'node:http';
import { afterEach, expect, it } from 'vitest';
import { askRegistry, compare, packagesOf, readPnpmAudit } from './advisories.mjs';
import list from './known.json' with { type: 'json' };

let server;
afterEach(() => server?.close());

/** A registry that answers so. */
async function registry(status, answer) {
  const asked = [];
  server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    asked.push([request.method, request.url, Buffer.concat(chunks).toString()]);
    response.writeHead(status, { 'content-type': 'application/json' }).end(answer);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}/npm`, asked };
}

it('asks by the bulk endpoint, below the path that the registry has', async () => {
  const advisory = {
    id: 1,
    url: 'https://a.example',
    title: 'bad',
    severity: 'high',
    vulnerable_versions: '<2',
  };
  const { url, asked } = await registry(200, JSON.stringify({ a: [advisory] }));
  expect(await askRegistry(url, { a: ['1.0.0'] })).toEqual({
    advisories: [{ name: 'a', severity: 'high', title: 'bad', url: 'https://a.example' }],
  });
  expect(asked).toEqual([['POST', '/npm/-/npm/v1/security/advisories/bulk', '{"a":["1.0.0"]}']]);
});

it.each([
  [405, '', 'it answers 405'],
  [200, '[]', 'it answers something else'],
  [200, '<html>', 'SyntaxError'],
])('has no answer of a registry that says %d %s', async (status, answer, reason) => {
  const { url } = await registry(status, answer);
  expect(await askRegistry(url, {})).toEqual({ reason });
});

it('reads what pnpm audit prints', () => {
  const advisories = { 7: { module_name: 'a', severity: 'low', title: 't', url: 'u', more: 1 } };
  expect(readPnpmAudit(JSON.stringify({ advisories, metadata: {} }))).toEqual({
    advisories: [{ name: 'a', severity: 'low', title: 't', url: 'u' }],
  });
  expect(readPnpmAudit('{"error":{"message":"responded with 405: "}}')).toEqual({
    reason: 'responded with 405',
  });
  expect(readPnpmAudit('')).toEqual({ reason: 'no answer' });
});

it.each([
  [
    'protobufjs',
    '7.2.4',
    ['GHSA-h755-8qp9-cq85', 'GHSA-xq3m-2v4x-88gg', 'GHSA-66ff-xgx4-vchm', 'GHSA-75px-5xx7-5xc7'],
  ],
  ['protobufjs', '8.0.1', ['GHSA-66ff-xgx4-vchm', 'GHSA-75px-5xx7-5xc7']],
  ['protobufjs', '8.0.2', []],
  ['sharp', '0.34.5', ['GHSA-f88m-g3jw-g9cj']],
  ['sharp', '0.35.0-rc.1', ['GHSA-f88m-g3jw-g9cj']],
  ['sharp', '0.35.0', []],
  ['d3-color', '3.1.0', []],
  ['adm-zip', '0.5.16', ['GHSA-xcpc-8h2w-3j85', 'GHSA-c6fg-446q-cg94']],
])('the list knows of %s %s', (name, version, ids) => {
  expect(compare({ [name]: ['99.0.0', version] }, list).map(({ title }) => title)).toEqual(ids);
});

it('finds packages at any depth, each version once, and none of this workspace', () => {
  const leaf = { version: '1.0.0' };
  const a = { version: '2.0.0', dependencies: { leaf } };
  const projects = [
    { dependencies: { own: { version: 'link:../own', dependencies: { a } }, leaf } },
    { dependencies: { a } },
  ];
  expect(packagesOf(projects)).toEqual({ a: ['2.0.0'], leaf: ['1.0.0'] });
});
