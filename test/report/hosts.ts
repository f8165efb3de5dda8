import type { TerraformStack } from 'cdktf';
import type { LinuxHost, LinuxHostProps } from '../../lib';
import {
  IpProtocol,
  LocalTraffic,
  NumberRange,
  PolicyRule,
  RuleAction,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
  VpnUpHook,
} from '../../lib';
import type { Host } from '../../lib/model/host';
import { ALL_INTERFACES, GATEWAYS, INTERFACES, POOLS, newHost, newStack } from '../fixtures';

/** What a program declares on a host of a stack of its own. */
export function hostWith(
  declare: (host: LinuxHost, stack: TerraformStack) => void,
  props: Partial<LinuxHostProps> = {},
): Host {
  const stack = newStack();
  const host = newHost(stack, { interfaces: ALL_INTERFACES, ...props });
  declare(host, stack);
  return host._declaration.model();
}

/** The how-to, by hand. */
export function howTo(): Host {
  return hostWith(
    (host, stack) => {
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200, tableName: 'vpn' });
      table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
      table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
      new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
      new PolicyRule(stack, 'clients6', { table, source: 'fd00:4242:4242:4242::/64', priority: 10010 });
      new VpnUpHook(stack, 'up', { table, daemon: VpnDaemon.openVpn() });
    },
    { interfaces: INTERFACES },
  );
}

/** The README's. */
export function egress(failClosed = true): Host {
  return hostWith((host, stack) => {
    new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      tableName: 'vpn',
      clients: POOLS,
      gateways: GATEWAYS,
      failClosed,
    });
  });
}

/** Three pools of which one has no IPv6, and a second table for marked packets. */
export function mixed(): Host {
  return hostWith(
    (host, stack) => {
      new VpnEgress(stack, 'egress', {
        host,
        device: 'eth1',
        tableId: 200,
        tableName: 'vpn',
        clients: ['10.10.10.0/24', '10.10.20.0/24', '10.10.30.0/24', 'fd00:4242:4242:4242::/64'],
        rejectedClients: ['fd00:4242:4242:3030::/64'],
        gateways: GATEWAYS,
        localTraffic: LocalTraffic.suppressDefault(),
      });
      const voice = new SourceRoutingTable(stack, 'voice', {
        host,
        tableId: 201,
        tableName: 'voice',
        failClosed: false,
      });
      voice.addRoute('v4', { destination: 'default', via: '192.168.2.1', device: 'eth2' });
      new PolicyRule(stack, 'marked', {
        table: voice,
        source: '10.10.20.0/24',
        firewallMark: 0x10,
        firewallMask: 0xff,
        priority: 9000,
      });
      new PolicyRule(stack, 'smtp', {
        host,
        action: RuleAction.prohibit(),
        source: '10.10.30.0/24',
        ipProtocol: IpProtocol.TCP,
        destinationPorts: NumberRange.of(25),
        priority: 8000,
      });
    },
    {
      interfaces: [
        ...ALL_INTERFACES,
        { name: 'eth2', addresses: ['192.168.2.100/24'] },
        { name: 'wg0', addresses: ['10.10.20.1/24'] },
        { name: 'wg1', addresses: ['10.10.30.1/24', 'fd00:4242:4242:3030::1/64'] },
      ],
    },
  );
}

/** 200 tables and 1,000 rules and more. */
export function large(tables = 200, pools = 2): Host {
  const interfaces = Array.from({ length: tables }, (_, index) => ({
    name: `tun${index}`,
    addresses: Array.from({ length: pools }, (__, pool) => `10.${pool + 10}.${index}.1/24`),
  }));
  return hostWith(
    (host, stack) => {
      for (let index = 0; index < tables; index++) {
        new VpnEgress(stack, `egress${index}`, {
          host,
          device: `eth${1 + (index % 2)}`,
          tableId: 300 + index,
          clients: Array.from({ length: pools }, (_, pool) => `10.${pool + 10}.${index}.0/24`),
          gateways: [`192.168.${1 + (index % 2)}.${1 + (index % 90)}`],
          priority: 10010 + (2 * pools + 1) * index,
        });
      }
    },
    {
      interfaces: [
        ...ALL_INTERFACES.slice(0, 1),
        { name: 'eth1', addresses: ['192.168.1.100/24'] },
        { name: 'eth2', addresses: ['192.168.2.100/24'] },
        ...interfaces,
      ],
    },
  );
}
