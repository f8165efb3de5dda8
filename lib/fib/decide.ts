import type { Flow } from './flow';
import { applyIpv4OutputQuirks, ipv4Special, keepLoopback } from './ipv4';
import type { Machine } from './machine';
import type { Outcome } from './outcome';
import { checkSource } from './reverse-path';
import { walk } from './walk';

/**
 * What the kernel does with a packet: the set of what may happen, of which it chooses one. It asks
 * once, like `ip route get`; a socket without a source that connects asks again with the one it got.
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
