import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Route } from '../model/route';
import { routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { option, ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';

/** The arguments of `ip rule add`. */
export function ruleArguments(rule: Rule, protocol: number): Word[] {
  return [...ruleWords(rule), ...option('priority', rule.priority), ...option('protocol', protocol)];
}

/** The arguments of `ip route add`. */
export function routeArguments(route: Route): Word[] {
  // `ip route` takes the type in front of the destination.
  const [keyword, type, ...rest] = routeWords(route);
  const words =
    keyword === 'type' && type !== undefined
      ? [type, destinationWord(route), ...rest]
      : [destinationWord(route), ...routeWords(route)];
  // Next hops must come last.
  const cut = words.indexOf('nexthop');
  const [front, hops] = cut < 0 ? [words, []] : [words.slice(0, cut), words.slice(cut)];
  const metric = routeMetric(route);
  return [
    ...front,
    ...option('table', route.tableId),
    ...(metric === 0 ? [] : option('metric', metric)),
    ...option('proto', ROUTING_PROTOCOL),
    ...hops,
  ];
}

function destinationWord(route: Route): Value | string {
  return isKnown(route.destination) ? route.destination.text : route.destination;
}
