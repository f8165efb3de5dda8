import { run, type RunOptions, type RunResult } from './process';
import type { RunDirectory } from './run-directory';
import { address, cardsOf, families, macAddress, networkNames, type NodeName, nodes, poolsOf } from './topology';

/** Run a command in a network namespace of the lab, with the box's own file system. */
export const inNamespace = (
  directory: RunDirectory,
  node: string,
  argv: readonly string[],
  options?: RunOptions,
): Promise<RunResult> => run(['ip', 'netns', 'exec', directory.name(node), ...argv], options);

/** Several lines for `ip`, in one process. */
export const ipBatch = (directory: RunDirectory, node: string, lines: readonly string[]): Promise<RunResult> =>
  run(['ip', '-n', directory.name(node), '-batch', '-'], { input: `${lines.join('\n')}\n` });

/** Whether the lab has a second NAT router. */
export const hasSecond = (directory: RunDirectory): boolean =>
  (directory.options as { readonly secondNatRouter?: boolean }).secondNatRouter ?? false;

/** Whether a lab has a third machine. */
export const hasThird = (directory: RunDirectory): boolean =>
  (directory.options as { readonly thirdMachine?: boolean }).thirdMachine ?? false;

/** Name of the switch's port that an interface of a node is plugged into. */
export const portName = (node: NodeName, interfaceName: string): string => `${node}.${interfaceName}`;

const sysctl = (settings: Readonly<Record<string, number>>): string[] => [
  'sh',
  '-c',
  'for setting; do echo "${setting#*=}" >"/proc/sys/net/${setting%%=*}" || exit 1; done',
  'sh',
  ...Object.entries(settings).map(([name, value]) => `${name}=${value}`),
];

/** The bridges that all cables end in. They have no addresses: nothing of the box can be reached. */
export async function createSwitch(directory: RunDirectory): Promise<void> {
  await run(['ip', 'netns', 'add', directory.name('switch')]);
  await inNamespace(directory, 'switch', sysctl({ 'ipv6/conf/default/disable_ipv6': 1 }));
  await ipBatch(
    directory,
    'switch',
    networkNames(hasSecond(directory)).flatMap((name) => [
      // No snooping: without a querier it may swallow neighbour discovery.
      `link add ${name} type bridge mcast_snooping 0`,
      `link set ${name} up`,
    ]),
  );
}

/** Make a node's namespace and plug its interfaces into the switch. They come up without addresses. */
export async function connect(directory: RunDirectory, node: NodeName, plain: boolean): Promise<void> {
  await run(['ip', 'netns', 'add', directory.name(node)]);
  // Whatever the box has set for itself may not leak into the lab. A plain namespace has no time to
  // lose with duplicate address detection; a machine does it as a real one does.
  await inNamespace(
    directory,
    node,
    sysctl({
      'ipv4/ip_forward': 0,
      'ipv4/conf/all/rp_filter': 0,
      'ipv4/conf/default/rp_filter': 0,
      ...(plain ? { 'ipv6/conf/default/accept_dad': 0, 'ipv6/conf/default/accept_ra': 0 } : {}),
    }),
  );
  await ipBatch(
    directory,
    'switch',
    cardsOf(node, hasSecond(directory)).flatMap(({ name, network }) => [
      `link add ${portName(node, name)} type veth peer name ${name} address ${macAddress(node, name)} netns ${directory.name(node)}`,
      `link set ${portName(node, name)} master ${network} up`,
    ]),
  );
  if (plain) await configure(directory, node);
}

/**
 * Take a node off the switch and delete its namespace with all addresses, rules and routes in it.
 * The ports go first and by themselves: a namespace that some process still uses lives on unseen.
 */
export async function disconnect(directory: RunDirectory, node: NodeName): Promise<void> {
  await ipBatch(
    directory,
    'switch',
    cardsOf(node, hasSecond(directory)).map(({ name }) => `link delete ${portName(node, name)}`),
  );
  await run(['ip', 'netns', 'delete', directory.name(node)]);
}

/** Pull a cable out of the switch, or put it back: the interface loses its carrier, not its place. */
export const setCarrier = (
  directory: RunDirectory,
  node: NodeName,
  interfaceName: string,
  carrier: boolean,
): Promise<RunResult> =>
  ipBatch(directory, 'switch', [`link set ${portName(node, interfaceName)} ${carrier ? 'up' : 'down'}`]);

/** Addresses, routes, forwarding and masquerading of a plain namespace. */
async function configure(directory: RunDirectory, node: NodeName): Promise<void> {
  const { interfaces, gateways, forwards, masquerade } = nodes[node];
  const serverCard = { upstream: 'eth0', nat2: 'eth2' }[node as string];
  if (forwards) await inNamespace(directory, node, sysctl({ 'ipv4/ip_forward': 1, 'ipv6/conf/all/forwarding': 1 }));
  await ipBatch(directory, node, [
    'link set lo up',
    ...interfaces.flatMap(({ name, ipv4, ipv6 }) => [
      `link set ${name} up`,
      `address add ${ipv4} dev ${name}`,
      `address add ${ipv6} dev ${name} nodad`,
    ]),
    ...(gateways ? families.map((family) => `route add default via ${gateways[family]}`) : []),
    // Where the VPN server's clients are, the default uplink of the server must know, and a NAT router.
    ...(serverCard
      ? families.flatMap((family) =>
          poolsOf(family).map((pool) => `route add ${pool} via ${address('vpn', serverCard, family)}`),
        )
      : []),
  ]);
  if (masquerade) await inNamespace(directory, node, ['nft', '-f', '-'], { input: masqueradeRules(masquerade) });
}

export const masqueradeRules = (interfaceName: string): string => `flush ruleset
table inet lab {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "${interfaceName}" masquerade
  }
}
`;
