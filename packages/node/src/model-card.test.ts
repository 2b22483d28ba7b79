import { resolveConfig } from '@moco-ts/run';
import { describe, expect, it } from 'vitest';
import { modelCard, prose } from './model-card.ts';

const hostile = '<script>alert(1)</script>![x](http://h/p.png)|`a`\n# *b* &amp;';

describe('the model card', () => {
  const config = {
    ...resolveConfig({ data: 'x' }, { source: { data: 'x', split: 'train' } }),
    data: hostile,
    arch: hostile,
    backend: hostile,
  };
  const card = modelCard({
    config,
    settings: { withHead: false, withPreprocess: false, classes: ['cat', hostile] },
    file: "m'\n```.onnx",
    size: 1,
    dim: 2,
    epochs: 1,
    images: 3,
    losses: [],
  });

  it('shows names as they are and lets them do nothing', () => {
    // By CommonMark a backslash makes a mark a letter, and an entity is text.
    expect(prose(hostile)).toBe(
      '&lt;script&gt;alert(1)&lt;/script&gt;!\\[x\\](http://h/p.png)\\|\\`a\\` \\# \\*b\\* &amp;amp;',
    );
    // Front matter is YAML, which no one renders.
    const body = card.slice(card.indexOf('\n---\n'));
    expect(body).not.toMatch(/<[a-z/]/i);
    expect(body).not.toContain('![x]');
    expect(card).toContain(`logits of 2 classes: cat, ${prose(hostile)}`);
  });

  it('keeps its form: front matter, tables, code', () => {
    const rows = card.split('\n').filter((row) => row.startsWith('| '));
    for (const row of rows) expect(row).toMatch(/ \|$/);
    expect(rows).toHaveLength(5 + Object.keys(config).length);
    expect(card.match(/^```/gm)).toHaveLength(4);
    expect(card.split('\n')[3]).toBe(
      `tags: [moco-ts, self-supervised, moco-v1, ${JSON.stringify(hostile).replaceAll('<', '\\u003c')}]`,
    );
    expect(card).toContain(`create(${JSON.stringify("m'\n```.onnx")})`);
  });
});
