import { TerraformVariable } from 'cdktf';
import {
  Forwarding,
  IpProtocol,
  LocalTraffic,
  NumberRange,
  PolicyRule,
  Resolver,
  RuleAction,
  VpnEgress,
} from '../../lib';
import { canonicalForm } from '../../lib/model/canonical-form';
import type { Host } from '../../lib/model/host';
import { ALL_INTERFACES, GATEWAYS, POOLS, SSH, newHost, newStack } from '../fixtures';

/** A host with most of what can be declared. */
function model(): Host {
  const stack = newStack();
  const ssh = { ...SSH, host: '203.0.113.7' };
  const host = newHost(stack, { interfaces: ALL_INTERFACES, ssh, verifyIntervalSeconds: 300 });
  new VpnEgress(stack, 'egress', {
    host,
    device: 'eth1',
    tableId: 200,
    tableName: 'vpn',
    clients: POOLS,
    gateways: GATEWAYS,
    localTraffic: LocalTraffic.mainTable(),
    forwarding: Forwarding.nftables({ chains: ['inet filter forward'] }),
    resolver: Resolver.user(101),
  });
  const source = new TerraformVariable(stack, 'pool', { type: 'string' }).stringValue;
  const sourcePorts = NumberRange.of(53);
  const action = RuleAction.prohibit();
  new PolicyRule(stack, 'rule', { host, source, priority: 10100, ipProtocol: IpProtocol.UDP, sourcePorts, action });
  return host._declaration.declared();
}

type Place = ReadonlyArray<string | number>;

/** All values in a model that are not objects, by their places. */
function leaves(value: unknown, place: Place = []): Place[] {
  if (Array.isArray(value)) {
    return value.flatMap((each, index) => leaves(each, [...place, index]));
  }
  return typeof value === 'object' && value !== null
    ? Object.entries(value).flatMap(([key, each]) => leaves(each, [...place, key]))
    : value === undefined
      ? []
      : [place];
}

/** A copy in which the value at a place is another one. */
function changed<T>(value: T, [key, ...rest]: Place): T {
  if (key === undefined) {
    return (typeof value === 'number' ? value + 1 : typeof value === 'boolean' ? !value : `${String(value)}1`) as T;
  }
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Record<string | number, unknown>;
  copy[key] = changed(copy[key], rest);
  return copy as T;
}

const declared = model();

test('a change of anything but a name, or how Terraform gets there, changes the form', () => {
  const form = canonicalForm(declared);
  const same = leaves(declared).filter((place) => canonicalForm(changed(declared, place)) === form);
  const names = [...new Set(same.map((place) => place.filter((key) => typeof key === 'string').join('.')))];
  expect(names.filter((name) => !/(^|\.)(path|label|owner|deferredFor)$/.test(name)).sort()).toEqual([
    'management.bastion',
    'management.endpoint.host',
    'management.endpoint.port',
    'management.host',
    'management.hostKey',
    'management.hostKeyPinned',
    'rules.source.text',
  ]);
  // That text is a token.
  const texts = same.filter((place) => place.at(-1) === 'text').map((place) => place.join('.'));
  expect(texts).toHaveLength(1);
  expect(leaves(declared).length - same.length).toBeGreaterThan(300);
});

test('names count as far as they are equal, or inside one another', () => {
  const form = (paths: readonly string[]): string =>
    canonicalForm({ ...declared, tables: paths.map((path) => ({ path, id: 1, failClosed: true })) });
  const alike = (some: readonly string[], others: readonly string[]): boolean => form(some) === form(others);
  expect(alike(['stack/a', 'stack/b'], ['stack/x', 'stack/y'])).toBe(true);
  expect(alike(['stack/a', 'stack/a'], ['stack/a', 'stack/b'])).toBe(false);
  expect(alike(['stack/a', 'stack/a/b'], ['stack/a', 'stack/b'])).toBe(false);
  expect(alike(['stack/vpn1/a'], ['stack/a'])).toBe(false);
});

test('SSH at an address of the machine counts', () => {
  const form = (host: string): string => canonicalForm({ ...declared, management: { ...declared.management, host } });
  const alike = (some: string, other: string): boolean => form(some) === form(other);
  expect(alike('203.0.113.8', '203.0.113.9')).toBe(true);
  expect(alike('192.168.178.2', '203.0.113.9')).toBe(false);
  expect(alike('192.168.178.2', '192.168.1.100')).toBe(false);
});

test('a value that is known at apply only counts as equal to itself', () => {
  const form = (texts: readonly string[]): string =>
    canonicalForm({
      ...declared,
      rules: texts.map((text) => ({
        ...declared.rules[0],
        source: { kind: 'prefix' as const, text, deferredFor: `stack/${text}:source` },
      })),
    });
  const alike = (some: readonly string[], others: readonly string[]): boolean => form(some) === form(others);
  expect(alike(['${A}', '${B}'], ['${C}', '${D}'])).toBe(true);
  expect(alike(['${A}', '${A}'], ['${A}', '${B}'])).toBe(false);
});
