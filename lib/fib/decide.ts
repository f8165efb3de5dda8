import type { Flow } from './flow';
import { applyIpv4OutputQuirks, ipv4Special, keepLoopback } from './ipv4';
import type { Machine } from './machine';
import type { Outcome } from './outcome';
import { checkSource } from './reverse-path';
import { walk } from './walk';

/**
 * The kernel's decision about a packet, as the set of possible outcomes. It looks up once, like `ip route get`. When a
 * socket without a source connects, the kernel looks up again with the source that it chose.
 */
export function decide(machine: Machine, flow: Flow): Outcome[] {
  if (flow.family === 6) {
    return walk(machine, flow);
  }
  const special = ipv4Special(machine, flow);
  if (flow.inputInterface === undefined) {
    const outcomes = special ?? walk(machine, flow).map((outcome) => applyIpv4OutputQuirks(flow, outcome));
    return outcomes.map((outcome) => keepLoopback(flow, outcome));
  }
  const outcomes = special ?? walk(machine, flow);
  return outcomes.map((outcome) => ({ ...outcome, source: checkSource(machine, flow, outcome) }));
}
