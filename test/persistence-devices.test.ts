import type { Host } from '../lib/model/host';
import type { Hop, Route } from '../lib/model/route';
import type { Rule } from '../lib/model/rule';
import type { Value } from '../lib/model/value';
import { parseInterfaceAddress } from '../lib/model/value';
import { Devices } from '../lib/persistence/devices';
import { modelHost } from './model/host';

const UNKNOWN: Value = { kind: 'device', text: '${var.device}', deferredFor: 'stack/route:device' };
const UNKNOWN_GATEWAY: Value = { kind: 'address', text: '${var.via}', deferredFor: 'stack/route:via' };

function hop(device?: string, via?: string): Hop {
  return {
    ...(device === undefined ? {} : { device: { kind: 'device', text: device } }),
    ...(via === undefined ? {} : { via: { kind: 'address', text: via } }),
  };
}
function route(tableId: number, ...hops: Hop[]): Route {
  return { path: `route in ${tableId}`, family: 4, tableId, destination: { kind: 'prefix', text: 'default' }, hops };
}
function rule(action: Rule['action']): Rule {
  return { path: 'rule', family: 4, priority: 10010, action };
}
function host(rules: Rule[], routes: Route[]): Host {
  const interfaces = [
    ['eth0', '192.168.178.2/24'],
    ['eth1', '10.1.0.2/16', '192.168.1.100/24'],
  ].map(([name, ...texts]) => ({
    name,
    addresses: texts.map((text) => parseInterfaceAddress(text, 'address')),
    gateways: [],
    incomplete: false,
  }));
  return modelHost({ interfaces, rules, routes });
}

describe('the interface that brings up a route', () => {
  test.each<[string, Hop[], string | undefined]>([
    ['is the one that it names', [hop('tun0', '192.168.1.1')], 'tun0'],
    ['is the one on whose network its next hop is', [hop(undefined, '192.168.1.1')], 'eth1'],
    ['is not known if the next hop is on none', [hop(undefined, '203.0.113.1')], undefined],
    ['is named by the first next hop that names one', [hop(undefined, '192.168.178.1'), hop('eth1')], 'eth1'],
    ['is not one that is known at apply only', [{ device: UNKNOWN, ...hop(undefined, '192.168.1.1') }], 'eth1'],
    ['is not known if nothing is', [{ device: UNKNOWN, via: UNKNOWN_GATEWAY }], undefined],
    ['is not known without a next hop', [{ device: UNKNOWN }], undefined],
    ['is found by a later next hop', [{ via: UNKNOWN_GATEWAY }, hop(undefined, '192.168.178.1')], 'eth0'],
  ])('%s', (_, hops, expected) => {
    const only = route(200, ...hops);
    expect(new Devices(host([], [only]), undefined).ofRoute(only)).toBe(expected);
  });

  test('without next hops is that of its table, or the one that is given', () => {
    const [here, there, mixed] = [route(200), route(201), route(202)];
    const routes = [route(200, hop('eth1')), here, route(201, hop('eth0')), there];
    const devices = new Devices(host([], routes), undefined);
    expect([devices.ofRoute(here), devices.ofRoute(there)]).toEqual(['eth1', 'eth0']);
    const both = [...routes, route(202, hop('eth0')), route(202, hop('eth1')), mixed];
    expect(new Devices(host([], both), undefined).ofRoute(mixed)).toBeUndefined();
    expect(new Devices(host([], both), 'tun0').ofRoute(mixed)).toBe('tun0');
  });
});

test('each interface has the rules of its tables and its own routes', () => {
  const rules = [200, 201].map((tableId) => rule({ kind: 'lookup', tableId }));
  const routes = [route(200, hop('eth1')), route(201, hop('eth0'))];
  const devices = new Devices(host(rules, routes), undefined);
  expect(devices.all()).toEqual(['eth1', 'eth0']);
  expect(devices.rulesOf('eth0')).toEqual([rules[1]]);
  expect(devices.routesOf('eth0')).toEqual([routes[1]]);
});

test('what has no table comes up with the only interface there is, or the one that is given', () => {
  const rules = [rule({ kind: 'prohibit' })];
  expect(new Devices(host(rules, [route(200, hop('eth1'))]), undefined).ofRule(rules[0])).toBe('eth1');
  const two = host(rules, [route(200, hop('eth1')), route(201, hop('eth0')), route(202)]);
  expect(new Devices(two, 'tun0').all()).toEqual(['tun0', 'eth1', 'eth0']);
  const devices = new Devices(two, undefined);
  expect(devices.all()).toEqual(['eth1', 'eth0']);
  expect(devices.problems('call()')).toEqual([
    {
      path: 'rule',
      message:
        'call() cannot tell which interface brings up the rule at priority 10010. Give call() a device, or use Persistence.service().',
    },
    {
      path: 'route in 202',
      message:
        'call() cannot tell which interface brings up the route to "default". Give call() a device, or use Persistence.service().',
    },
  ]);
});
