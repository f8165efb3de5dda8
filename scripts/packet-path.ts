import { BlockList } from 'node:net';
import type { Lab } from '../test/lab/lab';
import type { ClientName, Family, NodeName } from '../test/lab/topology';
import { internetAddress } from '../test/lab/topology';

/** The way of one client's packet to the internet host, as the machines on it tell. */
export interface PacketPath {
  /** One for each hop, from the client to the internet host. */
  readonly hops: readonly string[];
  /** The router that has both the next hop and the address that the internet host sees. */
  readonly router?: 'upstream' | 'nat';
}

interface InterfaceShown {
  readonly ifname: string;
  readonly addr_info: ReadonlyArray<{ readonly local: string }>;
}

interface RuleShown {
  readonly priority: number;
  readonly src: string;
  readonly srclen?: number;
  readonly table?: string;
}

interface RouteShown {
  readonly dst: string;
  readonly gateway?: string;
  readonly dev?: string;
  readonly table?: string;
}

/** Follows a packet of an OpenVPN client: `ip` on each machine says what that one would do with it. */
export async function packetPath(lab: Lab, client: ClientName, family: Family): Promise<PacketPath> {
  const ip = async <T>(node: NodeName, words: string): Promise<T[]> => {
    const argv = ['ip', '-j', family === 'ipv4' ? '-4' : '-6', ...words.split(' ')];
    // Only the VPN server itself knows its tables by name.
    const { stdout } = await (node === 'vpn' ? lab.inside(node, argv) : lab.exec(node, argv));
    return JSON.parse(stdout) as T[];
  };
  const internet = internetAddress(family);
  const [tunnel] = await ip<InterfaceShown>(client, 'address show dev tun0 scope global');
  const source = tunnel.addr_info[0].local;
  const [{ dev: entry = '?' }] = await ip<RouteShown>('vpn', `route get ${source}`);
  // With "fibmatch", the kernel says which route it has found, and in which table.
  const [route] = await ip<RouteShown>('vpn', `route get fibmatch ${internet} from ${source} iif ${entry}`);
  const { table: tableName = 'main' } = route;
  const rule = (await ip<RuleShown>('vpn', 'rule show')).find(
    ({ table, src, srclen }) => table === tableName && (src === 'all' || isIn(source, src, srclen, family)),
  );
  const seen = await lab.sourceSeenFrom(client, family).catch(() => 'nothing');
  const routers = await Promise.all(
    (['upstream', 'nat'] as const).map(async (name) => ({
      name,
      cards: await ip<InterfaceShown>(name, 'address show'),
    })),
  );
  const cardWith = (cards: readonly InterfaceShown[], address?: string): string | undefined =>
    cards.find(({ addr_info }) => addr_info.some(({ local }) => local === address))?.ifname;
  const router = routers.find(({ cards }) => cardWith(cards, route.gateway));
  const outside = router && cardWith(router.cards, seen);
  return {
    hops: [
      `client ${client}: ${source} sends to ${internet}`,
      `vpn: in by ${entry}`,
      rule ? `vpn: rule ${rule.priority}: ${ruleText(rule)}` : `vpn: no rule leads to table ${tableName}`,
      `vpn: route ${route.dst}${route.gateway ? ` via ${route.gateway}` : ''} dev ${route.dev ?? '?'}`,
      router
        ? `${router.name}: in by ${cardWith(router.cards, route.gateway)}${outside ? `, out by ${outside}, source NAT from ${source} to ${seen}` : ''}`
        : 'no router has that next hop',
      `internet: sees ${seen}`,
    ],
    router: outside ? router.name : undefined,
  };
}

function ruleText({ src, srclen, table }: RuleShown): string {
  return `from ${src}${srclen === undefined ? '' : `/${srclen}`} lookup ${table}`;
}

function isIn(address: string, prefix: string, length: number | undefined, family: Family): boolean {
  const block = new BlockList();
  block.addSubnet(prefix, length ?? (family === 'ipv4' ? 32 : 128), family);
  return block.check(address, family);
}
