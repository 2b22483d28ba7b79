// Who knows of vulnerabilities: the registry's endpoints, one after the other, and a list of this repository's.

/** npm's own, and what older registries have. */
const BULK = '-/npm/v1/security/advisories/bulk';
const PATIENCE_MS = 30_000;

/**
 * Asks a registry by npm's bulk endpoint.
 * @param packages versions by name
 * @returns `{ advisories }`, or `{ reason }` where the registry has no answer
 */
export async function askRegistry(registry, packages) {
  const url = new URL(BULK, registry.endsWith('/') ? registry : `${registry}/`);
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(packages),
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (!response.ok) return { reason: `it answers ${response.status}` };
    const answer = await response.json();
    if (typeof answer !== 'object' || answer === null || Array.isArray(answer))
      return { reason: 'it answers something else' };
    return {
      advisories: Object.entries(answer).flatMap(([name, list]) =>
        list.map(({ severity, title, url }) => ({ name, severity, title, url })),
      ),
    };
  } catch (error) {
    return { reason: error.cause?.code ?? error.name };
  }
}

/** What pnpm audit prints as JSON: it asks by the older endpoints. */
export function readPnpmAudit(text) {
  try {
    const report = JSON.parse(text);
    if (!report?.metadata) return { reason: /responded with \d+/.exec(text)?.[0] ?? 'no answer' };
    return {
      advisories: Object.values(report.advisories ?? {}).map(
        ({ module_name: name, severity, title, url }) => ({
          name,
          severity,
          title,
          url,
        }),
      ),
    };
  } catch {
    return { reason: 'no answer' };
  }
}

/** The advisories of a list that apply to packages. */
export function compare(packages, { advisories }) {
  return advisories
    .filter(({ name, vulnerable }) =>
      (packages[name] ?? []).some((version) =>
        vulnerable.some(([from, fixed]) => order(version, from) >= 0 && order(version, fixed) < 0),
      ),
    )
    .map(({ id, name, severity }) => ({
      name,
      severity,
      title: id,
      url: `https://github.com/advisories/${id}`,
    }));
}

/** Negative where `a` comes before `b`; a version with a suffix comes before the one without. */
function order(a, b) {
  const parts = (version) => version.split(/[-+]/)[0].split('.').map(Number);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < 3; i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return Number(b.includes('-')) - Number(a.includes('-'));
}

/** What pnpm list prints as JSON, as versions by name. */
export function packagesOf(projects) {
  const versions = {};
  const visit = ({ dependencies = {} }) => {
    for (const [name, entry] of Object.entries(dependencies)) {
      const { version } = entry;
      if (/^\d/.test(version)) {
        versions[name] ??= [];
        if (!versions[name].includes(version)) versions[name].push(version);
      }
      visit(entry);
    }
  };
  for (const project of projects) visit(project);
  return versions;
}
