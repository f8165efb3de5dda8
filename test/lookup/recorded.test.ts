import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { packetCommand } from './commands';
import { disagreements, shortAnswer } from './compare';
import type { Recorded } from './kernel';
import { askKernel, without } from './kernel';
import { Random } from './random';
import type { Scenario } from './scenario';
import { randomScenario } from './scenario';

const FILE = join(__dirname, '../golden/kernel-lookups.txt');
const MACHINES = 160;
const PACKETS = 25;

/**
 * Always the same random machines and packets. Their seed and the kernel's answers are all that has to be stored. After
 * a change of the scenarios, record again as root: `UPDATE_GOLDEN=1`.
 */
function scenarios(): Scenario[] {
  const random = new Random(1);
  return random.times(MACHINES, () => randomScenario(random, PACKETS));
}

function written({ answers, refused }: Recorded): string {
  return [...refused.map((command) => `refused: ${command}`), ...answers.map(shortAnswer), ''].join('\n');
}

function read(scenario: Scenario, text: string): Recorded {
  const lines = text.split('\n');
  const refused = lines.flatMap((line) => /^refused: (.*)/.exec(line)?.[1] ?? []);
  const answers = lines.slice(refused.length);
  return { description: without(scenario.description, refused), packets: scenario.packets, answers, refused };
}

function differences(recorded: Recorded): string[] {
  return disagreements(recorded).map(
    ({ index, kernel, lookup }) => `${packetCommand(recorded.packets[index])}: ${kernel}, not ${lookup.join(' or ')}`,
  );
}

test('lib/fib says of random packets what a kernel has said', () => {
  if (process.env.UPDATE_GOLDEN) {
    writeFileSync(FILE, scenarios().map(askKernel).map(written).join('\n'));
  }
  const texts = readFileSync(FILE, 'utf8').trimEnd().split('\n\n');
  expect(texts).toHaveLength(MACHINES);
  scenarios().forEach((scenario, machine) => {
    const recorded = read(scenario, texts[machine]);
    expect(recorded.answers).toHaveLength(PACKETS);
    // One after the other: the first machine with a difference ends the test.
    expect(differences(recorded)).toEqual([]);
  });
});
