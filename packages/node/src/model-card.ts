/** The Markdown page beside an exported model, with the front matter that model hubs read. */
import { counted } from '@moco-ts/core';
import { clearSide } from '@moco-ts/data';
import { type RunConfig, tokensAre } from '@moco-ts/run';
import { type Measures, measureRows } from './evaluate.ts';
import type { ExportSettings } from './export-model.ts';
import { bytes } from './format.ts';
import { version } from './versions.ts';

export interface CardFacts {
  readonly config: RunConfig;
  readonly settings: ExportSettings;
  /** The model's file name. */
  readonly file: string;
  readonly size: number;
  readonly dim: number;
  /** How many tokens an image has, and the length of each, if the model gives them. */
  readonly tokens?: readonly [count: number, dim: number];
  /** Epochs and images that the encoder was trained for. */
  readonly epochs: number;
  readonly images: number;
  /** The last losses of training. */
  readonly losses: readonly number[];
  readonly measured?: readonly { readonly name: string; readonly measures: Measures }[];
}

export function modelCard(facts: CardFacts): string {
  const { config, settings, file, size, dim, tokens, epochs, images, losses } = facts;
  const { arch, method, data, imageSize, mean, std } = config;
  const { classes, withHead, withPreprocess, precision = 'fp32' } = settings;
  const task = classes ? 'image-classification' : 'image-feature-extraction';
  const input = withPreprocess
    ? '`images`: uint8 [N, H, W, 3], RGB, of any size: the model resizes, cuts the centre and normalises'
    : `\`${settings.names?.input ?? 'input'}\`: float32 [N, 3, ${imageSize}, ${imageSize}], RGB, (value / 255 - mean) / std with mean ${list(mean)} and std ${list(std)}; the shorter side resized to ${clearSide({ width: 1, height: 2 }, imageSize)} pixels, the centre cut out`;
  const output = settings.names?.output ?? (classes ? 'logits' : 'features');
  const outputs = tokens ? `${output}, tokens` : output;
  const kind = classes
    ? `logits of ${classes.length} classes: ${classes.map(prose).join(', ')}`
    : withHead
      ? 'unit vectors of the contrastive head'
      : 'features of the backbone, not normalised: compare them by cosine';
  const last = losses.length > 0 ? losses.reduce((sum, loss) => sum + loss, 0) / losses.length : undefined;
  return `---
library_name: onnx
pipeline_tag: ${task}
tags: [${['moco-ts', 'self-supervised', method, arch].map(yaml).join(', ')}]
---
# ${prose(`${arch}, ${method}, ${data}`)}

${classes ? 'A classifier' : 'An image encoder'} trained ${classes ? 'on' : 'without labels on'} ${images > 0 ? `${images} images of ` : ''}${code(data)}, exported by MoCo.ts ${version}.

| | |
|---|---|
| file | ${code(file)}, ${bytes(size)}, ${precision}${precision === 'int8' ? (settings.calibration ? ', ranges from calibration images' : ', ranges found as images come') : ''} |
| input | ${input} |
| output | \`${output}\`: float32 [N, ${dim}], ${kind} |${tokens ? `\n| output | \`tokens\`: float32 [N, ${tokens.join(', ')}], ${tokensAre} |` : ''}

## How it was trained

${counted(epochs, 'epoch')}${last === undefined ? '' : `, mean loss of the last steps ${last.toFixed(3)}`}. All settings:

| setting | value |
|---|---|
${Object.entries(config)
  .map(([name, value]) => `| ${name} | ${prose(Array.isArray(value) ? list(value) : String(value))} |`)
  .join('\n')}

## What it measures

${measuredTable(facts.measured)}

## How to run it

\`\`\`js
import * as ort from 'onnxruntime-node'; // or onnxruntime-web, in a browser
process.env.ORT_DISABLE_TELEMETRY = '1'; // in Node: else it sends usage data to its maker
const session = await ort.InferenceSession.create(${quoted(file, "'")});
const input = ${withPreprocess ? `new ort.Tensor('uint8', rgbBytes, [1, height, width, 3])` : `new ort.Tensor('float32', pixels, [1, 3, ${imageSize}, ${imageSize}])`};
const { ${outputs} } = await session.run({ ${withPreprocess ? 'images' : (settings.names?.input ?? 'input')}: input });
\`\`\`

\`\`\`python
import os
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
import onnxruntime
session = onnxruntime.InferenceSession(${quoted(file, '"')})
(${outputs}${tokens ? '' : ','}) = session.run(None, {"${withPreprocess ? 'images' : (settings.names?.input ?? 'input')}": ${withPreprocess ? 'rgb_bytes' : 'pixels'}})
\`\`\`

## Limits

It knows images like those that it was trained on; ${classes ? 'it names none but its classes, and always one of them' : 'it names nothing, and what it takes for alike is what its training views left the same (colour, cut, blur)'}. The
figures above are of the data named there. Its licence is for whoever trained it to state.
`;
}

function measuredTable(measured: CardFacts['measured']): string {
  if (!measured || measured.length === 0) return 'Not measured: `moco export --measure`, or `moco knn`.';
  const names = [...new Set(measured.flatMap(({ measures }) => measureRows(measures).map(([name]) => name)))];
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    row(['', ...names]),
    row(['---', ...names.map(() => '--:')]),
    ...measured.map(({ name, measures }) => {
      const values = new Map(measureRows(measures));
      return row([name, ...names.map((each) => `${values.get(each)?.toFixed(2) ?? ''} %`)]);
    }),
  ].join('\n');
}

const list = (values: readonly unknown[]) => `[${values.join(', ')}]`;

const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' };

/** A text of anyone's as words of Markdown, in a table too: no HTML, link, image, code or emphasis of its own. */
export const prose = (text: string): string =>
  line(text)
    .replace(/[\\`*_[\]|~$#]/g, '\\$&')
    .replace(/[&<>]/g, (character) => entities[character]!);

/** The same as a piece of code. */
const code = (text: string): string => (/[`|\\]/.test(text) ? prose(text) : `\`${line(text)}\``);

const line = (text: string): string => text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ');
const plain = /^[\w. -]+$/;
const yaml = (text: string): string =>
  plain.test(text) ? text : JSON.stringify(text).replaceAll('<', '\\u003c');
/** A text of a program. */
const quoted = (text: string, mark: string): string =>
  plain.test(text) ? `${mark}${text}${mark}` : JSON.stringify(text);
