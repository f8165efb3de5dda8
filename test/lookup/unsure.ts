import type { Description } from '../../lib/fib/build';
import type { Value } from '../../lib/model/value';
import type { Random } from './random';

/** Some of what is declared is known at apply only. */
export function unsure(random: Random, { rules, routes, ...rest }: Description): Description {
  const deferred = (value: Value | undefined): Value | undefined =>
    value && random.chance(8) ? { ...value, deferredFor: 'x' } : value;
  return {
    ...rest,
    rules: rules.map((rule) => ({
      ...rule,
      family: random.chance(8) ? 'auto' : rule.family,
      source: deferred(rule.source),
      destination: deferred(rule.destination),
      inputInterface: deferred(rule.inputInterface),
    })),
    routes: routes.map((route) => ({ ...route, destination: deferred(route.destination) ?? route.destination })),
  };
}
