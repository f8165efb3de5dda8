import { TerraformVariable } from 'cdktf';
import type { NatRouterProps, VpnEgressProps } from '../lib';
import { Forwarding, LinuxHost, NatRouter, PolicyRule, SourceNat, SourceRoutingTable, VpnEgress } from '../lib';
import {
  ALL_INTERFACES,
  GATEWAYS,
  POOLS,
  SSH,
  newHost,
  newStack,
  synthesize,
  validationErrors,
  withFiles,
} from './fixtures';

interface Machines {
  readonly stack: ReturnType<typeof newStack>;
  readonly egress: VpnEgress;
  readonly router: LinuxHost;
}

function machines(props: Partial<VpnEgressProps> = {}): Machines {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES });
  const egress = new VpnEgress(stack, 'egress', {
    ...{ host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS },
    ...props,
  });
  return { stack, egress, router: new LinuxHost(stack, 'router', { ssh: { ...SSH, host: '192.168.178.3' } }) };
}

function withRouter(props: Partial<NatRouterProps> = {}): Machines {
  const all = machines();
  const { stack, egress, router } = all;
  new NatRouter(stack, 'nat', { host: router, egress, inside: 'eth1', outside: 'eth2', ...props });
  expect(validationErrors(stack)).toEqual([]);
  return all;
}

/** The data of a host's bundle, line by line. */
function linesOf(stack: Machines['stack'], host: string): string[] {
  const resources = Object.entries(synthesize(stack).resource.terraform_data ?? {});
  const apply = resources.find(([name]) => name.startsWith(`${host}_apply_`))?.[1];
  const content = apply?.provisioner[0]?.file?.content as string;
  const [bundle] = withFiles(stack, [content]);
  return bundle.slice(bundle.indexOf('\n#--- bundle\n')).split('\n').slice(1);
}

const nat = (stack: Machines['stack'], host = 'router'): string[] =>
  linesOf(stack, host)
    .filter((line) => /masquerade|snat/.test(line))
    .map((line) => line.replace(/^\|\s*/, ''));

