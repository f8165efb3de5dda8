import type { Family } from '../model/family';
import { MAX_PORT } from '../model/limits';
import type { Range, Rule } from '../model/rule';
import { isKnown } from '../model/value';
import { InvalidValue } from '../model/value';
import type { HeaderFields } from '../fib/packet';
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
/** Each kind is looked up separately, so more would take too long. */
const MOST_HEADERS = 100_000;

/** Those that people know by name. */
export const PROTOCOL_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'icmp'],
  [6, 'tcp'],
  [17, 'udp'],
  [58, 'icmpv6'],
]);

/**
 * One kind for each combination of fields other than addresses that the rules distinguish, for packets that come in by
 * an interface or that root of this machine sends; or only those with some mark. The first is an unmarked packet that
 * no rule selects specifically.
 */
export function headersOf(
  machine: Machine,
  family: Family,
  inputInterface: string | undefined,
  ofMark?: number,
): HeaderFields[] {
  const rules = machine.families[family].rules.inOrder.filter(({ rule }) =>
    maySelect(rule, inputInterface === undefined),
  );
  return commonFieldsOf(rules, ofMark).map((selectors) => ({ family, inputInterface, uid: 0, ...selectors }));
}

/** Tells whether a rule may match packets that the machine sends, or that come in. */
function maySelect({ invert, inputInterface }: Rule, sent: boolean): boolean {
  return invert === true || !inputInterface || !isKnown(inputInterface) || (inputInterface.text === 'lo') === sent;
}

/** @throws InvalidValue if the product of the counts, the number of kinds, is too large */
export function refuseTooMany(...counts: readonly number[]): void {
  if (counts.reduce((product, count) => product * count, 1) > MOST_HEADERS) {
    throw new InvalidValue(
      `the rules distinguish more than ${MOST_HEADERS} kinds of packets. ` +
        'Select by fewer interfaces, users, marks, types of service, protocols and ports.',
    );
  }
}

/** Fields that rules of any machine select by, other than addresses, interfaces and users. */
export type CommonFields = Pick<HeaderFields, 'mark' | 'tos'> & Transport;

/** One representative for each combination that the rules distinguish. */
export function commonFieldsOf(rules: readonly CompiledRule[], ofMark?: number): CommonFields[] {
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
  // Rules can match ports without a protocol. One port stands for all that no rule names.
  const other = PROTOCOLS_WITH_PORTS.find((protocol) => !named.has(protocol));
  const asked = sources.length + destinations.length > 0;
  const [from, to] = [sources, destinations].map((ranges) => numbersOf(ranges, MAX_PORT));
  refuseTooMany(from.length, to.length);
  return [
    {},
    ...[...named].filter((protocol) => !withPorts.includes(protocol)).map((ipProtocol) => ({ ipProtocol })),
    ...[...withPorts, ...(asked && other !== undefined ? [other] : [])].flatMap((ipProtocol) =>
      from.flatMap((sourcePort) => to.map((destinationPort) => ({ ipProtocol, sourcePort, destinationPort }))),
    ),
  ];
}
