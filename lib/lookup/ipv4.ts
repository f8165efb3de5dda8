import type { Bits } from './bits';
import { addressBits, prefixBits } from './bits';
import type { Flow } from './flow';
import { UNSPECIFIED } from './flow';
import type { Machine } from './machine';
import { LOCAL_TABLE_ID } from './machine';
import type { Outcome } from './outcome';
import { isRejecting } from './outcome';

const ZERO_NETWORK = prefixBits('0.0.0.0/8');
const LOOPBACK_NETWORK = prefixBits('127.0.0.0/8');
const MULTICAST = prefixBits('224.0.0.0/4');
const LOCAL_MULTICAST = prefixBits('224.0.0.0/24');
const LIMITED_BROADCAST = addressBits('255.255.255.255');

/** What IPv4 decides without asking the rules, if it does. */
export function ipv4Special(machine: Machine, flow: Flow): Outcome[] | undefined {
  const outcome = flow.inputInterface === undefined ? specialToSend(machine, flow) : specialComeIn(flow);
  return outcome && [outcome];
}

function specialComeIn({ source = '', destination }: Flow): Outcome | undefined {
  if (destination.startsWith(MULTICAST)) {
    return { kind: 'multicast', why: 'goes to the members of the group' };
  }
  if (isGroup(source)) {
    return { kind: 'invalid', why: 'the source is no address of one machine' };
  }
  if (destination === LIMITED_BROADCAST || (source === UNSPECIFIED[4] && destination === UNSPECIFIED[4])) {
    return { kind: 'broadcast', device: 'lo', why: 'goes to all on the link' };
  }
  const wrong = [source, destination].find((end) => end.startsWith(ZERO_NETWORK) || end.startsWith(LOOPBACK_NETWORK));
  return wrong === undefined ? undefined : { kind: 'invalid', why: 'such an address does not come from outside' };
}

function specialToSend(machine: Machine, flow: Flow): Outcome | undefined {
  const { source = '', destination, outputInterface } = flow;
  const kind = destination === LIMITED_BROADCAST ? 'broadcast' : 'multicast';
  if (source !== UNSPECIFIED[4]) {
    const device = deviceOf(machine, source);
    if (device === undefined && (machine.complete || isGroup(source) || source.startsWith(ZERO_NETWORK))) {
      return { kind: 'invalid', why: 'the source is no address of this machine' };
    }
    if (isGroup(destination) && outputInterface === undefined) {
      return { kind, device, why: 'leaves where the source is' };
    }
  }
  if (outputInterface !== undefined && machine.links.get(outputInterface)?.state === 'down') {
    return { kind: 'no route', why: `${outputInterface} is down` };
  }
  if (outputInterface !== undefined && (destination === LIMITED_BROADCAST || destination.startsWith(LOCAL_MULTICAST))) {
    return { kind, device: outputInterface, why: 'does not leave the link' };
  }
  return destination === UNSPECIFIED[4] ? { kind: 'local', device: 'lo', why: 'stands for this machine' } : undefined;
}

/** What IPv4 makes of the outcome of the rules. */
export function ipv4Afterwards(flow: Flow, outcome: Outcome): Outcome {
  const { source = '', destination, inputInterface, outputInterface } = flow;
  if (inputInterface !== undefined) {
    return outcome;
  }
  const bound: Outcome =
    isRejecting(outcome) && outputInterface !== undefined
      ? {
          kind: 'unicast',
          device: outputInterface,
          trail: outcome.trail,
          why: `bound to ${outputInterface}: taken for a neighbour there`,
        }
      : outcome;
  const leaves = bound.kind === 'unicast' || bound.kind === 'broadcast';
  if (leaves && bound.device !== 'lo' && source.startsWith(LOOPBACK_NETWORK)) {
    return { kind: 'invalid', trail: bound.trail, why: 'a source in 127.0.0.0/8 does not leave the machine' };
  }
  if (leaves && destination.startsWith(ZERO_NETWORK)) {
    return { kind: 'invalid', trail: bound.trail, why: 'nothing goes to 0.0.0.0/8' };
  }
  if (bound.kind === 'unicast' && isGroup(destination)) {
    const { via, ...direct } = bound;
    // Only a route for groups has a gateway for them.
    const kept = destination !== LIMITED_BROADCAST && (bound.route?.destination?.length ?? 0) >= MULTICAST.length;
    return {
      ...(kept ? { via, ...direct } : direct),
      kind: destination === LIMITED_BROADCAST ? 'broadcast' : 'multicast',
    };
  }
  return bound;
}

/** Multicast or limited broadcast. */
function isGroup(address: Bits): boolean {
  return address.startsWith(MULTICAST) || address === LIMITED_BROADCAST;
}

/** Where an address of this machine is. */
function deviceOf(machine: Machine, address: Bits): string | undefined {
  for (const routes of machine.sides[4].tables.get(LOCAL_TABLE_ID)?.around(address) ?? []) {
    for (const route of routes) {
      if (route.kind === 'local') {
        return route.hops[0]?.device;
      }
    }
  }
  return undefined;
}
