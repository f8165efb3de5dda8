import { buildMachine } from '../../lib/fib/build';
import type { HeaderFields } from '../../lib/fib/packet';
import { headersOf } from '../../lib/reachability/header-fields';
import type { Machine } from '../../lib/fib/machine';
import { kernelRules } from '../../lib/fib/machine';
import { matchesHeader } from '../../lib/fib/rules';
import type { Rule } from '../../lib/model/rule';
import { cases } from '../random';
import { Random } from './random';
import { randomScenario } from './scenario';

/** Which rules take packets of the kind, so far as it is for them to say. */
function takenBy(machine: Machine, header: HeaderFields): string {
  return machine.families[header.family].rules.inOrder
    .map((rule) => (matchesHeader(rule, header) ? '1' : '0'))
    .join('');
}

function machineWith(...rules: Array<Partial<Rule>>): Machine {
  const ours = rules.map((rule, index): Rule => ({
    path: 'x',
    family: 4,
    priority: 100 + index,
    action: { kind: 'lookup', tableId: 200 },
    ...rule,
  }));
  return buildMachine({ links: [], rules: [...kernelRules(), ...ours], routes: [] });
}

test.each([1, 2, 3])('every packet that comes in is of one of the kinds (seed %i)', (seed) => {
  const random = new Random(seed);
  let seen = 0;
  while (seen < cases(500)) {
    const { description, packets } = randomScenario(random, 40);
    const machine = buildMachine(description);
    for (const packet of packets) {
      if (packet.inputInterface === undefined) continue;
      seen++;
      const headers = headersOf(machine, packet.family, packet.inputInterface);
      expect(headers.map((header) => takenBy(machine, header))).toContain(
        takenBy(machine, { ...packet, outputInterface: undefined }),
      );
    }
  }
});

test('without such rules there is one kind', () => {
  expect(headersOf(machineWith({}), 4, 'tun0')).toEqual([
    { family: 4, inputInterface: 'tun0', uid: 0, mark: 0, tos: 0 },
  ]);
});

test.each<[string, Partial<Rule>, number]>([
  ['a mark', { firewallMark: 1 }, 2],
  ['a mark that matches all', { firewallMark: 0 }, 1],
  ['a type of service', { tos: 0x10 }, 2],
  ['a protocol', { ipProtocol: 1 }, 2],
  // Before, at and behind the port.
  ['a port of a protocol', { ipProtocol: 17, destinationPorts: { first: 53, last: 53 } }, 1 + 3 + 3],
  ['a port of any protocol', { destinationPorts: { first: 1024, last: 65535 } }, 1 + 2],
])('%s', (_, rule, count) => {
  const machine = machineWith(rule);
  const headers = headersOf(machine, 4, 'tun0');
  expect(headers).toHaveLength(count);
  expect(new Set(headers.map((header) => takenBy(machine, header))).size).toBe(count === 1 ? 1 : 2);
  // What is there without any mark or the like comes first.
  expect(headers[0]).toMatchObject({ mark: 0, tos: 0 });
});
