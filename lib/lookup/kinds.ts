import type { Family } from '../model/family';
import type { Range } from '../model/rule';
import type { Kind } from './flow';
import type { Machine } from './machine';
import { marksOf, numbersOf } from './representatives';
import type { ReadyRule } from './rules';
import { markSelector } from './rules';

/**
 * TCP, UDP, DCCP, SCTP and UDP-Lite.
 *
 * @see https://www.iana.org/assignments/protocol-numbers
 */
const PROTOCOLS_WITH_PORTS: readonly number[] = [6, 17, 33, 132, 136];
export const HIGHEST_PORT = 65535;

/** Those that people know by name. */
export const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
]);

/**
 * One kind for each way in which the rules tell packets apart that come in by an interface, or are sent by
 * root of this machine, by all but their addresses. The first is that of an unmarked packet of which no rule says anything in particular.
 */
export function kindsOf(machine: Machine, family: Family, inputInterface: string | undefined): Kind[] {
  const { inOrder } = machine.sides[family].rules;
  return selectorsOf(inOrder).map((selectors) => ({ family, inputInterface, uid: 0, ...selectors }));
}

/** What rules, be they of several machines, select by besides addresses, interfaces and users. */
export type Selectors = Pick<Kind, 'mark' | 'tos'> & Transport;

/** One of each way in which the rules tell packets apart by that. */
export function selectorsOf(rules: readonly ReadyRule[]): Selectors[] {
  const marks = marksOf(rules.flatMap(({ rule }) => markSelector(rule) ?? []));
  const services = [0, ...new Set(rules.flatMap(({ rule }) => rule.tos || []))];
  return transportsOf(rules).flatMap((transport) =>
    services.flatMap((tos) => marks.map((mark) => ({ mark, tos, ...transport }))),
  );
}

type Transport = Pick<Kind, 'ipProtocol' | 'sourcePort' | 'destinationPort'>;

function transportsOf(rules: readonly ReadyRule[]): Transport[] {
  const named = new Set(rules.flatMap(({ rule }) => rule.ipProtocol || []));
  const ports = (which: 'sourcePorts' | 'destinationPorts'): Range[] => rules.flatMap(({ rule }) => rule[which] ?? []);
  const [sources, destinations] = [ports('sourcePorts'), ports('destinationPorts')];
  const withPorts = PROTOCOLS_WITH_PORTS.filter((protocol) => named.has(protocol));
  // Ports can be asked for without a protocol: of those that nobody names, one stands for all.
  const other = PROTOCOLS_WITH_PORTS.find((protocol) => !named.has(protocol));
  const asked = sources.length + destinations.length > 0;
  return [
    {},
    ...[...named].filter((protocol) => !withPorts.includes(protocol)).map((ipProtocol) => ({ ipProtocol })),
    ...[...withPorts, ...(asked && other !== undefined ? [other] : [])].flatMap((ipProtocol) =>
      numbersOf(sources, HIGHEST_PORT).flatMap((sourcePort) =>
        numbersOf(destinations, HIGHEST_PORT).map((destinationPort) => ({ ipProtocol, sourcePort, destinationPort })),
      ),
    ),
  ];
}
