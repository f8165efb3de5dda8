import { TerraformVariable } from 'cdktf';
import type { VpnEgressProps } from '../lib';
import { Forwarding, LocalTraffic, SourceNat, VpnEgress } from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  INTERFACES,
  POOLS,
  bundleOf,
  filesOf,
  newHost,
  newStack,
  resourceOf,
  validationErrors,
} from './fixtures';

const SYSCTLS = '/etc/sysctl.d/99-z-source-routing-stack-vpn1.conf';

function egress(props: Partial<VpnEgressProps>, interfaces = ALL_INTERFACES): ReturnType<typeof newStack> {
  const stack = newStack();
  const host = newHost(stack, { interfaces });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS, ...props });
  return stack;
}

function linesOf(props: Partial<VpnEgressProps>, words: RegExp, interfaces = ALL_INTERFACES): string[] {
  return bundleOf(egress(props, interfaces)).filter((line) => words.test(line));
}

/** The lines of a file that is for machines with nftables. */
function contentsOf(stack: ReturnType<typeof newStack>, path: string): string[] {
  const lines = bundleOf(stack);
  const start = lines.findIndex((line) => line.startsWith(`file 0644 ${path} `));
  const length = Number(lines[start]?.split(' ')[3]);
  return lines.slice(start + 1, start + 1 + length).map((line) => line.slice(1));
}

function keysOf(props: Partial<VpnEgressProps>): Record<string, string> {
  const triggers = resourceOf(egress(props), 'apply').triggers_replace;
  return Object.fromEntries(
    Object.entries(triggers).filter(([key]) => /^(forwarding|source nat|chain|firewalld|sysctl .*forward)/.test(key)),
  );
}

test('what is said of one egress holds for no other, even if their ids look alike on the machine', () => {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES });
  ['süd', 'sød'].forEach((id, index) => {
    const clients = index === 0 ? POOLS : ['10.99.0.0/24', 'fd00:99::/64'];
    const sourceNat = index === 0 ? SourceNat.unmanaged() : undefined;
    new VpnEgress(stack, id, { host, device: 'eth1', tableId: 200 + index, clients, gateways: GATEWAYS, sourceNat });
  });
  const labels = bundleOf(stack).flatMap((line) => /^probe (?:refuse|translated) (\S+)$/.exec(line)?.[1] ?? []);
  expect(labels).toEqual([
    expect.stringMatching(/^stack\/s_d:[0-9a-f]{8}\/$/),
    labels[0],
    expect.stringMatching(/^stack\/s_d:[0-9a-f]{8}\/$/),
  ]);
  expect(labels[2]).not.toBe(labels[0]);
  const triggers = Object.keys(resourceOf(stack, 'apply').triggers_replace);
  expect(triggers).toContain(`source nat ${labels[0].slice(0, -1)}`);
});

describe('what a packet of a client that does not get through means', () => {
  test.each<[string, Partial<VpnEgressProps>, string[], Record<string, string>]>([
    ['nothing is said: the change is refused', {}, ['refuse'], {}],
    [
      'unmanaged(): a note',
      { forwarding: Forwarding.unmanaged() },
      ['unmanaged'],
      { 'forwarding stack/egress': 'unmanaged' },
    ],
    [
      'another source is meant',
      { sourceNat: SourceNat.unmanaged() },
      ['refuse', 'translated'],
      { 'source nat stack/egress': 'unmanaged' },
    ],
    ['no source NAT is the default', { sourceNat: SourceNat.none() }, ['refuse'], {}],
  ])('%s', (_, props, words, keys) => {
    expect(linesOf(props, /^probe /)).toEqual(['probe note', ...words.map((word) => `probe ${word} stack/egress/`)]);
    expect(keysOf(props)).toEqual(keys);
    expect(filesOf(egress(props))[SYSCTLS]).toBeUndefined();
    expect(linesOf(props, /^(accept|sysctl .*forwarding)/)).toEqual([]);
  });
});

