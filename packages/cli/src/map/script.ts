/// <reference lib="dom" />
/** What runs in the page of a map. Its text is put into the page: it sees nothing but its argument and the page. */

export interface MapData {
  readonly ids: readonly string[];
  /** [N, 2], in [0, 1] */
  readonly places: readonly number[];
  /** Of each image, the nearest first. */
  readonly neighbours: readonly (readonly number[])[];
  /** Their cosines. */
  readonly similarities: readonly (readonly number[])[];
  /** The name of each image's class, by number. */
  readonly labels?: readonly number[];
  readonly classes?: readonly string[];
  /** Pixels of a thumbnail's side, and how many are in a row of a sheet. */
  readonly cell: number;
  readonly columns: number;
}

export function runMap(data: MapData): void {
  const { ids, places, neighbours, similarities, cell, columns } = data;
  const count = ids.length;
  const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
  const canvas = find<HTMLCanvasElement>('map');
  const context = canvas.getContext('2d')!;
  const sheets = [...document.querySelectorAll<HTMLImageElement>('#sheets img')];
  const name = (i: number) => {
    const label = data.labels?.[i] ?? -1;
    const className = data.classes?.[label];
    return className === undefined || ids[i]!.startsWith(`${className}/`)
      ? ids[i]!
      : `${ids[i]!} (${className})`;
  };

  // Screen = place * scale + offset, in CSS pixels.
  let [scale, left, top, width, height] = [1, 0, 0, 0, 0];
  let fitScale = 1;
  let pointed = -1;
  let selected = -1;
  let queued = false;

  const x = (i: number) => places[2 * i]! * scale + left;
  const y = (i: number) => places[2 * i + 1]! * scale + top;
  /** Thumbnails grow more slowly than distances: zooming in takes them apart. */
  const size = () => {
    const base = Math.min(48, Math.max(9, 0.8 * Math.sqrt((fitScale * fitScale) / count)));
    return Math.min(1.5 * cell, base * (scale / fitScale) ** 0.7);
  };

  function drawThumbnail(to: CanvasRenderingContext2D, i: number, atX: number, atY: number, side: number) {
    const sheet = sheets[Math.floor(i / (columns * columns))];
    const within = i % (columns * columns);
    const [sx, sy] = [(within % columns) * cell, Math.floor(within / columns) * cell];
    if (sheet?.complete) to.drawImage(sheet, sx, sy, cell, cell, atX - side / 2, atY - side / 2, side, side);
    else to.fillRect(atX - side / 4, atY - side / 4, side / 2, side / 2);
  }

  function ring(i: number, side: number, color: string) {
    context.strokeStyle = color;
    context.lineWidth = 2.5;
    context.strokeRect(x(i) - side / 2 - 2, y(i) - side / 2 - 2, side + 4, side + 4);
  }

  function draw() {
    queued = false;
    const density = devicePixelRatio || 1;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = 'medium';
    const style = getComputedStyle(canvas);
    // A property whose value is resolved, unlike one of our own.
    const accent = style.caretColor;
    context.fillStyle = style.color;
    const side = size();
    const near = selected < 0 ? [] : neighbours[selected]!;
    context.globalAlpha = selected < 0 ? 1 : 0.25;
    for (let i = 0; i < count; i++) {
      const [px, py] = [x(i), y(i)];
      if (px > -side && py > -side && px < width + side && py < height + side)
        drawThumbnail(context, i, px, py, side);
    }
    context.globalAlpha = 1;
    if (selected >= 0) {
      context.strokeStyle = accent;
      context.lineWidth = 1;
      for (const i of near) {
        context.beginPath();
        context.moveTo(x(selected), y(selected));
        context.lineTo(x(i), y(i));
        context.stroke();
      }
      const large = Math.max(side, 28);
      for (const i of [...near].reverse()) {
        drawThumbnail(context, i, x(i), y(i), large);
      }
      drawThumbnail(context, selected, x(selected), y(selected), 1.3 * large);
      ring(selected, 1.3 * large, accent);
    }
    if (pointed >= 0 && pointed !== selected) {
      const large = Math.max(side, 40);
      drawThumbnail(context, pointed, x(pointed), y(pointed), large);
      ring(pointed, large, style.color);
    }
  }

  function redraw() {
    if (queued) return;
    queued = true;
    requestAnimationFrame(draw);
  }

  function showAll() {
    const margin = 40;
    fitScale = Math.max(50, Math.min(width, height) - 2 * margin);
    scale = fitScale;
    left = (width - scale) / 2;
    top = (height - scale) / 2;
    redraw();
  }

  function zoom(factor: number, atX = width / 2, atY = height / 2) {
    const next = Math.min(60 * fitScale, Math.max(fitScale / 2, scale * factor));
    left = atX - ((atX - left) * next) / scale;
    top = atY - ((atY - top) * next) / scale;
    scale = next;
    redraw();
  }

  /** The topmost image under a point. */
  function under(atX: number, atY: number): number {
    const reach = size() / 2 + 2;
    let [best, least] = [-1, Number.POSITIVE_INFINITY];
    for (let i = 0; i < count; i++) {
      const [dx, dy] = [Math.abs(x(i) - atX), Math.abs(y(i) - atY)];
      if (dx > reach || dy > reach) continue;
      const distance = dx * dx + dy * dy;
      if (distance <= least) [best, least] = [i, distance];
    }
    return best;
  }

  const tip = find('tip');
  function point(i: number, how: 'mouse' | 'keys') {
    if (i === pointed) return;
    pointed = i;
    tip.hidden = i < 0;
    if (i >= 0) {
      tip.textContent = name(i);
      const large = Math.max(size(), 40) / 2 + 6;
      const below = y(i) + large + 30 < height;
      tip.style.transform = `translate(${Math.round(Math.min(width - tip.offsetWidth - 8, Math.max(8, x(i) - tip.offsetWidth / 2)))}px, ${Math.round(below ? y(i) + large : y(i) - large - 28)}px)`;
      if (how === 'keys') find('live').textContent = name(i);
    }
    redraw();
  }

  function show(i: number) {
    const margin = 60;
    if (x(i) < margin || x(i) > width - margin) left += width / 2 - x(i);
    if (y(i) < margin || y(i) > height - margin) top += height / 2 - y(i);
    redraw();
  }

  function thumbnailOf(i: number, side: number): HTMLCanvasElement {
    const image = document.createElement('canvas');
    const density = Math.max(1, Math.round(devicePixelRatio || 1));
    image.width = side * density;
    image.height = side * density;
    image.style.width = `${side}px`;
    image.style.height = `${side}px`;
    const to = image.getContext('2d')!;
    to.imageSmoothingQuality = 'high';
    drawThumbnail(to, i, image.width / 2, image.height / 2, image.width);
    return image;
  }

  function select(i: number) {
    selected = i;
    point(-1, 'mouse');
    const panel = find('chosen');
    panel.hidden = i < 0;
    find('hint').hidden = i >= 0;
    if (i >= 0) {
      find('portrait').replaceChildren(thumbnailOf(i, 128));
      find('name').textContent = name(i);
      const items = neighbours[i]!.map((other, n) => {
        const button = document.createElement('button');
        const text = document.createElement('span');
        text.textContent = name(other);
        const value = document.createElement('b');
        value.textContent = similarities[i]![n]!.toFixed(3);
        button.append(thumbnailOf(other, 44), text, value);
        button.addEventListener('click', () => {
          select(other);
          show(other);
          find('list').querySelector('button')?.focus();
        });
        button.addEventListener('pointerenter', () => point(other, 'mouse'));
        button.addEventListener('pointerleave', () => point(-1, 'mouse'));
        const item = document.createElement('li');
        item.append(button);
        return item;
      });
      find('list').replaceChildren(...items);
      find('live').textContent = `${name(i)}: ${items.length} nearest images in the list`;
    }
    redraw();
  }

  /** The nearest image in a direction; sideways distance counts more. */
  function step(dx: number, dy: number) {
    let from = pointed >= 0 ? pointed : selected;
    if (from < 0) {
      from = 0;
      for (let i = 1; i < count; i++)
        if (
          Math.hypot(x(i) - width / 2, y(i) - height / 2) <
          Math.hypot(x(from) - width / 2, y(from) - height / 2)
        )
          from = i;
      point(from, 'keys');
      return;
    }
    let [best, least] = [-1, Number.POSITIVE_INFINITY];
    for (let i = 0; i < count; i++) {
      const along = (x(i) - x(from)) * dx + (y(i) - y(from)) * dy;
      const across = Math.abs((x(i) - x(from)) * dy) + Math.abs((y(i) - y(from)) * dx);
      if (i === from || along <= 0 || across > 2 * along) continue;
      const cost = along + 2 * across;
      if (cost < least) [best, least] = [i, cost];
    }
    if (best < 0) return;
    show(best);
    point(best, 'keys');
  }

  const keys: Record<string, () => void> = {
    ArrowLeft: () => step(-1, 0),
    ArrowRight: () => step(1, 0),
    ArrowUp: () => step(0, -1),
    ArrowDown: () => step(0, 1),
    Enter: () => pointed >= 0 && select(pointed),
    ' ': () => pointed >= 0 && select(pointed),
    '+': () => zoom(1.4),
    '=': () => zoom(1.4),
    '-': () => zoom(1 / 1.4),
    '0': showAll,
    Escape: () => select(-1),
  };
  canvas.addEventListener('keydown', (event) => {
    const action = event.ctrlKey || event.metaKey || event.altKey ? undefined : keys[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  const down = new Map<number, { x: number; y: number }>();
  let moved = 0;
  const local = (event: MouseEvent) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, local(event));
    if (down.size === 1) moved = 0;
  });
  canvas.addEventListener('pointermove', (event) => {
    const now = local(event);
    const before = down.get(event.pointerId);
    if (!before) {
      point(under(now.x, now.y), 'mouse');
      return;
    }
    const other = [...down].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const spread = (a: { x: number; y: number }) => Math.max(10, Math.hypot(a.x - other.x, a.y - other.y));
      zoom(spread(now) / spread(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      left += now.x - before.x;
      top += now.y - before.y;
    }
    moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
    down.set(event.pointerId, now);
    point(-1, 'mouse');
    redraw();
  });
  canvas.addEventListener('pointerup', (event) => {
    const { x: atX, y: atY } = local(event);
    if (moved < 5 && down.size === 1) select(under(atX, atY));
    down.delete(event.pointerId);
  });
  canvas.addEventListener('pointercancel', (event) => down.delete(event.pointerId));
  canvas.addEventListener('pointerleave', () => point(-1, 'mouse'));
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const { x: atX, y: atY } = local(event);
      zoom(Math.exp(-event.deltaY / (event.deltaMode === 1 ? 20 : 400)), atX, atY);
    },
    { passive: false },
  );

  find('in').addEventListener('click', () => zoom(1.4));
  find('out').addEventListener('click', () => zoom(1 / 1.4));
  find('all').addEventListener('click', showAll);
  find<HTMLFormElement>('find').addEventListener('submit', (event) => {
    event.preventDefault();
    const wanted = find<HTMLInputElement>('wanted').value.trim().toLowerCase();
    if (wanted === '') return;
    // On from the one that is chosen, so that asking again goes through all.
    for (let n = 1; n <= count; n++) {
      const i = (Math.max(selected, -1) + n + count) % count;
      if (!name(i).toLowerCase().includes(wanted)) continue;
      select(i);
      show(i);
      return;
    }
    find('live').textContent = `no image has ${wanted} in its name`;
    select(-1);
  });

  let fresh = true;
  new ResizeObserver(() => {
    const box = canvas.getBoundingClientRect();
    [width, height] = [box.width, box.height];
    canvas.width = Math.round(width * (devicePixelRatio || 1));
    canvas.height = Math.round(height * (devicePixelRatio || 1));
    if (fresh) showAll();
    fresh = false;
    redraw();
  }).observe(canvas);
  for (const sheet of sheets) sheet.addEventListener('load', redraw);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  select(-1);
}
