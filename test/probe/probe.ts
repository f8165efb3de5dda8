import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentProgram } from '../../lib/agent/program';
import type { PacketHeader } from '../../lib/fib/packet';
import { onMachine } from '../lookup/kernel';
import type { Scenario } from '../lookup/scenario';
import { endsText, firewall, kindText, questionLine } from './questions';

/** A scenario as the kernel took it, with what the probe said of each packet. */
export interface Probed extends Scenario {
  readonly said: readonly string[];
  /** All that the probe printed. */
  readonly printed: string;
  /** The commands that the kernel refused; what they stand for is no longer part of the description. */
  readonly refused: readonly string[];
}

/** Changes the program of the agent: breaks it on purpose. */
export type Break = (program: string) => string;

/** Builds a machine in namespaces of its own, on which a generation with nothing but these packets is in force; tries them. */
export function probe({ description, packets }: Scenario, breakAgent: Break = (program) => program): Probed {
  const directory = mkdtempSync(join(tmpdir(), 'probe-'));
  try {
    writeFileSync(join(directory, 'agent'), breakAgent(agentProgram().replace(/^SHOWN=.*/m, 'SHOWN=999')));
    writeFileSync(
      join(directory, 'expectations'),
      packets.map((each, index) => `${questionLine(each, index)}\n`).join(''),
    );
    const { stdout, stderr, ...made } = onMachine(
      description,
      [...firewall(packets), ...generation(directory)],
      ['--net', '--mount'],
    );
    return { ...made, packets, said: packets.map((packet) => saidOf(stdout, packet)), printed: stdout + stderr };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function generation(directory: string): string[] {
  return [
    'mount --make-rprivate /; for d in /var/lib /run; do mount -t tmpfs tmpfs $d; done',
    'home=/var/lib/source-routing/fuzz; mkdir -p $home/g1; echo g1 >$home/current; : >$home/g1/state',
    `cp ${directory}/expectations $home/g1/expectations`,
    `sh ${directory}/agent probe --owner fuzz`,
  ];
}

/** Finds what is said about a packet, by its ends, kind and port. */
function saidOf(printed: string, packet: PacketHeader): string {
  const ends = endsText(packet);
  const kind = kindText(packet);
  for (const line of printed.split('\n')) {
    const [, of, kinds, outcome] = /: packets (\S+ -> \S+ from \S+) \((.*?)\) (.*)$/.exec(line) ?? [];
    if (of === ends && kinds.split(', ').includes(kind)) return outcome;
  }
  return 'nothing';
}
