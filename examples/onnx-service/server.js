/** `node server.js model.onnx photos/`, then `curl --data-binary @cat.jpg localhost:3000/neighbours`. */
import { serve } from '@hono/node-server';
import { createService } from './index.js';

const [model, gallery] = process.argv.slice(2);
if (gallery === undefined) {
  console.error('usage: node server.js MODEL.onnx FOLDER');
  process.exit(1);
}
const { fetch } = await createService(model, gallery).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
serve({ fetch, port: Number(process.env.PORT ?? 3000) }, ({ port }) =>
  console.log(`http://localhost:${port}/neighbours`),
);
