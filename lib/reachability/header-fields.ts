import type { Family } from '../model/family';
import type { Range, Rule } from '../model/rule';
import { isKnown } from '../model/value';
import { InvalidValue } from '../model/value';
import type { HeaderFields } from '../fib/flow';
import type { Machine } from '../fib/machine';
import { marksOf, numbersOf } from '../fib/representatives';
import type { CompiledRule } from '../fib/rules';
import { markSelector } from '../fib/rules';

/**
 * TCP, UDP, DCCP, SCTP and UDP-Lite.
 *
 * @see https://www.iana.org/assignments/protocol-numbers
 */
const PROTOCOLS_WITH_PORTS: readonly number[] = [6, 17, 33, 132, 136];
export const HIGHEST_PORT = 65535;
/** Each is looked up on its own: of more there would be no end. */
const MOST_KINDS = 100_000;

/** Those that people know by name. */
export const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
]);

/**
 * One kind for each way in which the rules tell packets apart that come in by an interface, or are sent by
 * root of this machine, by all but their addresses; or just those with some mark. The first is that of an unmarked packet of which no rule says anything in particular.
 */
export function kindsOf(
  machine: Machine,
  family: Family,
  inputInterface: string | undefined,
  ofMark?: number,
): HeaderFields[] {
  const rules = machine.sides[family].rules.inOrder.filter(({ rule }) => maySelect(rule, inputInterface === undefined));
  return selectorsOf(rules, ofMark).map((selectors) => ({ family, inputInterface, uid: 0, ...selectors }));
}

/** Whether a rule may be about packets that the machine sends, or about those that come in. */
function maySelect({ invert, inputInterface }: Rule, sent: boolean): boolean {
  return invert === true || !inputInterface || !isKnown(inputInterface) || (inputInterface.text === 'lo') === sent;
}

/** @throws InvalidValue where there are too many kinds of packets: so many of one sort for each of the others */
export function refuseTooMany(...counts: readonly number[]): void {
  if (counts.reduce((product, count) => product * count, 1) > MOST_KINDS) {
    throw new InvalidValue(
      `the rules distinguish more than ${MOST_KINDS} kinds of packets. ` +
        'Select by fewer interfaces, users, marks, types of service, protocols and ports.',
    );
  }
}

/** What rules, be they of several machines, select by besides addresses, interfaces and users. */
export type Selectors = Pick<HeaderFields, 'mark' | 'tos'> & Transport;

/** One of each way in which the rules tell packets apart by that. */
export function selectorsOf(rules: readonly CompiledRule[], ofMark?: number): Selectors[] {
  const marks =
    ofMark === undefined
      ? marksOf(
          rules.flatMap(({ rule }) => markSelector(rule) ?? []),
          refuseTooMany,
        )
      : [ofMark];
  const services = [0, ...new Set(rules.flatMap(({ rule }) => rule.tos || []))];
  const transports = transportsOf(rules);
  refuseTooMany(transports.length, services.length, marks.length);
  return transports.flatMap((transport) =>
    services.flatMap((tos) => marks.map((mark) => ({ mark, tos, ...transport }))),
  );
}

type Transport = Pick<HeaderFields, 'ipProtocol' | 'sourcePort' | 'destinationPort'>;

function transportsOf(rules: readonly CompiledRule[]): Transport[] {
  const named = new Set(rules.flatMap(({ rule }) => rule.ipProtocol || []));
  const ports = (which: 'sourcePorts' | 'destinationPorts'): Range[] => rules.flatMap(({ rule }) => rule[which] ?? []);
  const [sources, destinations] = [ports('sourcePorts'), ports('destinationPorts')];
  const withPorts = PROTOCOLS_WITH_PORTS.filter((protocol) => named.has(protocol));
  // Ports can be asked for without a protocol: of those that nobody names, one stands for all.
  const other = PROTOCOLS_WITH_PORTS.find((protocol) => !named.has(protocol));
  const asked = sources.length + destinations.length > 0;
  const [from, to] = [sources, destinations].map((ranges) => numbersOf(ranges, HIGHEST_PORT));
  refuseTooMany(from.length, to.length);
  return [
    {},
    ...[...named].filter((protocol) => !withPorts.includes(protocol)).map((ipProtocol) => ({ ipProtocol })),
    ...[...withPorts, ...(asked && other !== undefined ? [other] : [])].flatMap((ipProtocol) =>
      from.flatMap((sourcePort) => to.map((destinationPort) => ({ ipProtocol, sourcePort, destinationPort }))),
    ),
  ];
}
