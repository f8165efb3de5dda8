import { getOrInsertComputed, pushTo } from '../model/maps';
import type { Bits } from './bits';
import { addressBits, prefixBits } from './bits';
import type { PacketHeader } from './packet';
import { UNSPECIFIED } from './packet';
import type { Machine } from './machine';
import { LOCAL_TABLE_ID } from './machine';
import type { Outcome } from './outcome';
import { isRejected } from './outcome';

const ZERO = UNSPECIFIED[4];
const LOOPBACK_NETWORK = prefixBits('127.0.0.0/8');
const MULTICAST = prefixBits('224.0.0.0/4');
const LOCAL_MULTICAST = prefixBits('224.0.0.0/24');
const LIMITED_BROADCAST = addressBits('255.255.255.255');
/** Prefixes that IPv4 treats specially. Their borders split all other prefixes. */
export const IPV4_SPECIAL: readonly Bits[] = [MULTICAST, LIMITED_BROADCAST, ZERO, LOOPBACK_NETWORK];

/** The outcomes that IPv4 decides without the rules, if any. */
export function ipv4Special(machine: Machine, packet: PacketHeader): Outcome[] | undefined {
  if (packet.inputInterface === undefined) {
    return specialToSend(machine, packet);
  }
  const outcome = specialComeIn(packet);
  return outcome && [outcome];
}

function specialComeIn({ source = '', destination }: PacketHeader): Outcome | undefined {
  if (destination.startsWith(MULTICAST)) {
    return { kind: 'multicast', why: 'goes to the members of the group' };
  }
  if (isGroup(source)) {
    return { kind: 'invalid', why: 'the source is no address of one machine' };
  }
  if (destination === LIMITED_BROADCAST || (source === ZERO && destination === ZERO)) {
    return { kind: 'broadcast', device: 'lo', why: 'goes to all on the link' };
  }
  const wrong = [source, destination].find((end) => end === ZERO || end.startsWith(LOOPBACK_NETWORK));
  return wrong === undefined ? undefined : { kind: 'invalid', why: 'such an address does not come from outside' };
}

function specialToSend(machine: Machine, packet: PacketHeader): Outcome[] | undefined {
  const { source, destination, outputInterface } = packet;
  const kind = destination === LIMITED_BROADCAST ? 'broadcast' : 'multicast';
  if (source !== undefined && source !== ZERO) {
    const devices = linksWithAddress(machine, source);
    if (devices.length === 0 && (machine.complete || isGroup(source))) {
      return [{ kind: 'invalid', why: 'the source is no address of this machine' }];
    }
    if (isGroup(destination) && outputInterface === undefined) {
      return devices.length === 0
        ? [{ kind: 'unknown', why: 'leaves where the source is' }]
        : devices.map((device) => ({ kind, device, why: 'leaves where the source is' }));
    }
  }
  if (outputInterface !== undefined && machine.links.get(outputInterface)?.state === 'down') {
    return [{ kind: 'no route', why: `${outputInterface} is down` }];
  }
  if (outputInterface !== undefined && (destination === LIMITED_BROADCAST || destination.startsWith(LOCAL_MULTICAST))) {
    return [{ kind, device: outputInterface, why: 'does not leave the link' }];
  }
  return destination === ZERO ? [{ kind: 'local', device: 'lo', why: 'stands for this machine' }] : undefined;
}

/** Applies what IPv4 does after the rules to a packet that the machine sends. */
export function applyIpv4OutputQuirks({ destination, outputInterface }: PacketHeader, outcome: Outcome): Outcome {
  const bound: Outcome =
    isRejected(outcome) && outputInterface !== undefined
      ? {
          kind: 'unicast',
          device: outputInterface,
          trail: outcome.trail,
          why: `bound to ${outputInterface}: taken for a neighbour there`,
        }
      : outcome;
  if (bound.kind !== 'unicast' || !isGroup(destination)) {
    return bound;
  }
  if (destination === LIMITED_BROADCAST) {
    return { ...bound, kind: 'broadcast', via: undefined };
  }
  // Only a multicast route has a gateway for multicast packets.
  const isForGroups = (bound.route?.destination?.length ?? 0) >= MULTICAST.length;
  return { ...bound, kind: 'multicast', via: isForGroups ? bound.via : undefined };
}

/** A source in 127.0.0.0/8 does not leave the machine. */
export function keepLoopback({ source }: PacketHeader, outcome: Outcome): Outcome {
  const { kind, device, trail } = outcome;
  const leaves = (kind === 'unicast' || kind === 'broadcast' || kind === 'multicast') && device !== 'lo';
  return leaves && source?.startsWith(LOOPBACK_NETWORK)
    ? { kind: 'invalid', trail, why: 'a source in 127.0.0.0/8 does not leave the machine' }
    : outcome;
}

/** Multicast or limited broadcast. */
function isGroup(address: Bits): boolean {
  return address.startsWith(MULTICAST) || address === LIMITED_BROADCAST;
}

/** The links with a given address of this machine. All of 127.0.0.0/8 counts as such, by the local table. */
function linksWithAddress(machine: Machine, address: Bits): readonly string[] {
  const named = owners(machine).get(address);
  if (named) {
    return named;
  }
  const [routes] = machine.families[4].tables.get(LOCAL_TABLE_ID)?.coveringPrefixes(address) ?? [];
  const best = routes?.[0];
  return best?.kind === 'local' ? best.hops.flatMap(({ device }) => device ?? []) : [];
}

const ownersCache = new WeakMap<Machine, Map<Bits, string[]>>();

/** The links by address, indexed since there may be thousands. */
function owners(machine: Machine): ReadonlyMap<Bits, readonly string[]> {
  return getOrInsertComputed(ownersCache, machine, () => {
    const links = new Map<Bits, string[]>();
    for (const { name, addresses } of machine.links.values()) {
      new Set(addresses.map((own) => addressBits(own.address))).forEach((address) => pushTo(links, address, name));
    }
    return links;
  });
}
