import type { Description } from '../../lib/fib/build';
import { buildMachine } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { asAsked } from '../../lib/fib/packet';
import type { PacketHeader } from '../../lib/fib/packet';
import type { Outcome } from '../../lib/fib/outcome';
import type { Recorded } from './kernel';

/** A lookup under test: the real one, or one that is broken on purpose. */
export type Lookup = (description: Description) => (packet: PacketHeader) => Outcome[];

export const realLookup: Lookup = (description) => {
  const machine = buildMachine(description);
  return (packet) => decide(machine, asAsked(packet));
};

export interface Disagreement {
  readonly index: number;
  readonly kernel: string;
  readonly lookup: readonly string[];
}

export function disagreements(recorded: Recorded, lookup = realLookup): Disagreement[] {
  const look = lookup(recorded.description);
  return recorded.packets.flatMap((packet, index) => {
    const kernel = kernelSays(recorded.answers[index] ?? '');
    const foreseen = [...new Set(look(packet).flatMap((outcome) => lookupSays(packet, outcome)))];
    return foreseen.includes(kernel) ? [] : [{ index, kernel, lookup: foreseen }];
  });
}

const KINDS: Readonly<Record<string, string>> = { 2: 'local', 3: 'broadcast', 4: 'anycast', 5: 'multicast' };

const ANSWER = /^(?:(\d+) )?\S+(?: from \S+)?(?: via (\S+))? dev (\S+)/;

/** Of an answer that `ip -N -o route get` printed, what counts here. */
export function shortAnswer(answer: string): string {
  return ANSWER.exec(answer)?.[0] ?? answer;
}

/** What `ip -N -o route get` printed, in few words. */
function kernelSays(answer: string): string {
  const [, number, via, device] = ANSWER.exec(answer) ?? [];
  if (device === undefined) {
    return answer.replace('RTNETLINK answers: ', '');
  }
  const kind = number === undefined ? 'unicast' : (KINDS[number] ?? number);
  return inWords(kind, device, via);
}

/** A rule that says unreachable and the end of all rules are one error; so are several reasons to drop. */
function lookupSays(packet: PacketHeader, outcome: Outcome): string[] {
  const dropped = 'Invalid argument';
  if (outcome.source === 'unknown') {
    return [dropped, ...lookupSays(packet, { ...outcome, source: 'passes' })];
  }
  if (outcome.source !== undefined && outcome.source !== 'passes') {
    return [dropped];
  }
  switch (outcome.kind) {
    case 'no route':
      return ['Network is unreachable'];
    case 'unreachable':
      return [outcome.route ? 'No route to host' : 'Network is unreachable'];
    case 'prohibit':
      return ['Permission denied'];
    case 'blackhole':
      return [dropped];
    case 'invalid':
      return [dropped, 'Network is unreachable'];
    case 'broadcast':
      // Where it is delivered to, once it has come in.
      return [inWords(outcome.kind, packet.inputInterface === undefined ? outcome.device : 'lo')];
    default:
      return [inWords(outcome.kind, outcome.device, outcome.via)];
  }
}

/** The kernel names no link for what stays on the machine. */
function inWords(kind: string, device = '?', via?: string): string {
  return kind === 'local' || kind === 'anycast'
    ? kind
    : [kind, `dev ${device}`, ...(via === undefined ? [] : [`via ${via}`])].join(' ');
}
