/**
 * SimSiam (Chen and He, arXiv 2011.10566) as a plugin: one network predicts what it says itself of the other view, without a
 * gradient through the answer. Neither negatives nor a momentum encoder.
 *
 *     moco pretrain photos/ --plugin ./examples/method-simsiam --method simsiam
 */
import {
  add,
  checkBatch,
  featureStd,
  frozenOf,
  initProjector,
  initSlots,
  mean,
  mul,
  nn,
  type Params,
  prefixed,
  projector,
  rng,
  type StateTypes,
  StepTracer,
  stopGradient,
  sum,
  type Traced,
  type TrainingStep,
  trainingPass,
} from '@moco-ts/core';
import { views } from '@moco-ts/data/portable';
import {
  defaulted,
  defineMethod,
  type MethodConfig,
  type MethodContext,
  rules,
  viewFeeds,
} from '@moco-ts/run';

const settings = {
  bottleneck: defaulted(rules.whole(1, 16_384), {
    default: 512,
    flags: '--bottleneck <n>',
    doc: "simsiam: width of the predictor's hidden layer (512)",
    bound: true,
  }),
  fixPredictorLr: defaulted(rules.truth, {
    default: true,
    flags: '--fix-predictor-lr',
    doc: "simsiam: the predictor's rate does not fall (on)",
    not: 'simsiam: the predictor learns at the rate of the rest',
  }),
};
type Config = MethodConfig<typeof settings>;

/** Three layers, all normalised, the last without scale and shift; as wide as the output (section 3). */
const projection = (inputs: number, { mocoDim: outputs, mocoMlpDim: hidden }: Config) =>
  ({ layers: 3, inputs, hidden, outputs, lastNorm: true }) as const;
const prediction = ({ mocoDim: dim, bottleneck: hidden }: Config) =>
  ({ layers: 2, inputs: dim, hidden, outputs: dim, lastNorm: false, lastBias: true }) as const;

export const simsiam = defineMethod({
  name: 'simsiam',
  settings,
  uses: ['mocoMlpDim', 'accumulate'],
  // Section 4: SGD at .05 for a batch of 256, cosine without warm-up, 100 epochs.
  defaults: () => ({
    mocoDim: 2048,
    mocoMlpDim: 2048,
    bn: 'sync',
    cos: true,
    scaleLr: true,
    lr: 0.05,
    epochs: 100,
  }),
  // MoCo v2's.
  views: ({ imageSize: size, cropMin }) => views['aug-plus']({ size, cropMin }),
  metrics: ({ mocoDim }) => [
    {
      title: 'Standard deviation of the outputs',
      unit: 'standard deviation',
      labels: { featureStd: 'Std' },
      digits: 4,
      level: { value: 1 / Math.sqrt(mocoDim), label: '1/√d, outputs that fill the sphere' },
      note: 'Near zero the outputs have collapsed (section 4.1).',
    },
  ],
  create: (context) => {
    const { config, encoder, encoderConfig, optimizer } = context;
    const random = (name: string) => rng(config.seed, `init/${name}`);
    const params = (): Params => {
      const all = encoder.init(encoderConfig, random);
      initProjector(all, 'fc', projection(encoder.featureDim(encoderConfig), config), random);
      return all;
    };
    return {
      params,
      state: () => {
        const [online, predictor]: Params[] = [params(), {}];
        initProjector(predictor!, 'predictor', prediction(config), random);
        const slots = initSlots(optimizer, { ...online!, ...predictor! }, frozenOf(context));
        return { ...prefixed('q', online!), ...predictor!, ...slots };
      },
      step: (state) => simsiamStep(context, state),
      feeds: (batch) => viewFeeds(config, batch),
    };
  },
  head: (config, { encoder, encoderConfig }) => projection(encoder.featureDim(encoderConfig), config),
});

/** The cosine of the angle between rows, averaged; without a gradient through the second (eq. 1). */
function similarity(p: Traced, z: Traced): Traced {
  return mean(sum(mul(nn.normalize(p), stopGradient(nn.normalize(z))), [1]));
}

function simsiamStep(context: MethodContext<Config>, state: StateTypes): TrainingStep {
  checkBatch(context);
  const { config, encoder, encoderConfig, batch, optimizer } = context;
  const { lr, scaleLr, batchSize, fixPredictorLr } = config;
  const step = new StepTracer(state, context);
  const shape = [batch, ...encoder.inputShape(encoderConfig)];
  const branch = step.branch('q', { also: 'predictor', frozen: frozenOf(context) });
  const outputs: Traced[] = [];
  const predictions = [step.feed('xq', shape), step.feed('xk', shape)].map((x) =>
    trainingPass(context, branch, x, (features, params, forward) => {
      const z = projector(forward, params, 'fc', features, projection(features.shape[1]!, config));
      outputs.push(z);
      return projector(forward, params, 'predictor', z, prediction(config));
    }),
  );
  const loss = mul(
    add(similarity(predictions[0]!, outputs[1]!), similarity(predictions[1]!, outputs[0]!)),
    -0.5,
  );
  step.metric('featureStd', featureStd(nn.normalize(outputs[0]!)));
  step.metric('loss', loss);
  step.keep(branch, 'buffers');
  const fixed = scaleLr ? (lr * batchSize) / 256 : lr;
  step.minimize(loss, branch, optimizer, false, {
    has: (name) => fixPredictorLr && name.startsWith('predictor.'),
    rate: () => fixed,
  });
  return step.finish(optimizer);
}
