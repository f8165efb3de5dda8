import { Token } from 'cdktf';
import type { Flow, FlowSelectors, Packet } from '../flow';
import type { PacketOptions } from '../fib/packet';
import type { Addresses, Disposition, Selectors, Traffic } from '../model/expectation';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, defaultPrefix } from '../model/family';
import type { Interface } from '../model/host';
import { MAX_PORT, MAX_UID, MAX_UINT32 } from '../model/limits';
import { isCovered } from '../model/prefixes';
import type { Value } from '../model/value';
import { DEFAULT_DESTINATION, commonFamily } from '../model/value';
import type { Arguments } from './arguments';
import { ADDRESS, DEVICE, DEVICES, IP_PROTOCOL, MARK } from './kinds';
import type { Shape } from './shapes';
import { list, number, optional, text } from './shapes';
import { shown } from './shown';

const PORT = number('a port number');
const ENDS = text('an address or a prefix such as "10.10.10.0/24"');
const SELECTORS: Shape<FlowSelectors> = {
  inputInterface: optional(DEVICE),
  firewallMark: optional(MARK),
  tos: optional(number('a multiple of 4')),
  ipProtocol: optional(IP_PROTOCOL),
  sourcePort: optional(PORT),
  destinationPort: optional(PORT),
  uid: optional(number('a user id')),
  linksDown: optional(DEVICES),
};
const PACKET: Shape<Packet> = { ...SELECTORS, destination: ADDRESS, source: optional(ADDRESS) };
const FLOW: Shape<Flow> = {
  ...SELECTORS,
  source: optional(ENDS),
  exceptSources: optional(list(ENDS, 'a list such as ["10.10.10.0/24"]')),
  destination: ENDS,
  exceptDestinations: optional(list(ENDS, 'a list such as ["10.10.10.0/24"]')),
};

export function checkPacket(args: Arguments, packet: Packet): void {
  args.checkOptions(PACKET, packet, 'packet');
}

export function checkFlow(args: Arguments, flow: Flow): void {
  args.checkOptions(FLOW, flow, 'flow');
}

/** The packets of a flow, in each family that it can have. */
export function parseFlow(args: Arguments, flow: Flow, dispositions: readonly Disposition[]): Traffic[] {
  const source = flow.source === undefined ? undefined : prefix(args, flow.source, 'source');
  const destination = flow.destination === 'default' ? undefined : prefix(args, flow.destination, 'destination');
  const exceptSources = prefixes(args, flow.exceptSources, 'exceptSources');
  const exceptDestinations = prefixes(args, flow.exceptDestinations, 'exceptDestinations');
  const selectors = parseSelectors(args, flow);
  if (selectors.inputInterface === undefined && (source?.text.includes('/') || exceptSources.length > 0)) {
    throw args.error(
      `source "${flow.source ?? ''}" is a prefix, but packets that the machine itself sends have one source address. ` +
        'Give that address, or inputInterface if the packets come in.',
    );
  }
  const vias = dispositions.flatMap((disposition) =>
    disposition.kind === 'unicast' && disposition.via ? [disposition.via] : [],
  );
  const ends: Array<[string, Value | undefined]> = [
    ['source', source],
    ['destination', destination],
    ...vias.map((via): [string, Value] => ['gateway', via]),
  ];
  const family = args.attempt(() => commonFamily(ends));
  const families = family === undefined || family === 'auto' ? BOTH_FAMILIES : [family];
  const traffic = families.map((each) => ({
    ...selectors,
    family: each,
    sources: sourcesOf(source, exceptSources, each, selectors),
    destinations: addresses(destination ?? DEFAULT_DESTINATION, exceptDestinations, each),
  }));
  refuseNothing(args, flow, traffic);
  return traffic;
}

/** An expectation of no packets would always be true. */
function refuseNothing(args: Arguments, flow: Flow, traffic: readonly Traffic[]): void {
  for (const [property, ends] of [
    ['source', 'sources'],
    ['destination', 'destinations'],
  ] as const) {
    if (traffic.every((each) => each[ends] !== undefined && isNothing(each[ends], each.family))) {
      const except = property === 'source' ? 'exceptSources' : 'exceptDestinations';
      throw args.error(
        `${except} ${shown(flow[except])} leaves nothing of ${property} ${shown(flow[property] ?? 'default')}, so no packet is left to expect anything of. ` +
          `Leave out less, or correct ${property}.`,
      );
    }
  }
}

function isNothing({ within, except }: Addresses, family: Family): boolean {
  return within.every((prefix) =>
    isCovered(prefix === DEFAULT_DESTINATION.text ? defaultPrefix(family) : prefix, except),
  );
}

