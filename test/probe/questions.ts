import { prefixBits, prefixText } from '../../lib/fib/bits';
import type { Bits } from '../../lib/fib/bits';
import { ReversePathFilter } from '../../lib/fib/machine';
import type { PacketHeader } from '../../lib/fib/packet';
import type { Family } from '../../lib/model/family';
import type { Random } from '../lookup/random';
import type { Scenario } from '../lookup/scenario';
import { randomScenario } from '../lookup/scenario';

/** How many packets one probe can number. */
const MOST_PACKETS = 60;
/** Packets drawn for each machine. Many of them no client can send. */
const DRAWN = 150;

/** Addresses that no client has, or that its kernel does not send to. */
const IMPOSSIBLE: Readonly<Record<Family, readonly Bits[]>> = {
  4: ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/4', '255.255.255.255'].map(prefixBits),
  6: ['::/127', 'fe80::/10', 'ff00::/8'].map(prefixBits),
};
/** The probe does not choose its source port. No random rule selects so high a port. */
const SOURCE_PORT = 40_000;
const PROTOCOLS: Readonly<Record<Family, Readonly<Record<Kind, number>>>> = {
  4: { 'ICMP echo': 1, 'UDP': 17, 'TCP': 6 },
  6: { 'ICMP echo': 58, 'UDP': 17, 'TCP': 6 },
};

type Kind = 'ICMP echo' | 'UDP' | 'TCP';

/** A packet that the probe can send, as it says it. */
export function kindText({ family, ipProtocol, destinationPort }: PacketHeader): string {
  const kinds = Object.keys(PROTOCOLS[family]) as Kind[];
  const kind = kinds.find((each) => PROTOCOLS[family][each] === ipProtocol) ?? String(ipProtocol);
  return destinationPort === undefined ? kind : `${kind} to port ${destinationPort}`;
}

/** Its ends, as the probe says them. */
export function endsText({ family, source = '', destination, inputInterface }: PacketHeader): string {
  return `${prefixText(source, family)} -> ${prefixText(destination, family)} from ${inputInterface}`;
}

/** A random machine, and packets of clients that the probe can send to it. */
export function probeScenario(random: Random): Scenario {
  const { description, packets } = randomScenario(random, DRAWN);
  const routingAlone = random.chance(2);
  const links = routingAlone
    ? description.links.map((link) => ({ ...link, reversePathFilter: ReversePathFilter.OFF }))
    : description.links;
  // A link without a carrier takes nothing in.
  const inputs = links.filter(({ state }) => state === 'up').map(({ name }) => name);
  const chosen: PacketHeader[] = [];
  const seen = new Set<string>();
  for (const packet of packets) {
    const all = packetsOf(packet);
    const key = endsText(packet);
    if (
      inputs.includes(packet.inputInterface ?? '') &&
      canCome(packet) &&
      !seen.has(key) &&
      chosen.length + all.length <= MOST_PACKETS
    ) {
      seen.add(key);
      chosen.push(...all);
    }
  }
  return { description: { ...description, links }, packets: chosen };
}

function canCome({ family, source = '', destination }: PacketHeader): boolean {
  const isPossible = (address: Bits): boolean => !IMPOSSIBLE[family].some((prefix) => address.startsWith(prefix));
  return isPossible(source) && isPossible(destination) && source !== destination;
}

/** The packet itself if it names a port, else one of each kind. */
function packetsOf(packet: PacketHeader): PacketHeader[] {
  if (packet.destinationPort !== undefined) return [{ ...packet, sourcePort: SOURCE_PORT }];
  const plain = { ...packet, sourcePort: undefined };
  return Object.entries(PROTOCOLS[packet.family]).map(([kind, ipProtocol]) =>
    kind === 'ICMP echo'
      ? { ...plain, ipProtocol }
      : { ...plain, ipProtocol, sourcePort: SOURCE_PORT, destinationPort: 443 },
  );
}

/** The line of the expectations that has packet `index` sent. */
export function questionLine({ family, ...packet }: PacketHeader, index: number): string {
  const { destinationPort, ipProtocol } = packet;
  const port = destinationPort === undefined ? '' : ` ipproto ${ipProtocol} dport ${destinationPort}`;
  return `expect ${family} q/${index} to ${prefixText(packet.destination, family)} from ${prefixText(packet.source ?? '', family)} iif ${packet.inputInterface}${port} is any`;
}

/** A firewall that gives the packets their marks and types of service before they are routed. */
export function firewall(packets: readonly PacketHeader[]): string[] {
  const flows = new Map(packets.filter(({ mark, tos }) => mark || tos).map((packet) => [endsText(packet), packet]));
  const rules = [...flows.values()].map(({ family, source = '', destination, inputInterface, mark, tos }) => {
    const ip = family === 4 ? 'ip' : 'ip6';
    const ends = `${ip} saddr ${prefixText(source, family)} ${ip} daddr ${prefixText(destination, family)}`;
    const service = tos ? ` ${ip} dscp set ${tos >> 2}` : '';
    return `add rule inet marks m iifname ${inputInterface} ${ends} meta mark set ${mark}${service}`;
  });
  const chain = 'add chain inet marks m { type filter hook prerouting priority -150; }';
  return rules.length === 0 ? [] : ['nft -f - <<END', 'add table inet marks', chain, ...rules, 'END'];
}
