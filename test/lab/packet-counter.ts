import { inNamespace } from './namespace';
import type { RunDirectory } from './run-directory';
import { families, type Family, nodes, type TunnelName, tunnels } from './topology';

/** Packets that came in from the VPN server, by the pool that their source address is in. */
export type PacketCounts = Readonly<Record<TunnelName, Readonly<Record<Family, number>>>>;

const each = <T>(make: (name: TunnelName, family: Family) => T): T[] =>
  (Object.keys(tunnels) as TunnelName[]).flatMap((name) => families.map((family) => make(name, family)));

/**
 * Counts on a router what arrives from the VPN's clients, before the router decides anything. That
 * also sees the packets which get no answer: a leak that no connection would show.
 *
 * A reboot of the router takes the counter along.
 */
export class PacketCounter {
  constructor(
    private readonly directory: RunDirectory,
    private readonly router: 'upstream' | 'nat' | 'nat2',
  ) {}

  /** Start from zero. */
  async start(): Promise<this> {
    const arrival = nodes[this.router].interfaces.filter(({ network }) => network !== 'internet');
    const cards = arrival.map(({ name }) => `"${name}"`).join(', ');
    const table = `table inet lab_packets
delete table inet lab_packets
table inet lab_packets {
  ${each((name, family) => `counter ${name}_${family} {}`).join('\n  ')}
  chain arriving {
    type filter hook prerouting priority raw;
    ${each(
      (name, family) =>
        `iifname { ${cards} } ${family === 'ipv4' ? 'ip' : 'ip6'} saddr ${tunnels[name].pool[family]} counter name ${name}_${family}`,
    ).join('\n    ')}
  }
}
`;
    await inNamespace(this.directory, this.router, ['nft', '-f', '-'], { input: table });
    return this;
  }

  async read(): Promise<PacketCounts> {
    const argv = ['nft', '-j', 'list', 'counters', 'table', 'inet', 'lab_packets'];
    const { stdout } = await inNamespace(this.directory, this.router, argv);
    const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { name: string; packets: number } }[] };
    const packets = Object.fromEntries(
      nftables.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])),
    ) as Record<string, number>;
    const counts = Object.keys(tunnels).map((name) => [
      name,
      Object.fromEntries(families.map((family) => [family, packets[`${name}_${family}`]])),
    ]);
    return Object.fromEntries(counts) as PacketCounts;
  }

  /** All of them together. */
  async total(): Promise<number> {
    const counts = await this.read();
    return each((name, family) => counts[name][family]).reduce((sum, packets) => sum + packets, 0);
  }
}
