import type { PacketHeader } from './packet';
import { applyIpv4OutputQuirks, ipv4Special, keepLoopback } from './ipv4';
import type { Machine } from './machine';
import type { Outcome } from './outcome';
import { checkSource } from './reverse-path';
import { walk } from './walk';

/**
 * The kernel's decision about a packet, as the set of possible outcomes. It looks up once, like `ip route get`. When a
 * socket without a source connects, the kernel looks up again with the source that it chose.
 */
export function decide(machine: Machine, packet: PacketHeader): Outcome[] {
  if (packet.family === 6) {
    return walk(machine, packet);
  }
  const special = ipv4Special(machine, packet);
  if (packet.inputInterface === undefined) {
    const outcomes = special ?? walk(machine, packet).map((outcome) => applyIpv4OutputQuirks(packet, outcome));
    return outcomes.map((outcome) => keepLoopback(packet, outcome));
  }
  const outcomes = special ?? walk(machine, packet);
  return outcomes.map((outcome) => ({ ...outcome, source: checkSource(machine, packet, outcome) }));
}