describe('sysctl()', () => {
  test('switches it on for the machine, now and at boot, and a plan says so', () => {
    const props = { forwarding: Forwarding.sysctl() };
    expect(linesOf(props, /^sysctl .*forward/)).toEqual([
      'sysctl net.ipv4.ip_forward 1',
      'sysctl net.ipv6.conf.all.forwarding 1',
    ]);
    expect(filesOf(egress(props))[SYSCTLS]?.slice(1)).toEqual([
      'net/ipv4/ip_forward = 1',
      'net/ipv6/conf/all/forwarding = 1',
    ]);
    expect(keysOf(props)).toEqual({ 'sysctl net.ipv4.ip_forward': '1', 'sysctl net.ipv6.conf.all.forwarding': '1' });
  });

  test('only for the families of the clients', () => {
    const props = { clients: POOLS.slice(0, 1), gateways: GATEWAYS.slice(0, 1), forwarding: Forwarding.sysctl() };
    const [eth0, eth1] = INTERFACES;
    const interfaces = [eth0, eth1, { name: 'tun0', addresses: ['10.10.10.1/24'] }].flatMap((each) => each ?? []);
    expect(linesOf(props, /^sysctl .*forward/, interfaces)).toEqual(['sysctl net.ipv4.ip_forward 1']);
  });

  test('for single interfaces, whose names may have dots or be known at apply only', () => {
    const stack = newStack();
    const device = new TerraformVariable(stack, 'device', { type: 'string' }).stringValue;
    const tunnel = { name: 'tun.0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] };
    new VpnEgress(stack, 'egress', {
      host: newHost(stack, { interfaces: [tunnel] }),
      device,
      tableId: 200,
      clients: POOLS,
      gateways: GATEWAYS,
      forwarding: Forwarding.sysctl({ perInterface: true }),
    });
    expect(bundleOf(stack).filter((line) => /^sysctl .*forward/.test(line))).toEqual([
      'sysctl net.ipv4.conf.tun.0.forwarding 1',
      'sysctl net.ipv4.conf.@1@.forwarding 1',
      'sysctl net.ipv6.conf.all.forwarding 1',
    ]);
    expect(filesOf(stack)[SYSCTLS]?.slice(1)).toEqual([
      'net/ipv4/conf/tun.0/forwarding = 1',
      'net/ipv4/conf/@1@/forwarding = 1',
      'net/ipv6/conf/all/forwarding = 1',
    ]);
  });
});

describe('a firewall', () => {
  test('of nftables gets rules for what the declaration needs, and a plan shows them', () => {
    const props = { forwarding: Forwarding.nftables() };
    const rules = [
      'iifname { "tun0" } oifname { "eth1" } ip saddr 10.10.10.0/24 accept',
      'iifname { "eth1" } oifname { "tun0" } ip daddr 10.10.10.0/24 ct state established,related accept',
      'iifname { "tun0" } oifname { "tun0" } ip saddr 10.10.10.0/24 ip daddr 10.10.10.0/24 accept',
      'iifname { "tun0" } oifname { "eth1" } ip6 saddr fd00:4242:4242:4242::/64 accept',
      'iifname { "eth1" } oifname { "tun0" } ip6 daddr fd00:4242:4242:4242::/64 ct state established,related accept',
      'iifname { "tun0" } oifname { "tun0" } ip6 saddr fd00:4242:4242:4242::/64 ip6 daddr fd00:4242:4242:4242::/64 accept',
    ];
    expect(linesOf(props, /^accept /)).toEqual(rules.map((rule) => `accept inet filter forward ${rule}`));
    expect(keysOf(props)).toEqual({
      'sysctl net.ipv4.ip_forward': '1',
      'sysctl net.ipv6.conf.all.forwarding': '1',
      'chain inet filter forward': rules.join('; '),
    });
  });

  test('gets none for packets between clients that are isolated', () => {
    const props = { forwarding: Forwarding.nftables(), localTraffic: LocalTraffic.isolated() };
    expect(linesOf(props, /^accept .*oifname \{ "tun0" \}(?!.* ct state)/)).toEqual([]);
    expect(linesOf(props, /^accept /)).toHaveLength(4);
  });

  test('of one family gets the rules of that', () => {
    const props = { forwarding: Forwarding.nftables({ chains: ['ip6 mine drops', 'ip mine drops'] }) };
    expect(linesOf(props, /^accept ip6 mine drops .* ip6 /)).toHaveLength(3);
    expect(linesOf(props, /^accept ip mine drops .* ip /)).toHaveLength(3);
    expect(linesOf(props, /^accept /)).toHaveLength(6);
  });

  test('of iptables gets one rule for each pool and tunnel', () => {
    const interfaces = [
      ...INTERFACES.slice(0, 2),
      { name: 'tun0', addresses: ['10.10.10.1/25'] },
      { name: 'tun1', addresses: ['10.10.10.129/25'] },
    ];
    const props = {
      clients: ['10.10.10.0/24'],
      gateways: GATEWAYS.slice(0, 1),
      forwarding: Forwarding.iptables({ chains: ['DOCKER-USER'] }),
      localTraffic: LocalTraffic.isolated(),
    };
    expect(linesOf(props, /^accept /, interfaces)).toEqual(
      [
        '-i tun0 -o eth1 -s 10.10.10.0/24 -j ACCEPT',
        '-i tun1 -o eth1 -s 10.10.10.0/24 -j ACCEPT',
        '-i eth1 -o tun0 -d 10.10.10.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
        '-i eth1 -o tun1 -d 10.10.10.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
      ].map((rule) => `accept iptables filter DOCKER-USER ${rule}`),
    );
  });

  test('of iptables gets rules of both families, in FORWARD', () => {
    const chains = linesOf({ forwarding: Forwarding.iptables() }, /^accept /).map((line) => line.split(' -')[0]);
    expect([...new Set(chains)]).toEqual(['accept iptables filter FORWARD', 'accept ip6tables filter FORWARD']);
  });

  test('of firewalld gets a policy, which needs no tunnel', () => {
    const stack = egress({ forwarding: Forwarding.firewalld() }, INTERFACES.slice(0, 2));
    expect(validationErrors(stack)).toEqual([]);
    expect(bundleOf(stack)).toContain('requires firewalld');
    expect(filesOf(stack)['/etc/firewalld/policies/sr-stack-vpn1.xml']).toEqual([
      '<?xml version="1.0" encoding="utf-8"?>',
      '<policy target="CONTINUE" priority="-5">',
      '  <description>Packets of VPN clients. Managed by cdktf-source-routing (stack-vpn1): changes here are lost.</description>',
      '  <ingress-zone name="ANY"/>',
      '  <egress-zone name="ANY"/>',
      '  <rule family="ipv4"><source address="10.10.10.0/24"/><accept/></rule>',
      '  <rule family="ipv6"><source address="fd00:4242:4242:4242::/64"/><accept/></rule>',
      '</policy>',
    ]);
    expect(keysOf({ forwarding: Forwarding.firewalld() })).toMatchObject({
      firewalld: 'accepts from 10.10.10.0/24, fd00:4242:4242:4242::/64',
    });
  });

  test('of firewalld gets a policy whose name is not too long', () => {
    const stack = newStack();
    const host = newHost(stack, { interfaces: ALL_INTERFACES, owner: 'a-team-and-its-server' });
    const forwarding = Forwarding.firewalld();
    new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      clients: POOLS,
      gateways: GATEWAYS,
      forwarding,
    });
    expect(Object.keys(filesOf(stack)).filter((path) => path.includes('firewalld'))).toEqual([
      expect.stringMatching(/^\/etc\/firewalld\/policies\/sr-[0-9a-f]{14}\.xml$/),
    ]);
  });

  test('of ufw gets the rules of iptables in front of its chains', () => {
    const forwarding = Forwarding.ufw({ perInterface: true });
    const same = Forwarding.iptables({ perInterface: true });
    expect(bundleOf(egress({ forwarding }))).toEqual(bundleOf(egress({ forwarding: same })));
  });

  test('needs the tunnels of the pools, and the pools', () => {
    expect(validationErrors(egress({ forwarding: Forwarding.nftables() }, INTERFACES.slice(0, 2)))).toEqual([
      '[stack/egress] forwarding needs the tunnel of the pool 10.10.10.0/24, and no interface of the host holds it. Add the tunnel with its addresses to interfaces.',
      '[stack/egress] forwarding needs the tunnel of the pool fd00:4242:4242:4242::/64, and no interface of the host holds it. Add the tunnel with its addresses to interfaces.',
    ]);
    const stack = newStack();
    const pool = new TerraformVariable(stack, 'pool', { type: 'string' }).stringValue;
    new VpnEgress(stack, 'egress', {
      host: newHost(stack),
      device: 'eth1',
      tableId: 200,
      clients: [pool],
      gateways: GATEWAYS.slice(0, 1),
      forwarding: Forwarding.iptables(),
    });
    expect(validationErrors(stack)).toContain(
      '[stack/egress] forwarding needs each pool at synth, and one is known at apply only. Give the pool literally.',
    );
  });

  test.each<[string, () => Forwarding, string]>([
    ['no chain', () => Forwarding.nftables({ chains: [] }), 'Forwarding.nftables()] chains is empty. Name the chains'],
    [
      'a chain without its table',
      () => Forwarding.nftables({ chains: ['forward'] }),
      'Forwarding.nftables()] chains[0] "forward" is not family (inet, ip or ip6), table and chain, such as "inet filter forward"; "nft list chains" prints them.',
    ],
    [
      'more than a name',
      () => Forwarding.nftables({ chains: ['inet filter forward', 'inet filter x; flush ruleset'] }),
      'chains[1] "inet filter x; flush ruleset" is not family',
    ],
    [
      'a chain of iptables',
      () => Forwarding.nftables({ chains: ['ip filter DOCKER-USER'] }),
      'chains[0] "ip filter DOCKER-USER" belongs to iptables, which may not read rules of nft. Use Forwarding.iptables().',
    ],
    [
      'a chain of ufw',
      () => Forwarding.nftables({ chains: ['ip6 filter ufw6-before-forward'] }),
      'belongs to iptables, which may not read rules of nft. Use Forwarding.iptables().',
    ],
    [
      'a kill switch',
      () => Forwarding.nftables({ chains: ['inet source_routing_vpn2 clients'] }),
      'chains[0] "inet source_routing_vpn2 clients" is one of ours. Name the chain of the firewall.',
    ],
    [
      'an option of iptables',
      () => Forwarding.iptables({ chains: ['-F'] }),
      'Forwarding.iptables()] chains[0] "-F" is not the name of a chain, such as "FORWARD".',
    ],
    ['no chain of iptables', () => Forwarding.iptables({ chains: [] }), 'Forwarding.iptables()] chains is empty.'],
  ])('%s is an error', (_, make, message) => {
    expect(make).toThrow(message);
  });
});

describe('mssClamp', () => {
  const RULESET = '/etc/source-routing/stack-vpn1.nft';
  const rules = (props: Partial<VpnEgressProps>): string[] =>
    contentsOf(egress(props), RULESET).filter((line) => line.includes('maxseg'));

  test('keeps connections of clients to the path MTU, in both directions', () => {
    expect(rules({})).toEqual([]);
    expect(rules({ mssClamp: true })).toEqual([
      '\t\toifname "eth1" ip saddr 10.10.10.0/24 tcp flags syn tcp option maxseg size set rt mtu',
      '\t\tiifname "eth1" ip daddr 10.10.10.0/24 tcp flags syn tcp option maxseg size set rt mtu',
      '\t\toifname "eth1" ip6 saddr fd00:4242:4242:4242::/64 tcp flags syn tcp option maxseg size set rt mtu',
      '\t\tiifname "eth1" ip6 daddr fd00:4242:4242:4242::/64 tcp flags syn tcp option maxseg size set rt mtu',
    ]);
    const triggers = resourceOf(egress({ mssClamp: true }), 'apply').triggers_replace;
    expect(triggers['mss clamp stack/egress']).toBe('path MTU');
  });
});
