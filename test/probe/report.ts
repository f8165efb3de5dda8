import { buildMachine } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { explain } from '../../lib/fib/explain';
import { machineCommands, packetCommand } from '../lookup/commands';
import type { Lookup } from '../lookup/compare';
import { realLookup } from '../lookup/compare';
import { askKernel } from '../lookup/kernel';
import { shrink } from '../lookup/shrink';
import type { Disagreement } from './compare';
import { disagreements } from './compare';
import type { Break, Probed } from './probe';
import { probe } from './probe';
import { firewall, questionLine } from './questions';

/** A disagreement, as small as it gets, as commands for a shell in a fresh namespace, with all three answers. */
export function report(whole: Probed, index: number, lookup: Lookup = realLookup, breakAgent?: Break): string {
  const { description, packets, said } = whole;
  const packet = packets[index];
  const ask = (smaller: { description: Probed['description']; packet: Probed['packets'][number] }): Probed =>
    probe({ description: smaller.description, packets: [smaller.packet] }, breakAgent);
  // Without the tunnel, the probe says nothing, which is another fault.
  const isTried = (what: string): boolean => what !== 'nothing';
  const small = shrink({ description, packet }, (smaller) => {
    const probed = ask(smaller);
    const found = disagreements(probed, lookup)[0] as Disagreement | undefined;
    return probed.refused.length === 0 && found !== undefined && isTried(found.probe) === isTried(said[index]);
  });
  const probed = ask(small);
  const found = disagreements(probed, lookup)[0] as Disagreement | undefined;
  const foreseen = found ?? disagreements(whole, lookup).find((each) => each.index === index);
  const kernel = askKernel({ description: small.description, packets: [small.packet] });
  const trails = decide(buildMachine(small.description), small.packet).flatMap((outcome) =>
    explain(outcome, small.packet.family).map((line) => `    ${line}`),
  );
  return [
    'unshare --net sh',
    ...machineCommands(small.description),
    ...firewall([small.packet]),
    `# ${questionLine(small.packet, 0)}`,
    packetCommand(small.packet),
    '',
    `the probe says: ${found?.probe ?? `what is foreseen, but beside ${packets.length - 1} other packets: ${said[index]}`}`,
    `the lookup says: ${foreseen?.lookup.join(' or ') ?? ''}`,
    `ip route get says: ${kernel.answers[0]}`,
    ...trails,
    '',
    probed.printed.trimEnd(),
  ].join('\n');
}
