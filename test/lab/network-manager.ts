import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { address, families, type Interface, type MachineName, nodes, poolsOf } from './topology';

/** Which of the installed programs brings up a machine's interfaces. */
export type NetworkManagerName =
  'networkd' | 'networkManager' | 'netplan' | 'netplanNetworkManager' | 'ifupdown' | 'ifupdown2';

/** The configuration of a machine's interfaces in the words of one network manager. */
interface Flavour {
  /** Units that are enabled. */
  readonly units: readonly string[];
  /** Where it looks for the configuration of one interface, and what that says. */
  readonly file: (card: Interface, routes: readonly Route[]) => [path: string, text: string];
}

/** A static route out of an interface. */
interface Route {
  readonly destination: string;
  readonly via: string;
}

const list = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

const netplanFile =
  (renderer: string): Flavour['file'] =>
  (card, routes) => [
    `/etc/netplan/50-${card.name}.yaml`,
    list([
      'network:',
      '  version: 2',
      `  renderer: ${renderer}`,
      '  ethernets:',
      `    ${card.name}:`,
      `      addresses: ["${card.ipv4}", "${card.ipv6}"]`,
      '      accept-ra: false',
      ...(routes.length > 0 ? ['      routes:'] : []),
      ...routes.map(({ destination, via }) => `        - {to: "${destination}", via: "${via}"}`),
    ]),
  ];

const flavours: Readonly<Record<Exclude<NetworkManagerName, 'ifupdown2'>, Flavour>> = {
  networkd: {
    units: ['systemd-networkd.service', 'systemd-networkd-wait-online.service'],
    file: (card, routes) => [
      `/etc/systemd/network/10-${card.name}.network`,
      list([
        '[Match]',
        `Name=${card.name}`,
        '[Network]',
        `Address=${card.ipv4}`,
        `Address=${card.ipv6}`,
        'IPv6AcceptRA=no',
        ...routes.flatMap(({ destination, via }) => ['[Route]', `Destination=${destination}`, `Gateway=${via}`]),
      ]),
    ],
  },
  networkManager: {
    units: ['NetworkManager.service', 'NetworkManager-dispatcher.service', 'NetworkManager-wait-online.service'],
    file: (card, routes) => [
      `/etc/NetworkManager/system-connections/${card.name}.nmconnection`,
      list([
        '[connection]',
        `id=${card.name}`,
        'type=ethernet',
        `interface-name=${card.name}`,
        ...families.flatMap((family) => [
          `[${family}]`,
          'method=manual',
          `address1=${card[family]}`,
          ...routes
            .filter(({ via }) => via.includes(':') === (family === 'ipv6'))
            .map(({ destination, via }, index) => `route${index + 1}=${destination},${via}`),
        ]),
      ]),
    ],
  },
  netplan: {
    units: ['systemd-networkd.service', 'systemd-networkd-wait-online.service'],
    file: netplanFile('networkd'),
  },
  netplanNetworkManager: {
    units: ['NetworkManager.service', 'NetworkManager-dispatcher.service', 'NetworkManager-wait-online.service'],
    file: netplanFile('NetworkManager'),
  },
  ifupdown: {
    units: ['networking.service'],
    file: (card, routes) => [
      `/etc/network/interfaces.d/${card.name}`,
      list([
        `auto ${card.name}`,
        ...families.flatMap((family) => [
          `iface ${card.name} ${family === 'ipv4' ? 'inet' : 'inet6'} static`,
          `    address ${card[family]}`,
          ...routes
            .filter(({ via }) => via.includes(':') === (family === 'ipv6'))
            .map(({ destination, via }) => `    up ip route add ${destination} via ${via} dev $IFACE`),
        ]),
      ]),
    ],
  },
};

/** Write the configuration of these interfaces of a machine; returns the units to enable. */
export function configureNetwork(
  root: string,
  machine: MachineName,
  cards: readonly Interface[],
  manager: NetworkManagerName,
  returnRoutes: boolean,
): readonly string[] {
  const { units, file } = flavours[manager === 'ifupdown2' ? 'ifupdown' : manager];
  for (const card of cards) {
    const [path, text] = file(card, routesOf(machine, card, returnRoutes));
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
    // netplan and NetworkManager insist on it; networkd reads its files as another user.
    chmodSync(join(root, path), manager === 'networkd' ? 0o644 : 0o600);
  }
  return units;
}

function routesOf(machine: MachineName, card: Interface, returnRoutes: boolean): Route[] {
  const { gateways } = nodes[machine];
  return families.flatMap((family) => {
    const routes: Route[] = [];
    const gateway = gateways?.[family];
    if (gateway && network(gateway) === network(card[family])) {
      routes.push({ destination: family === 'ipv4' ? '0.0.0.0/0' : '::/0', via: gateway });
    }
    // The how-to's assumption 4: the NAT router knows where the VPN's clients are.
    if (returnRoutes && machine === 'nat' && card.network === 'private') {
      const via = address('vpn', 'eth1', family);
      routes.push(...poolsOf(family).map((destination) => ({ destination, via })));
    }
    return routes;
  });
}

/** What is in front of the host part: all networks of the lab are /24 or written as prefix::host. */
const network = (address: string): string => address.replace(/[.:][^.:]*$/, '');
