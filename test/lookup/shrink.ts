import type { Description } from '../../lib/fib/build';
import type { PacketHeader } from '../../lib/fib/packet';
import type { Link } from '../../lib/fib/machine';
import { ReversePathFilter, kernelRules } from '../../lib/fib/machine';
import type { Route } from '../../lib/model/route';
import type { Rule } from '../../lib/model/rule';

/** One machine and one packet. */
export interface Case {
  readonly description: Description;
  readonly packet: PacketHeader;
}

/** Leaves out one thing after the other as long as what is left is still interesting. */
export function shrink(whole: Case, isInteresting: (smaller: Case) => boolean): Case {
  let best = whole;
  for (let again = true; again;) {
    again = false;
    // Each gives the parts of the best so far, which change under the loop: by number, from the end.
    for (let index = smallerThan(best).length - 1; index >= 0; index--) {
      const smaller = smallerThan(best)[index];
      if (smaller && isInteresting(smaller)) {
        best = smaller;
        again = true;
      }
    }
  }
  return best;
}

function smallerThan({ description, packet }: Case): Case[] {
  const { links, rules, routes, sysctls } = description;
  const descriptions: Description[] = [
    ...leavingOneOut(links, smallerLinks).map((fewer) => ({ ...description, links: fewer })),
    ...leavingOneOut(rules, smallerRules, ({ path }) => path !== 'kernel').map((fewer) => ({
      ...description,
      rules: fewer,
    })),
    ...leavingOneOut(routes, smallerRoutes).map((fewer) => ({ ...description, routes: fewer })),
    ...withKernelRules(rules).map((more) => ({ ...description, rules: more })),
    ...without(sysctls ?? {}).map((fewer) => ({ ...description, sysctls: fewer })),
  ];
  const packets: PacketHeader[] = [
    ...(packet.mark ? [{ ...packet, mark: 0 }] : []),
    ...(packet.tos ? [{ ...packet, tos: 0 }] : []),
    ...(packet.uid ? [{ ...packet, uid: 0 }] : []),
    ...(packet.outputInterface === undefined ? [] : [{ ...packet, outputInterface: undefined }]),
  ];
  return [
    ...packets.map((simpler) => ({ description, packet: simpler })),
    ...descriptions.map((smaller) => ({ description: smaller, packet })),
  ];
}

/** The list without one item, or with a smaller one in its place. */
function leavingOneOut<T>(
  list: readonly T[],
  smaller: (item: T) => T[],
  mayGo: (item: T) => boolean = () => true,
): T[][] {
  return list.flatMap((item, index) => {
    const around = (...middle: T[]): T[] => [...list.slice(0, index), ...middle, ...list.slice(index + 1)];
    return mayGo(item) ? [...smaller(item).map((each) => around(each)), around()] : [];
  });
}

function smallerLinks(link: Link): Link[] {
  return [
    ...leavingOneOut(link.addresses, () => []).map((addresses) => ({ ...link, addresses })),
    ...(link.state === 'up' ? [] : [{ ...link, state: 'up' as const }]),
    ...(link.group ? [{ ...link, group: 0 }] : []),
    ...(link.reversePathFilter ? [{ ...link, reversePathFilter: ReversePathFilter.OFF }] : []),
  ];
}

function smallerRules(rule: Rule): Rule[] {
  return without(rule, ['path', 'family', 'priority', 'action']);
}

/** To have the kernel's own is simpler than not to. */
function withKernelRules(rules: readonly Rule[]): Rule[][] {
  const gone = kernelRules().filter(
    (own) =>
      !rules.some(
        ({ path, family, priority }) => path === own.path && family === own.family && priority === own.priority,
      ),
  );
  return gone.map((own) => [own, ...rules]);
}

function smallerRoutes(route: Route): Route[] {
  return [
    ...without(route, ['path', 'family', 'tableId', 'destination', 'type', 'hops']),
    ...(route.hops.length > 1 ? leavingOneOut(route.hops, () => []).map((hops) => ({ ...route, hops })) : []),
  ];
}

/** The object without one of its properties. */
function without<T extends object>(whole: T, needed: ReadonlyArray<keyof T> = []): T[] {
  return (Object.keys(whole) as Array<keyof T>)
    .filter((key) => !needed.includes(key) && whole[key] !== undefined)
    .map((key) => ({ ...whole, [key]: undefined }));
}
