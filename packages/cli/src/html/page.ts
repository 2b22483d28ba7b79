/** Self-contained pages: one file, no network, light and dark. */

const named: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Text as HTML, for contents and for quoted attributes. */
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (c) => named[c]!);

export interface Page {
  readonly title: string;
  /** HTML. */
  readonly body: string;
  /** Further CSS. */
  readonly style?: string;
  /** A module script; it sees what the body holds. */
  readonly script?: string;
}

const STYLE = `
:root { color-scheme: light dark; --ink: light-dark(#1c1e21, #e6e7e9); --soft: light-dark(#5c6370, #9aa1ad);
  --paper: light-dark(#ffffff, #16181c); --card: light-dark(#f6f7f9, #1f2228); --line: light-dark(#dfe2e7, #343942);
  --accent: light-dark(#2b5fd9, #8ab0ff); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2.5rem clamp(1rem, 4vw, 3rem) 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .5rem; }
h3 { font-size: .95rem; font-weight: 600; margin: 0 0 .5rem; }
p { max-width: 44rem; }
.soft, figcaption { color: var(--soft); }
a { color: var(--accent); }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
td.n, th.n { text-align: right; }
.scroll { overflow-x: auto; }
.panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem; margin: 0; min-width: 0; }
.card svg { max-width: 100%; height: auto; overflow: visible; }
`;

export function renderPage({ title, body, style = '', script }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${style}</style>
</head>
<body>
${body}
${script === undefined ? '' : `<script type="module">${script}</script>\n`}</body>
</html>
`;
}

/** @param align `n` sets a column of numbers to the right */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly ('n' | '')[],
) {
  const cells = (tag: string, row: readonly string[]) =>
    row
      .map((text, i) => `<${tag}${align[i] === 'n' ? ' class="n"' : ''}>${escapeHtml(text)}</${tag}>`)
      .join('');
  const body = rows.map((row) => `<tr>${cells('td', row)}</tr>`).join('\n');
  return `<div class="scroll"><table>\n<thead><tr>${cells('th', head)}</tr></thead>\n<tbody>\n${body}\n</tbody></table></div>`;
}