describe('a NAT router', () => {
  test('has return routes, and translates exactly the clients', () => {
    const { stack } = withRouter();
    const lines = linesOf(stack, 'router');
    expect(lines.filter((line) => line.startsWith('route '))).toEqual([
      'route 4 254 10.10.10.0/24 0 via 192.168.1.100 dev eth1',
      'route 6 254 fd00:4242:4242:4242::/64 1024 via fd00:1010:1010:1010::100 dev eth1',
    ]);
    expect(nat(stack)).toEqual([
      'oifname "eth2" ip saddr 10.10.10.0/24 masquerade',
      'oifname "eth2" ip6 saddr fd00:4242:4242:4242::/64 masquerade',
    ]);
    expect(lines).toContain('requires nftables');
    expect(lines.filter((line) => /^(accept|sysctl)/.test(line))).toEqual([]);
    expect(linesOf(stack, 'vpn1')).not.toContain('requires nftables');
  });

  test('tries packets of clients, as if they came from the VPN server', () => {
    const tried = (sourceNat?: SourceNat, forwarding?: Forwarding): string[] =>
      linesOf(withRouter({ sourceNat, forwarding }).stack, 'router')
        .filter((line) => /^(probe|expect)/.test(line))
        .map((line) => line.replace(/ or [0-9]\S+/g, ''));
    const leave = [
      'expect 4 stack/nat/leave-1 to 198.51.100.1 from 10.10.10.2 iif eth1 ipproto 17 is dev eth2 or rejected',
      'expect 6 stack/nat/leave-2 to 2001:db8::1 from fd00:4242:4242:4242::2 iif eth1 is dev eth2 or rejected',
      'probe note',
    ];
    expect(tried()).toEqual([
      ...leave,
      'probe refuse stack/nat/',
      'probe routed stack/nat/',
      'probe translated stack/nat/',
      'probe translates stack/nat/ eth2',
    ]);
    expect(tried(SourceNat.unmanaged(), Forwarding.unmanaged())).toEqual([]);
    expect(tried(SourceNat.none())).toEqual([...leave, 'probe refuse stack/nat/', 'probe routed stack/nat/']);
  });

  test('tries no packets to networks that it reaches by other interfaces, nor to clients', () => {
    const { stack, egress } = machines();
    const interfaces = [
      { name: 'eth1', addresses: ['192.168.1.1/24', 'fd00:1010:1010:1010::1/64'] },
      { name: 'eth2', addresses: ['203.0.113.2/24'], gateways: ['203.0.113.1'] },
      { name: 'eth3', addresses: ['172.16.0.1/24'], networks: ['198.51.100.0/24', '2001:db8::/32', '1700::/8'] },
    ];
    const host = new LinuxHost(stack, 'inner', { ssh: { ...SSH, host: '192.168.1.1' }, interfaces });
    new NatRouter(stack, 'nat', { host, egress, inside: 'eth1', outside: 'eth2' });
    expect(validationErrors(stack)).toEqual([]);
    expect(linesOf(stack, 'inner').filter((line) => line.startsWith('expect'))).toEqual([
      // The bits of 1700::/8 are those of 23.0.0.0/8.
      'expect 4 stack/nat/leave-1 to 23.0.0.1 or 101.0.0.1 or 185.0.0.1 from 10.10.10.2 iif eth1 ipproto 17 is dev eth2 or rejected',
      'expect 6 stack/nat/leave-2 to 2400::1 or 2600::1 or 2a00::1 from fd00:4242:4242:4242::2 iif eth1 is dev eth2 or rejected',
    ]);
  });

  test('serves several VPN servers, and routes of its own', () => {
    const { stack, egress } = machines();
    const interfaces = [
      { name: 'eth1', addresses: ['192.168.1.1/24', 'fd00:1010:1010:1010::1/64'] },
      { name: 'eth2', addresses: ['203.0.113.2/24'], gateways: ['203.0.113.1'] },
    ];
    const router = new LinuxHost(stack, 'inner', { ssh: { ...SSH, host: '192.168.1.1' }, interfaces });
    new NatRouter(stack, 'nat', { host: router, egress, inside: 'eth1', outside: 'eth2' });
    const second = newHost(stack, { ssh: { ...SSH, host: '192.168.178.4' }, interfaces: [] }, 'vpn2');
    const other = new VpnEgress(stack, 'other', {
      ...{ host: second, device: 'eth1', tableId: 200, clients: ['198.51.0.0/16', '2001:db8::/32'] },
      ...{ gateways: GATEWAYS, returnAddresses: ['192.168.1.101', 'fd00:1010:1010:1010::101'] },
    });
    new NatRouter(stack, 'other-nat', { host: router, egress: other, inside: 'eth1', outside: 'eth2' });
    const office = { destination: '100.0.0.0/8', via: '192.168.1.77', device: 'eth1' };
    SourceRoutingTable.main(router).addRoute('office', office);
    expect(validationErrors(stack)).toEqual([]);
    const leaving = linesOf(stack, 'inner').filter((line) => line.startsWith('expect'));
    expect(leaving).toHaveLength(4);
    expect(leaving.filter((line) => / (198\.51|100)\.[0-9.]+ .*from|to 2001:db8:/.test(line))).toEqual([]);
  });

  test('still refuses a route that takes packets of clients to the Internet elsewhere', () => {
    const { stack, egress } = machines();
    const interfaces = [
      { name: 'eth1', addresses: ['192.168.1.1/24', 'fd00:1010:1010:1010::1/64'] },
      { name: 'eth2', addresses: ['203.0.113.2/24'], gateways: ['203.0.113.1'] },
    ];
    const host = new LinuxHost(stack, 'inner', { ssh: { ...SSH, host: '192.168.1.1' }, interfaces });
    new NatRouter(stack, 'nat', { host, egress, inside: 'eth1', outside: 'eth2' });
    const half = { destination: '128.0.0.0/1', via: '192.168.1.77', device: 'eth1' };
    SourceRoutingTable.main(host).addRoute('half', half);
    expect(validationErrors(stack)[0]).toContain('expectation "stack/nat/leave-1" is untrue');
  });

  test('leaves packets to the rule of another construct, which knows better', () => {
    const { stack, egress } = machines();
    const interfaces = [
      { name: 'eth1', addresses: ['192.168.1.1/24', 'fd00:1010:1010:1010::1/64'] },
      { name: 'eth2', addresses: ['203.0.113.2/24'], gateways: ['203.0.113.1'] },
      { name: 'eth3', addresses: ['172.16.0.1/24'] },
    ];
    const host = new LinuxHost(stack, 'inner', { ssh: { ...SSH, host: '192.168.1.1' }, interfaces });
    new NatRouter(stack, 'nat', { host, egress, inside: 'eth1', outside: 'eth2' });
    const table = new SourceRoutingTable(stack, 'partner', { host, tableId: 201 });
    table.addRoute('v4', { destination: 'default', via: '172.16.0.9', device: 'eth3' });
    new PolicyRule(stack, 'rule', { table, source: POOLS[0], destination: '198.18.0.0/15', priority: 5000 });
    expect(validationErrors(stack)).toEqual([]);
  });

  test('may give fixed addresses, one of which is known at apply only', () => {
    const all = machines();
    const address = new TerraformVariable(all.stack, 'address', { type: 'string' }).stringValue;
    const sourceNat = SourceNat.to(['203.0.113.3', address]);
    const { stack, egress, router } = all;
    new NatRouter(stack, 'nat', { host: router, egress, inside: 'eth1', outside: 'eth2', sourceNat });
    expect(nat(stack)).toEqual([
      'oifname "eth2" ip saddr 10.10.10.0/24 snat ip to 203.0.113.3',
      'oifname "eth2" ip saddr 10.10.10.0/24 snat ip to @1.4@',
      'oifname "eth2" ip6 saddr fd00:4242:4242:4242::/64 snat ip6 to @1.6@',
    ]);
  });

  test('may leave the addresses to others', () => {
    const { stack } = withRouter({ sourceNat: SourceNat.unmanaged() });
    expect(nat(stack)).toEqual([]);
    expect(linesOf(stack, 'router')).not.toContain('requires nftables');
  });

  test('lets packets of clients pass its firewall, and switches forwarding on', () => {
    const forwarding = Forwarding.iptables({ perInterface: true });
    const { stack } = withRouter({ forwarding });
    const lines = linesOf(stack, 'router');
    expect(lines.filter((line) => line.startsWith('accept iptables '))).toEqual([
      'accept iptables filter FORWARD -i eth1 -o eth2 -s 10.10.10.0/24 -j ACCEPT',
      'accept iptables filter FORWARD -i eth2 -o eth1 -d 10.10.10.0/24 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT',
    ]);
    expect(lines.filter((line) => line.startsWith('sysctl '))).toEqual([
      'sysctl net.ipv4.conf.eth1.forwarding 1',
      'sysctl net.ipv4.conf.eth2.forwarding 1',
      'sysctl net.ipv6.conf.all.forwarding 1',
    ]);
  });

  test('needs an address of each family of the clients', () => {
    const { stack, egress, router } = machines();
    const make = (sourceNat: SourceNat) => (): unknown =>
      new NatRouter(stack, 'nat', { host: router, egress, inside: 'eth1', outside: 'eth2', sourceNat });
    expect(make(SourceNat.to(['203.0.113.3']))).toThrow(
      '[stack/nat] sourceNat has no IPv6 address for the clients of "fd00:4242:4242:4242::/64". Add one.',
    );
    expect(() => SourceNat.to([])).toThrow('[SourceNat.to()] addresses is empty. Give one for each family');
    expect(() => SourceNat.to(['203.0.113.0/24'])).toThrow('addresses[0] "203.0.113.0/24" has a prefix length');
  });
});

