import { buildMachine } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { asAsked } from '../../lib/fib/packet';
import { explain } from '../../lib/fib/explain';
import { packetCommand, machineCommands } from './commands';
import type { Lookup } from './compare';
import { disagreements, realLookup } from './compare';
import type { Recorded } from './kernel';
import { askKernel } from './kernel';
import type { Case } from './shrink';
import { shrink } from './shrink';

/** A disagreement, as small as it gets, as commands for a shell in a fresh namespace, with both answers. */
export function report(whole: Recorded, index: number, lookup: Lookup = realLookup): string {
  const { description, packets, answers } = whole;
  const packet = packets[index];
  if (!packet) {
    throw new Error(`there is no packet ${index} among ${packets.length}`);
  }
  const small = shrink({ description, packet }, (smaller) => isInteresting(smaller, lookup));
  const recorded = askKernel({ description: small.description, packets: [small.packet] });
  const [found] = disagreements(recorded, lookup);
  const trails = decide(buildMachine(small.description), asAsked(small.packet)).map((outcome) =>
    explain(outcome, small.packet.family).map((line) => `    ${line}`),
  );
  return [
    'unshare --net sh',
    ...machineCommands(small.description),
    packetCommand(small.packet),
    '',
    `the kernel says: ${found?.kernel ?? `the same, but once it said: ${answers[index]}`}`,
    `the lookup says: ${found?.lookup.join(' or ') ?? ''}`,
    ...trails.map((lines) => lines.join('\n')),
  ].join('\n');
}

/** What the kernel refuses on the way says nothing, nor does a question about a link that is gone. */
function isInteresting({ description, packet }: Case, lookup: Lookup): boolean {
  const recorded = askKernel({ description, packets: [packet] });
  const [found] = disagreements(recorded, lookup);
  return found !== undefined && recorded.refused.length === 0 && !found.kernel.startsWith('Cannot find device');
}
