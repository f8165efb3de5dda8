import { UNSPECIFIED } from './packet';
import type { PacketHeader } from './packet';
import type { Machine } from './machine';
import { ReversePathFilter } from './machine';
import type { Outcome, SourceCheck } from './outcome';
import { walk } from './walk';

/** The source check of an IPv4 packet that comes in: `rp_filter`, and what the kernel checks without it. */
export function checkSource(
  machine: Machine,
  packet: PacketHeader,
  { kind, device }: Outcome,
): SourceCheck | undefined {
  const { inputInterface } = packet;
  if (inputInterface === undefined || !isChecked(packet, kind)) {
    return undefined;
  }
  const { reversePathFilter, addresses = [] } = machine.links.get(inputInterface) ?? {};
  const hasAddress = addresses.some(({ family }) => family === 4);
  const verdicts = new Set(
    walk(machine, answerTo(machine, packet, kind, device)).map((back): SourceCheck => {
      if (back.kind === 'unknown') {
        return 'unknown';
      }
      if (back.kind === 'local' || back.kind === 'broadcast' || back.kind === 'multicast') {
        return 'is no address of a neighbour';
      }
      const usesInput = back.kind === 'unicast' && back.route?.hops.some((hop) => hop.device === inputInterface);
      if (!usesInput && reversePathFilter === undefined) {
        return 'unknown';
      }
      const passes =
        usesInput ||
        reversePathFilter === ReversePathFilter.OFF ||
        (reversePathFilter === ReversePathFilter.LOOSE && back.kind === 'unicast' && hasAddress);
      return passes ? 'passes' : 'fails rp_filter';
    }),
  );
  const [only] = verdicts;
  return verdicts.size === 1 ? only : 'unknown';
}

/** Packets that are dropped anyway are not checked, nor are requests for an address. */
function isChecked({ source }: PacketHeader, kind: Outcome['kind']): boolean {
  return kind === 'unicast' || kind === 'local' || (kind === 'broadcast' && source !== UNSPECIFIED[4]);
}

/** Looks up the reverse packet, which comes in where this one leaves. No packet comes from a broadcast address. */
function answerTo(
  machine: Machine,
  packet: PacketHeader,
  kind: Outcome['kind'],
  device: string | undefined,
): PacketHeader {
  const answer: PacketHeader = {
    ...packet,
    source: kind === 'broadcast' ? UNSPECIFIED[4] : packet.destination,
    destination: packet.source ?? '',
    inputInterface: kind === 'unicast' ? device : undefined,
    outputInterface: undefined,
    mark: machine.sysctls.srcValidMark ? packet.mark : 0,
    uid: 0,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
  };
  return machine.families[4].rules.looksIntoPackets
    ? answer
    : { ...answer, ipProtocol: undefined, sourcePort: undefined, destinationPort: undefined };
}
