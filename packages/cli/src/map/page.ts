/** The page of a map: one file that holds its thumbnails, its places and what moves it. */
import { escapeHtml, renderPage } from '../html/page.ts';
import { type MapData, runMap } from './script.ts';
import type { Sheets } from './thumbnails.ts';

export interface MapPage {
  readonly title: string;
  /** A line below it. */
  readonly about: string;
  readonly data: MapData;
  readonly sheets: Sheets;
}

const style = `
html, body { height: 100%; }
body { max-width: none; padding: 0; display: grid; grid-template: auto minmax(0, 1fr) / minmax(0, 1fr) 20rem; }
header { grid-column: 1 / -1; display: flex; flex-wrap: wrap; gap: .5rem 1.25rem; align-items: center;
  padding: .6rem 1rem; border-bottom: 1px solid var(--line); }
header h1 { font-size: 1.05rem; margin: 0; }
header p { margin: 0; font-size: .85rem; flex: 1 1 12rem; }
header form, header div { display: flex; gap: .35rem; }
button, input { font: inherit; font-size: .85rem; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .25rem .6rem; min-height: 2rem; }
input { width: 11rem; background: var(--paper); }
button { cursor: pointer; }
button:hover { border-color: var(--soft); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
main { position: relative; min-height: 0; overflow: hidden; }
#map { position: absolute; inset: 0; width: 100%; height: 100%; cursor: grab; touch-action: none; caret-color: light-dark(#d55e00, #ff9d4d); }
#map:active { cursor: grabbing; }
#map:focus-visible { outline-offset: -3px; }
#tip { position: absolute; left: 0; top: 0; pointer-events: none; background: var(--ink); color: var(--paper); font-size: .8rem;
  padding: .1rem .5rem; border-radius: 5px; white-space: nowrap; max-width: calc(100% - 16px); overflow: hidden; text-overflow: ellipsis; }
aside { border-left: 1px solid var(--line); overflow-y: auto; padding: 1rem; font-size: .9rem; }
aside h2 { margin: .75rem 0 .25rem; font-size: .95rem; overflow-wrap: anywhere; }
aside ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .35rem; }
aside li button { width: 100%; display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: .6rem; align-items: center;
  text-align: left; padding: .25rem .6rem .25rem .25rem; }
aside li span { overflow-wrap: anywhere; }
aside b { font-weight: 500; font-variant-numeric: tabular-nums; color: var(--soft); }
canvas { display: block; }
aside > div > :first-child { margin-top: 0; }
#portrait { min-height: 128px; }
kbd { font: inherit; border: 1px solid var(--line); border-radius: 4px; padding: 0 .3rem; background: var(--card); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .3rem .8rem; margin: .5rem 0; }
dd { margin: 0; color: var(--soft); }
.apart { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 44rem) {
  body { grid-template: auto minmax(0, 3fr) minmax(0, 2fr) / minmax(0, 1fr); }
  aside { border-left: 0; border-top: 1px solid var(--line); }
}
`;

export function renderMap({ title, about, data, sheets }: MapPage): string {
  const count = data.ids.length;
  const images = sheets.urls.map((url) => `<img src="${url}" alt="">`).join('\n');
  const body = `<header>
<h1>${escapeHtml(title)}</h1>
<p class="soft">${escapeHtml(about)}</p>
<form id="find" role="search"><input id="wanted" type="search" placeholder="part of a name" aria-label="Part of an image's name"><button>Find</button></form>
<div><button id="in" aria-label="Zoom in" title="Zoom in">+</button><button id="out" aria-label="Zoom out" title="Zoom out">&minus;</button><button id="all">Show all</button></div>
</header>
<main>
<canvas id="map" tabindex="0" role="application" aria-label="Map of ${count} images, alike ones near each other" aria-describedby="hint"></canvas>
<div id="tip" hidden></div>
</main>
<aside aria-label="Chosen image">
<div id="hint"><p>Alike images lie near each other. Choose one to see its nearest.</p>
<dl><dt>Wheel, <kbd>+</kbd> <kbd>&minus;</kbd></dt><dd>zoom</dd><dt>Drag</dt><dd>move</dd><dt>Click, <kbd>Enter</kbd></dt><dd>choose</dd>
<dt>Arrow keys</dt><dd>next image</dd><dt><kbd>0</kbd></dt><dd>show all</dd><dt><kbd>Esc</kbd></dt><dd>let go</dd></dl></div>
<div id="chosen" hidden><div id="portrait"></div><h2 id="name"></h2><p class="soft">Nearest by cosine, among all images:</p><ol id="list"></ol></div>
</aside>
<div id="live" class="apart" aria-live="polite"></div>
<div id="sheets" hidden>${images}</div>
<script type="application/json" id="data">${inScript(JSON.stringify(data))}</script>`;
  // Builds that keep the names of functions call a helper for it.
  const script = `const __name = (f) => f;\n(${runMap.toString()})(JSON.parse(document.getElementById('data').textContent));`;
  return renderPage({ title, body, style, script });
}

/** JSON in a script element: nothing in it may end the element. */
const inScript = (json: string) => json.replaceAll('<', '\\u003c');
