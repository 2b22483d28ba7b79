/** The fields of the page's form as HTML: the page has them before its script runs. */
import { type Field, fields } from '../src/fields.ts';

const escaped = (text: string) => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);

const attributes = (given: Readonly<Record<string, string | boolean>>) =>
  Object.entries(given)
    .map(([name, value]) =>
      value === true ? ` ${name}` : value === false ? '' : ` ${name}="${escaped(value)}"`,
    )
    .join('');

function control({ name, hint, value, options, rule }: Field): string {
  const common = { name, id: `set-${name}`, ...(hint && { 'aria-describedby': `hint-${name}` }) };
  if (options) {
    const listed = options.map(
      ([of, text]) => `<option${attributes({ value: of, selected: of === value })}>${escaped(text)}</option>`,
    );
    return `<select${attributes(common)}>${listed.join('')}</select>`;
  }
  if (rule.type !== 'number') throw new Error(`the form has no field for ${name}: give it options`);
  // Least itself may be too little, which HTML can't say: the worker refuses it.
  const bounds = { min: String(rule.least), max: String(rule.most), step: rule.whole ? '1' : 'any' };
  return `<input${attributes({ ...common, type: 'number', ...bounds, value, required: true })}>`;
}

function field(of: Field): string {
  const hint = of.hint && `<span id="hint-${of.name}">${escaped(of.hint)}</span>`;
  return `<div class="field"><label for="set-${of.name}">${escaped(of.label)}</label>${control(of)}${hint}</div>`;
}

/** A page with the fields in the place of its `<!-- fields -->`. */
export function withFields(html: string): string {
  return html.replace('<!-- fields -->', fields.map(field).join('\n        '));
}
