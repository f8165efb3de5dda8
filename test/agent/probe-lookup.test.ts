import { ReversePathFilter, kernelRules } from '../../lib/fib/machine';
import { packetHeader } from '../../lib/fib/packet';
import type { Route } from '../../lib/model/route';
import { MUTATIONS } from '../lookup/mutations';
import { disagreements } from '../probe/compare';
import type { Break, Probed } from '../probe/probe';
import { probe } from '../probe/probe';
import { record } from '../probe/record';
import { report } from '../probe/report';
import { cases } from '../random';
import { describeOnMachine } from './machine';

const MACHINES = cases(6);
/** One that is always the same, and one of today. */
const FIXED = 2;
const TODAY = Number(process.env.PROBE_SEED ?? Date.now() % 1_000_000);

/** Disagreements of one run; the first as a report. */
function problems(probed: readonly Probed[]): string[] {
  return probed
    .flatMap((each) => disagreements(each).map(({ index }) => ({ each, index })))
    .map(({ each, index }, nth) => (nth === 0 ? report(each, index) : `and packet ${index}`));
}

/** Some of the lookups that are broken on purpose: so few machines show not all of them. */
const NOTICED = [
  'suppress_prefixlength is dropped',
  'not is ignored',
  'from is ignored',
  'to is ignored',
  'fwmark is ignored',
  'ipproto is ignored',
  'links are never down',
  'the metric is ignored',
  'the source is not checked',
  'the shortest prefix is taken',
];

const BROKEN_AGENTS: ReadonlyArray<readonly [string, Break]> = [
  ['names the tunnel as the way out', replacing('{ oifname . ', '{ iifname . ')],
  ['sends one packet after the other from the first tunnel', replacing('device=$4', 'device=sent0')],
  [
    'takes what the machine drops for what it takes',
    replacing('if (("input", n) in SEEN)', 'if (!(("left", n) in SEEN))'),
  ],
];

function replacing(from: string, to: string): Break {
  return (program) => {
    expect(program).toContain(from);
    return program.replace(from, to);
  };
}

describeOnMachine('the probe and lib/fib agree', () => {
  let fixed: Probed[];
  beforeAll(() => {
    fixed = [...record(FIXED, MACHINES)];
  }, 600_000);

  test(`on ${MACHINES} machines, seed ${FIXED}`, () => {
    expect(problems(fixed)).toEqual([]);
    const said = fixed.flatMap((each) => each.said);
    for (const what of [/^leave by/, /^reach this machine/, /^are not routed/]) {
      expect(said.filter((each) => what.test(each)).length).toBeGreaterThan(MACHINES * 4);
    }
  });

  test(`on a few, seed ${TODAY}`, () => {
    expect(problems([...record(TODAY, MACHINES / 3)])).toEqual([]);
  }, 600_000);

  test.each(MUTATIONS.filter(([what]) => NOTICED.includes(what)))('and the comparison notices when %s', (_, broken) => {
    expect(fixed.some((each) => disagreements(each, broken).length > 0)).toBe(true);
  });

  test.each(BROKEN_AGENTS)('and the comparison notices when the probe %s', (_, broken) => {
    expect([...record(FIXED, 2, broken)].some((each) => disagreements(each).length > 0)).toBe(true);
  });

  test('a report has commands for a shell, and what all of them say', () => {
    const route = (destination: string, eth: string): Route => ({
      path: 'route',
      family: 4,
      tableId: 254,
      destination: { kind: 'prefix', text: destination },
      hops: [{ device: { kind: 'device', text: eth } }],
    });
    const links = ['eth0', 'eth1'].map((name) => ({ name, addresses: [], reversePathFilter: ReversePathFilter.OFF }));
    const routes = [route('default', 'eth0'), route('10.2.0.0/16', 'eth1')];
    const packet = packetHeader({
      ...{ source: '10.1.0.1', destination: '10.2.0.1', inputInterface: 'eth0' },
      ...{ ipProtocol: 17, sourcePort: 40000, destinationPort: 80, mark: 1 },
    });
    const [, broken] = MUTATIONS.find(([what]) => what === 'the shortest prefix is taken') ?? [];
    const probed = probe({ description: { links, rules: kernelRules(), routes }, packets: [packet] });
    expect(disagreements(probed, broken)).toEqual([{ index: 0, probe: 'leave by eth1', lookup: ['leave by eth0'] }]);
    expect(report(probed, 0, broken)).toMatch(
      /^unshare --net sh\n[^]*\nip -4 route add 10.2.0.0\/16 [^]*\nip -4 route get .*\n\nthe probe says: leave by eth1\nthe lookup says: leave by eth0\nip route get says: 10.2.0.1 from 10.1.0.1 dev eth1 .*\n[^]*source-routing: \+ /,
    );
  }, 120_000);
});
