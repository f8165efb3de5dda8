import type { Bits } from '../fib/bits';
import { prefixBits } from '../fib/bits';
import { valueText } from '../fib/explain';
import type { Host } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { Rule } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';

/**
 * Returns the host with a placeholder address for each prefix in its rules that is known at apply only. So each such
 * prefix differs from all others. The addresses come from ranges that nobody uses (RFC 6890).
 */
export function withPlaceholders(host: Host): { host: Host; names: Map<Bits, string> } {
  const names = new Map<Bits, string>();
  const made = new Map<string, Value>();
  const placeholder = (value: Value | undefined, { family: of }: Rule): Value | undefined => {
    if (!value || isKnown(value) || value.kind !== 'prefix') {
      return value;
    }
    const family = of === 6 ? 6 : 4;
    const key = `${family} ${value.text}`;
    return getOrInsertComputed(made, key, () => {
      const number = made.size + 1;
      const bytes = [number >> 16, (number >> 8) & 255, number & 255];
      const text = family === 4 ? `240.${bytes.join('.')}` : `100::${number.toString(16)}`;
      names.set(prefixBits(text), valueName(value, host.path));
      return { kind: 'prefix', text, family };
    });
  };
  const rules = host.rules.map((rule): Rule => {
    const [source, destination] = [placeholder(rule.source, rule), placeholder(rule.destination, rule)];
    // A rule that may belong to either family is shown only once.
    const family = rule.family === 'auto' ? ((source ?? destination)?.family ?? rule.family) : rule.family;
    return { ...rule, family, ...(source && { source }), ...(destination && { destination }) };
  });
  return { host: { ...host, rules }, names };
}

/** Names a value that is known at apply only by who declared it, as seen from the stack of the host. */
export function valueName(value: Value, hostPath: string): string {
  return isKnown(value) ? value.text : shortName(valueText(value), hostPath);
}

/** Removes the name of the stack from the names of values in a text of the lookup. */
export function shortName(text: string, hostPath: string): string {
  const stack = `${hostPath.split('/')[0]}/`;
  return text.split(`<${stack}`).join('<');
}
