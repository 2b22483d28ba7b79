/** What the page's form offers of a run's settings, in its order; the table of settings has the rest. */
import {
  presets,
  type Rule,
  type RunConfig,
  type Setting,
  settingNamed,
  settingsFault,
  summaryOf,
} from '@moco-ts/run';

/** Of what a table knows no choice, or more than the page does: what is offered, and the value before the demo's. */
interface Offer {
  readonly options?: Readonly<Record<string, string>> | readonly number[];
  readonly value?: number | string;
}

const offers = {
  backend: {
    options: { auto: 'WebGPU or WebAssembly', webgpu: 'WebGPU', wasm: 'WebAssembly' },
    value: 'auto',
  },
  arch: {
    options: {
      auto: 'as fits what computes',
      'resnet-tiny': 'resnet-tiny (1.2 million weights)',
      'resnet-micro': 'resnet-micro (79 thousand)',
    },
    value: 'auto',
  },
  batchSize: { options: [16, 32, 64, 128] },
  mocoK: { options: [64, 128, 256, 512, 1024, 2048], value: 512 },
  epochs: { value: 100 },
  lr: {},
  seed: {},
} as const satisfies { readonly [Name in keyof RunConfig]?: Offer };

type Offers = typeof offers;
type Name = keyof Offers;
type Chosen<Of> = Of extends { readonly options: infer Words extends Readonly<Record<string, string>> }
  ? keyof Words
  : number;

/** What the form asks for. */
export type Settings = { readonly [Key in Name]: Chosen<Offers[Key]> };

/** A field of the form. */
export interface Field {
  readonly name: string;
  readonly label: string;
  /** What the label of a number does not say; may be empty. */
  readonly hint: string;
  readonly value: string;
  /** What there is to choose from, by value; else it is a number by this rule. */
  readonly options?: readonly (readonly [value: string, text: string])[];
  readonly rule: Rule;
}

const recipe: Partial<RunConfig> = presets.emoji.flags;

function fieldOf([name, { options, value = recipe[name as Name] }]: [string, Offer]): Field {
  const setting = settingNamed(name) as Setting;
  const { rule, label = name } = setting;
  const hint = summaryOf(setting);
  return {
    name,
    label,
    hint: rule.type !== 'number' || hint.toLowerCase() === label.toLowerCase() ? '' : hint,
    value: String(value),
    ...(options && {
      options: Array.isArray(options)
        ? options.map((option: number) => [String(option), String(option)] as const)
        : Object.entries(options),
    }),
    rule,
  };
}

export const fields: readonly Field[] = Object.entries<Offer>(offers).map(fieldOf);

/**
 * What was given, as settings.
 * @throws SettingError for values that the table does not take
 */
export function settingsOf(given: Readonly<Record<string, string>>): Settings {
  const values = fields.map(({ name, rule }) => {
    const value = given[name] ?? '';
    return [name, rule.type === 'number' ? Number(value) : value];
  });
  const settings = Object.fromEntries(values) as Settings;
  const fault = settingsFault(settings);
  if (fault) throw fault;
  return settings;
}