/** A misspelt interface would count as one that nothing is known of, which no rule or route names. */
export function checkInterfaces(
  args: Arguments,
  { inputInterface, linksDown = [] }: FlowSelectors,
  interfaces: readonly Interface[],
): void {
  const declared = interfaces.map(({ name }) => name);
  const named: Array<[string, string]> = linksDown.map((name, index) => [`linksDown[${index}]`, name]);
  if (inputInterface !== undefined && inputInterface !== 'lo') named.unshift(['inputInterface', inputInterface]);
  const wrong = named.find(([, name]) => !declared.includes(name));
  if (wrong && declared.length > 0) {
    throw args.error(
      `${wrong[0]} "${wrong[1]}" is not among the interfaces declared for this host (${declared.join(', ')}). ` +
        "Correct the name, or add it to the host's interfaces.",
    );
  }
}

/** One packet, as the lookup takes it. */
export function parsePacket(args: Arguments, packet: Packet): PacketOptions {
  const { inputInterface, firewallMark, tos, ipProtocol, sourcePort, destinationPort, uid } = parseSelectors(
    args,
    packet,
  );
  return {
    source: packet.source === undefined ? undefined : address(args, packet.source, 'source'),
    destination: address(args, packet.destination, 'destination'),
    inputInterface,
    mark: firewallMark,
    tos,
    uid,
    ipProtocol,
    sourcePort,
    destinationPort,
  };
}

export function parseLinksDown(args: Arguments, { linksDown = [] }: FlowSelectors): string[] {
  return linksDown.map((name, index) => args.device(name, `linksDown[${index}]`));
}

function parseSelectors(args: Arguments, given: FlowSelectors): Selectors {
  const port = (property: 'sourcePort' | 'destinationPort'): number | undefined =>
    args.optionalInteger(given[property], property, 0, MAX_PORT);
  const [ported] = (['sourcePort', 'destinationPort'] as const).filter((each) => given[each] !== undefined);
  if (ported !== undefined && given.ipProtocol === undefined) {
    throw args.error(`${ported} is given without ipProtocol. Give ipProtocol, for example IpProtocol.TCP.`);
  }
  if (given.uid !== undefined && given.inputInterface !== undefined) {
    throw args.error(
      `uid ${given.uid} is that of a local process, but inputInterface "${given.inputInterface}" means that the packet comes in. Leave out one of them.`,
    );
  }
  const tos = args.optionalInteger(given.tos, 'tos', 0, 0xfc);
  if (tos !== undefined && tos % 4 !== 0) {
    throw args.error(`tos ${tos} has ECN bits set, which no rule compares. Did you mean ${tos - (tos % 4)}?`);
  }
  return {
    inputInterface:
      given.inputInterface === undefined ? undefined : args.device(given.inputInterface, 'inputInterface'),
    firewallMark: args.optionalInteger(given.firewallMark, 'firewallMark', 0, MAX_UINT32),
    tos,
    uid: args.optionalInteger(given.uid, 'uid', 0, MAX_UID),
    ipProtocol: given.ipProtocol && args.integer(given.ipProtocol.number, 'ipProtocol', 1, 255),
    sourcePort: port('sourcePort'),
    destinationPort: port('destinationPort'),
  };
}

function sourcesOf(
  source: Value | undefined,
  except: readonly Value[],
  family: Family,
  { inputInterface }: Selectors,
): Addresses | undefined {
  return source === undefined && inputInterface === undefined
    ? undefined
    : addresses(source ?? DEFAULT_DESTINATION, except, family);
}

function addresses(within: Value, except: readonly Value[], family: Family): Addresses {
  return {
    within: [within.text],
    except: except.filter((each) => each.family === family).map(({ text }) => text),
  };
}

function prefixes(args: Arguments, texts: string[] | undefined, property: string): Value[] {
  return (texts ?? []).map((text, index) => prefix(args, text, `${property}[${index}]`));
}

function prefix(args: Arguments, text: string, property: string): Value {
  checkKnown(args, text, property);
  return args.value(text.includes('/') ? 'prefix' : 'address', text, property);
}

function address(args: Arguments, text: string, property: string): string {
  checkKnown(args, text, property);
  return args.value('address', text, property).text;
}

function checkKnown(args: Arguments, text: string, property: string): void {
  if (Token.isUnresolved(text)) {
    throw args.error(`${property} is known at apply only, but synth looks up where its packets go. Give it literally.`);
  }
}
