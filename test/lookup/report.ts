import { buildMachine } from '../../lib/fib/build';
import { decide } from '../../lib/fib/decide';
import { asAsked } from '../../lib/fib/flow';
import { explain } from '../../lib/fib/explain';
import { flowCommand, machineCommands } from './commands';
import type { Lookup } from './compare';
import { disagreements, realLookup } from './compare';
import type { Recorded } from './kernel';
import { askKernel } from './kernel';
import type { Case } from './shrink';
import { shrink } from './shrink';

/** A disagreement, as small as it gets, as commands for a shell in a fresh namespace, with both answers. */
export function report(whole: Recorded, index: number, lookup: Lookup = realLookup): string {
  const { description, flows, answers } = whole;
  const flow = flows[index];
  if (!flow) {
    throw new Error(`there is no packet ${index} among ${flows.length}`);
  }
  const small = shrink({ description, flow }, (smaller) => isInteresting(smaller, lookup));
  const recorded = askKernel({ description: small.description, flows: [small.flow] });
  const [found] = disagreements(recorded, lookup);
  const trails = decide(buildMachine(small.description), asAsked(small.flow)).map((outcome) =>
    explain(outcome, small.flow.family).map((line) => `    ${line}`),
  );
  return [
    'unshare --net sh',
    ...machineCommands(small.description),
    flowCommand(small.flow),
    '',
    `the kernel says: ${found?.kernel ?? `the same, but once it said: ${answers[index]}`}`,
    `the lookup says: ${found?.lookup.join(' or ') ?? ''}`,
    ...trails.map((lines) => lines.join('\n')),
  ].join('\n');
}

/** What the kernel refuses on the way says nothing, nor does a question about a link that is gone. */
function isInteresting({ description, flow }: Case, lookup: Lookup): boolean {
  const recorded = askKernel({ description, flows: [flow] });
  const [found] = disagreements(recorded, lookup);
  return found !== undefined && recorded.refused.length === 0 && !found.kernel.startsWith('Cannot find device');
}