test('a plan shows an interface that is known at apply only, and each of several routers', () => {
  const { stack, egress, router } = machines();
  const outside = new TerraformVariable(stack, 'outside', { type: 'string' }).stringValue;
  new NatRouter(stack, 'nat', { host: router, egress, inside: 'eth1', outside });
  const resources = Object.entries(synthesize(stack).resource.terraform_data ?? {});
  const triggers = resources.find(([name]) => name.startsWith('router_apply_'))?.[1]?.triggers_replace ?? {};
  expect(Object.entries(triggers).filter(([key]) => key.startsWith('nat '))).toEqual([
    ['nat stack/nat', '10.10.10.0/24, fd00:4242:4242:4242::/64 by ${var.outside} masquerade'],
  ]);
  expect(linesOf(stack, 'router').filter((line) => line.startsWith('expect'))).toEqual([]);
});

test('a router of pools that are known at apply only has no accept rule that could name them', () => {
  const stack = newStack();
  const pool = new TerraformVariable(stack, 'pool', { type: 'string' }).stringValue;
  const egress = new VpnEgress(stack, 'egress', {
    ...{ host: newHost(stack), device: 'eth1', tableId: 200, clients: [pool], gateways: GATEWAYS.slice(0, 1) },
    returnAddresses: ['192.168.1.100'],
  });
  const host = new LinuxHost(stack, 'router', { ssh: { ...SSH, host: '192.168.178.3' } });
  const forwarding = Forwarding.nftables();
  new NatRouter(stack, 'nat', { host, egress, inside: 'eth1', outside: 'eth2', forwarding });
  expect(validationErrors(stack)).toContain(
    '[stack/nat] forwarding needs each pool at synth, and one is known at apply only. Give the pool literally.',
  );
});

test('a second address of a family is an error', () => {
  const sourceNat = SourceNat.to(['203.0.113.3', '203.0.113.4', 'fd00::1']);
  expect(() => machines({ sourceNat })).toThrow(
    '[stack/egress] sourceNat has a second IPv4 address, "203.0.113.4". Give one for each family.',
  );
});

test('a VPN server may translate, where the next router has no way back', () => {
  const { stack } = machines({ sourceNat: SourceNat.masquerade() });
  expect(nat(stack, 'vpn1')).toEqual([
    'oifname "eth1" ip saddr 10.10.10.0/24 masquerade',
    'oifname "eth1" ip6 saddr fd00:4242:4242:4242::/64 masquerade',
  ]);
  const lines = linesOf(stack, 'vpn1');
  expect(lines).toContain('requires nftables');
  expect(lines).toContain('probe translated stack/egress/');
  const resources = Object.entries(synthesize(stack).resource.terraform_data ?? {});
  const triggers = resources.find(([name]) => name.startsWith('vpn1_apply_'))?.[1]?.triggers_replace ?? {};
  expect(Object.entries(triggers).filter(([key]) => /nat /.test(key))).toEqual([
    ['nat stack/egress', '10.10.10.0/24, fd00:4242:4242:4242::/64 by eth1 masquerade'],
  ]);
});
