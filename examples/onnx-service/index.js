/**
 * An exported encoder in a web service. It needs ONNX Runtime, sharp and Hono, and nothing of MoCo.ts: the model holds its
 * own preprocessing (`moco export RUN -o model.onnx --with-preprocess`).
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { HTTPException } from 'hono/http-exception';
import * as ort from 'onnxruntime-node';
import sharp from 'sharp';

// ONNX Runtime would send usage data, from its first session on.
process.env.ORT_DISABLE_TELEMETRY = '1';
const LARGEST = 10 * 2 ** 20;
const IMAGE = /^[^.].*\.(avif|gif|jpe?g|png|webp)$/i;
/**
 * What these begin with. sharp goes by content too, and would draw an SVG, whatever its name, and take any fourth band of a
 * TIFF for alpha.
 */
const CONTENT = /^(\xff\xd8\xff|\x89PNG|GIF8|RIFF.{4}WEBP|.{4}ftypavi[fs])/s;
const MOST_PIXELS = 2 ** 26;
/** Larger images are shrunk before the model sees them: it holds each pixel as floats. */
const LONGER_SIDE = 1024;

/**
 * POST an image to /features for its features, or to /neighbours?k=3 for the most similar images of the gallery.
 * @param model path of the model
 * @param gallery folder of images, at any depth; what is no image is passed by, a damaged one with a warning
 */
export async function createService(model, gallery) {
  const session = await ort.InferenceSession.create(model);

  let queue = Promise.resolve();
  /** One at a time, so that many requests take no more memory than one. */
  function embed(bytes) {
    const features = queue.then(() => featuresOf(bytes));
    queue = features.catch(() => undefined);
    return features;
  }

  /** Features of length 1, so that a dot product is the cosine. */
  async function featuresOf(bytes) {
    if (!CONTENT.test(Buffer.from(bytes).toString('latin1', 0, 12)))
      throw new Error('no JPEG, PNG, WebP, GIF or AVIF');
    const { data, info } = await sharp(bytes, { limitInputPixels: MOST_PIXELS })
      .rotate()
      .resize(LONGER_SIDE, LONGER_SIDE, { fit: 'inside', withoutEnlargement: true })
      .flatten({ background: 'white' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const images = new ort.Tensor('uint8', data, [1, info.height, info.width, info.channels]);
    const { features } = await session.run({ images });
    const length = Math.hypot(...features.data);
    return features.data.map((value) => value / length);
  }

  const known = [];
  for (const name of (await readdir(gallery, { recursive: true })).sort()) {
    const path = join(gallery, name);
    if (!IMAGE.test(basename(name))) continue;
    try {
      if (!(await stat(path)).isFile()) continue;
      known.push({ name, features: await embed(await readFile(path)) });
    } catch (error) {
      console.warn(`${path} is left out: ${error.message.split('\n')[0]}`);
    }
  }
  if (known.length === 0) throw new Error(`${gallery} has no image that can be read`);

  async function posted(context) {
    const bytes = await context.req.arrayBuffer();
    return embed(bytes).catch(() => {
      throw new HTTPException(400, { message: 'the body is no image that can be read' });
    });
  }

  const app = new Hono();
  app.use(bodyLimit({ maxSize: LARGEST }));
  app.onError((error, context) => {
    if (error instanceof HTTPException) return context.json({ error: error.message }, error.status);
    console.error(error);
    return context.json({ error: 'the service failed' }, 500);
  });
  app.post('/features', async (context) => context.json({ features: [...(await posted(context))] }));
  app.post('/neighbours', async (context) => {
    const k = Number(context.req.query('k') ?? 3);
    if (!Number.isInteger(k) || k < 1)
      throw new HTTPException(400, { message: 'k: give a whole number from 1' });
    const query = await posted(context);
    const scored = known.map(({ name, features }) => ({
      name,
      similarity: features.reduce((sum, value, i) => sum + value * query[i], 0),
    }));
    scored.sort((a, b) => b.similarity - a.similarity);
    return context.json({ neighbours: scored.slice(0, k) });
  });
  return app;
}
