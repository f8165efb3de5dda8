import { FORMAT } from '../../lib/agent/program';
import { BASH, BUSYBOX, DASH, Machine, bundle, describeOnMachine, testProgram } from './machine';
import type { Outcome } from './machine';

const LATER = FORMAT + 1;
const OVER = '--ssh "192.0.2.1 40000 192.168.178.2 22"';

function declared(table: number, next: number): string[] {
  return [
    `table ${table} -`,
    `rule 4 ${table + 10000} from 10.10.${table}.0/24 lookup ${table}`,
    `route 4 ${table} default 0 via 192.168.1.${next} dev eth1`,
  ];
}

/** What a library of that version uploads. */
function bundleOf(format: number, version: string, owner: string, data: readonly string[]): string {
  const program = testProgram().replace(`\nFORMAT=${FORMAT}\n`, `\nFORMAT=${format}\n`);
  return bundle([`bundle ${format} ${version}`, `owner ${owner}`, ...data], program);
}

describe.each([DASH, BUSYBOX, BASH])('two versions under $name', (flavour) => {
  describeOnMachine('on a machine', () => {
    let machine: Machine;
    beforeEach(() => {
      machine = new Machine(flavour);
    });
    afterEach(() => {
      machine.close();
    });

    const earlier = (next: number, generation: string, owner = 'vpn1', table = 200): Outcome =>
      machine.apply([], { owner, generation, text: bundleOf(FORMAT, '0.2.0', owner, declared(table, next)) });
    const later = (next: number, generation: string, options = ''): Outcome =>
      machine.apply([], { generation, options, text: bundleOf(LATER, '0.3.0', 'vpn1', declared(200, next)) });
    const refusal = {
      code: 69,
      last:
        `source-routing: refused, nothing was changed: what vpn1 has on this machine was written by cdktf-source-routing 0.3.0 (format ${LATER}), ` +
        `and this is 0.2.0, which knows format ${FORMAT} only. Apply with 0.3.0 or later`,
    };

    test('the later one goes on from what the earlier one has left, and not the other way round', () => {
      expect(earlier(1, 'g1').code).toBe(0);
      expect(later(7, 'g2').code).toBe(0);
      expect(machine.routes(200)).toEqual([expect.stringContaining('via 192.168.1.7')]);
      const before = machine.picture();
      const refused = earlier(1, 'g3');
      expect(refused).toMatchObject(refusal);
      expect(refused.out.trimEnd().split('\n')).toHaveLength(1);
      expect(machine.picture()).toBe(before);
      expect(machine.verify().code).toBe(0);
      expect(later(8, 'g4').code).toBe(0);
      // It is the machine's own agent that removes, and that knows what it has written.
      expect(machine.agent('remove').code).toBe(0);
      expect(earlier(1, 'g5').code).toBe(0);
    });

    test('state of before there were formats is of the first', () => {
      expect(earlier(1, 'g1').code).toBe(0);
      machine.must('rm /var/lib/source-routing/vpn1/g1/format');
      expect(earlier(7, 'g2').code).toBe(0);
      machine.must('rm /var/lib/source-routing/vpn1/g2/format');
      expect(later(8, 'g3').code).toBe(0);
    });

    test('a trial of the later one is not touched; once it is undone, the earlier one is welcome', () => {
      expect(earlier(1, 'g1').code).toBe(0);
      expect(later(7, 'g2', `--confirm-timeout 60 ${OVER}`).code).toBe(0);
      const before = machine.picture();
      expect(earlier(8, 'g3')).toMatchObject(refusal);
      expect(machine.picture()).toBe(before);
      expect(machine.agent('rollback').code).toBe(0);
      expect(machine.routes(200)).toEqual([expect.stringContaining('via 192.168.1.1')]);
      expect(earlier(8, 'g4').code).toBe(0);
    });

    test('an owner of an earlier version is refused beside one of a later, as it cannot tell what is whose', () => {
      expect(earlier(1, 'g1', 'other', 201).code).toBe(0);
      expect(later(7, 'g1').code).toBe(0);
      const before = machine.picture();
      expect(earlier(8, 'g2', 'other', 201)).toMatchObject(refusal);
      expect(machine.picture()).toBe(before);
      // Each is looked after by its own agent meanwhile, by way of the command that they share.
      const command = (words: string): number => machine.sh(`sh /mnt/source-routing ${words}`).code;
      expect(command('status')).toBe(0);
      machine.must('ip rule del pref 10200; ip rule del pref 10201');
      expect(command('verify other')).toBe(1);
      expect(command('assert other')).toBe(0);
      expect(command('assert vpn1')).toBe(0);
      expect(command('status')).toBe(0);
      expect(command('remove other')).toBe(0);
      expect(command('verify vpn1')).toBe(0);
    });

    test('a bundle of another format than the agent is refused in one line', () => {
      const before = machine.picture();
      const text = bundle([`bundle ${LATER} 0.3.0`, 'owner vpn1', 'new word'], testProgram());
      expect(machine.apply([], { text })).toMatchObject({
        code: 65,
        out: `source-routing: refused, nothing was changed: the bundle was written by cdktf-source-routing 0.3.0 (format ${LATER}), and this agent knows format ${FORMAT} only. Apply it with the agent that came with it\n`,
      });
      expect(machine.picture()).toBe(before);
    });
  });
});
