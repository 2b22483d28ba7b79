/**
 * BYOL (Grill et al., arXiv 2006.07733) as a plugin: an online network predicts what a target network, its exponential moving
 * average, says of the other view. There are no negatives, and so no contrastive accuracy.
 *
 *     moco pretrain photos/ --plugin ./examples/method-byol --method byol
 */
import {
  add,
  type Branch,
  checkBatch,
  emaUpdate,
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
  risingMomentum,
  rng,
  type StateTypes,
  StepTracer,
  scalar,
  stopGradient,
  sub,
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
  byolHidden: defaulted(rules.whole(1, 16_384), {
    default: 4096,
    flags: '--byol-hidden <n>',
    doc: "byol: width of the projector's and the predictor's hidden layer (4096)",
    bound: true,
  }),
};
type Config = MethodConfig<typeof settings>;

/** Linear, batch normalisation, ReLU, linear: the projector and the predictor (section 3.3). */
const mlp = (inputs: number, { byolHidden: hidden, mocoDim: outputs }: Config) =>
  ({ layers: 2, inputs, hidden, outputs, lastNorm: false, lastBias: true }) as const;

export const byol = defineMethod({
  name: 'byol',
  settings,
  uses: ['mocoM', 'mocoMCos', 'accumulate'],
  // Section 3.3 and appendix A; the rate is for a batch of 256.
  defaults: (_traits, { epochs = 1000 }) => ({
    epochs,
    mocoDim: 256,
    mocoM: 0.996,
    mocoMCos: true,
    bn: 'sync',
    cropMin: 0.08,
    optimizer: 'lars',
    lr: 0.2,
    wd: 1.5e-6,
    cos: true,
    lrPerStep: true,
    scaleLr: true,
    warmupEpochs: Math.min(10, Math.floor(0.1 * epochs)),
  }),
  // Appendix B: the first view is always blurred, the second seldom, and it alone is solarised.
  views: ({ imageSize: size, cropMin }) => views.v3({ size, cropMin }),
  create: (context) => {
    const { config, encoder, encoderConfig, optimizer } = context;
    const { seed, mocoM, mocoMCos } = config;
    const random = (name: string) => rng(seed, `init/${name}`);
    const params = (): Params => {
      const all = encoder.init(encoderConfig, random);
      initProjector(all, 'fc', mlp(encoder.featureDim(encoderConfig), config), random);
      return all;
    };
    return {
      params,
      state: () => {
        const [online, predictor]: Params[] = [params(), {}];
        initProjector(predictor!, 'predictor', mlp(config.mocoDim, config), random);
        const slots = initSlots(optimizer, { ...online!, ...predictor! }, frozenOf(context));
        return { ...prefixed('q', online!), ...prefixed('k', online!), ...predictor!, ...slots };
      },
      step: (state) => byolStep(context, state),
      feeds: (batch, { progress }) =>
        Object.assign(viewFeeds(config, batch), {
          momentum: scalar(mocoMCos ? risingMomentum(mocoM, progress) : mocoM),
        }),
      // Of vectors that know nothing of each other: their cosine is 0.
      chance: { loss: 4, formula: '2 (2 - 2 cos 90°)' },
    };
  },
  head: (config, { encoder, encoderConfig }) => mlp(encoder.featureDim(encoderConfig), config),
});

/** 2 - 2 cos of the angle between rows (eq. 2), averaged. */
function distance(prediction: Traced, target: Traced): Traced {
  return sub(2, mul(mean(sum(mul(nn.normalize(prediction), target), [1])), 2));
}

function byolStep(context: MethodContext<Config>, state: StateTypes): TrainingStep {
  checkBatch(context);
  const { config, encoder, encoderConfig, batch, optimizer } = context;
  const step = new StepTracer(state, context);
  const shape = [batch, ...encoder.inputShape(encoderConfig)];
  const [first, second] = [step.feed('xq', shape), step.feed('xk', shape)];
  const frozen = frozenOf(context);
  const online = step.branch('q', { also: 'predictor', frozen });
  const target = step.branch('k', { frozen });
  target.params = emaUpdate(target.params, online.params, step.feed('momentum', []), frozen);

  const pass = (branch: Branch, x: Traced, predicts: boolean) =>
    trainingPass(context, branch, x, (features, params, forward) => {
      const projected = projector(forward, params, 'fc', features, mlp(features.shape[1]!, config));
      return predicts
        ? projector(forward, params, 'predictor', projected, mlp(config.mocoDim, config))
        : projected;
    });
  const targets = [first, second].map((x) => stopGradient(nn.normalize(pass(target, x, false))));
  const predictions = [first, second].map((x) => pass(online, x, true));
  const loss = add(distance(predictions[0]!, targets[1]!), distance(predictions[1]!, targets[0]!));
  step.metric('featureStd', featureStd(nn.normalize(predictions[0]!)));
  step.metric('loss', loss);
  step.keep(online, 'buffers');
  step.keep(target, 'all');
  step.minimize(loss, online, optimizer);
  return step.finish(optimizer);
}
