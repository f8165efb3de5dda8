import { Address4, Address6 } from 'ip-address';
import { Arguments } from './private/arguments';
import { PREFIX } from './private/kinds';
import type { Shape } from './private/shapes';
import { list, number, optional, partOf, text } from './private/shapes';
import type { Family } from './model/family';
import { familyName } from './model/family';
import { MAX_PORT } from './model/limits';
import type { NetworkInterface } from './network-interface';

/**
 * A profile of eduVPN as a node has it. The properties have the names that they have in `config.php` of
 * vpn-user-portal.
 *
 * @see https://docs.eduvpn.org/server/v3/profile-config.html
 */
export interface EduVpnProfile {
  /** Id of the profile. */
  readonly profileId: string;

  /**
   * IPv4 range of the clients of OpenVPN on this node, in CIDR notation.
   *
   * @default - no OpenVPN with IPv4
   */
  readonly oRangeFour?: string;

  /**
   * IPv6 range of the clients of OpenVPN on this node, in CIDR notation.
   *
   * @default - no OpenVPN with IPv6
   */
  readonly oRangeSix?: string;

  /**
   * UDP ports of OpenVPN. There is one process for each.
   *
   * @default [1194]
   */
  readonly oUdpPortList?: number[];

  /**
   * TCP ports of OpenVPN. There is one process for each.
   *
   * @default [1194]
   */
  readonly oTcpPortList?: number[];

  /**
   * IPv4 range of the clients of WireGuard on this node, in CIDR notation.
   *
   * @default - no WireGuard with IPv4
   */
  readonly wRangeFour?: string;

  /**
   * IPv6 range of the clients of WireGuard on this node, in CIDR notation.
   *
   * @default - no WireGuard with IPv6
   */
  readonly wRangeSix?: string;
}

const PORTS = list(number('a port such as 1194'), 'a list such as [1194]');
const PROFILE: Shape<EduVpnProfile> = {
  profileId: text('an id such as "employees"'),
  oRangeFour: optional(PREFIX),
  oRangeSix: optional(PREFIX),
  oUdpPortList: optional(PORTS),
  oTcpPortList: optional(PORTS),
  wRangeFour: optional(PREFIX),
  wRangeSix: optional(PREFIX),
};
const PROFILES = list(partOf(PROFILE, 'an object such as { profileId: "staff" }'), 'a list of profiles');
/** eduVPN takes only these, since it divides a range into equal parts. */
const PROCESSES = [1, 2, 4, 8, 16, 32, 64];
/** Each process has such a part of the IPv6 range, whatever the size of that. */
const IPV6_PART = 112;

/**
 * The tunnels of a node of eduVPN 3. OpenVPN has a process for each port, each with a tunnel and a part of the range:
 * `tun0`, `tun1` and so on, counted across the profiles in their order. WireGuard has one tunnel for all profiles,
 * `wg0`.
 *
 * @example
 * const node = new EduVpnNode([
 *   { profileId: 'staff', oRangeFour: '10.10.10.0/24', oRangeSix: 'fd00:4242:4242:1010::/64' },
 *   { profileId: 'guests', wRangeFour: '10.10.20.0/24', wRangeSix: 'fd00:4242:4242:2020::/64' },
 * ]);
 * new VpnEgress(this, 'staff', {
 *   host: server,
 *   device: 'eth1',
 *   tableId: 201,
 *   clients: node.clients('staff'),
 *   gateways: ['192.168.1.1', 'fd00:1010:1010:1010::1'],
 * });
 */
export class EduVpnNode {
  /** The tunnels, for `interfaces` of the `LinuxHost`. */
  public readonly interfaces: NetworkInterface[];

  private readonly args = new Arguments('EduVpnNode');
  private readonly ranges = new Map<string, string[]>();

  /**
   * @param profiles - all profiles of the node, in the order of `ProfileList`
   * @throws ValidationError if a property is wrong, or two profiles have one id
   */
  public constructor(profiles: EduVpnProfile[]) {
    this.args.check(PROFILES, profiles, 'profiles');
    if (profiles.length === 0) {
      throw this.args.error('profiles is empty. Give the profiles of the node, in the order of ProfileList.');
    }
    const tunnels: NetworkInterface[] = [];
    const wireGuard: string[] = [];
    profiles.forEach((profile, index) => {
      const prefix = `profiles[${index}].`;
      if (this.ranges.has(profile.profileId)) {
        throw this.args.error(
          `${prefix}profileId "${profile.profileId}" is there twice. Give each profile its own id.`,
        );
      }
      const openVpn = this.rangesOf(profile.oRangeFour, profile.oRangeSix, `${prefix}oRange`);
      const ofWireGuard = this.rangesOf(profile.wRangeFour, profile.wRangeSix, `${prefix}wRange`);
      this.ranges.set(profile.profileId, [...openVpn, ...ofWireGuard]);
      const processes = this.processesOf(profile, prefix);
      if (openVpn.length > 0) {
        for (let process = 0; process < processes; process++) {
          const addresses = openVpn.map((range) => this.firstHostOfPart(range, process, processes, prefix));
          tunnels.push({ name: `tun${tunnels.length}`, addresses });
        }
      }
      wireGuard.push(...ofWireGuard.map(firstHost));
    });
    this.interfaces = [...tunnels, ...(wireGuard.length === 0 ? [] : [{ name: 'wg0', addresses: wireGuard }])];
  }

  /**
   * The ranges of a profile's clients, for `clients` of a `VpnEgress`.
   *
   * @param profileId - id of the profile
   * @throws ValidationError if there is no such profile
   */
  public clients(profileId: string): string[] {
    this.args.check(PROFILE.profileId, profileId, 'profileId');
    const ranges = this.ranges.get(profileId);
    if (!ranges) {
      const known = [...this.ranges.keys()].map((id) => `"${id}"`).join(', ') || 'none';
      throw this.args.error(`profileId "${profileId}" is no profile of this node. Give one of these: ${known}.`);
    }
    return [...ranges];
  }

  private rangesOf(four: string | undefined, six: string | undefined, property: string): string[] {
    return [...this.range(four, 4, `${property}Four`), ...this.range(six, 6, `${property}Six`)];
  }

  private range(range: string | undefined, family: Family, property: string): string[] {
    if (range === undefined) {
      return [];
    }
    this.args.text(range, property, /^/, 'a prefix');
    const value = this.args.value('prefix', range, property);
    if (value.family !== family) {
      throw this.args.error(
        `${property} "${range}" is not ${familyName(family)}. Give an ${familyName(family)} range.`,
      );
    }
    return [value.text];
  }

  private processesOf({ oUdpPortList = [1194], oTcpPortList = [1194] }: EduVpnProfile, prefix: string): number {
    for (const [name, ports] of Object.entries({ oUdpPortList, oTcpPortList })) {
      ports.forEach((port, index) => this.args.integer(port, `${prefix}${name}[${index}]`, 1, MAX_PORT));
    }
    const processes = oUdpPortList.length + oTcpPortList.length;
    if (!PROCESSES.includes(processes)) {
      throw this.args.error(
        `${prefix}oUdpPortList and ${prefix}oTcpPortList have ${processes} ports together, and eduVPN takes ` +
          `${PROCESSES.join(', ')}. Give as many as in config.php.`,
      );
    }
    return processes;
  }

  /** The server's address in a process's part of a range, with the length of the part. */
  private firstHostOfPart(range: string, process: number, processes: number, prefix: string): string {
    const six = range.includes(':');
    const { start, length } = bounds(range);
    const divided = length + Math.log2(processes);
    if (divided > (six ? IPV6_PART : 30)) {
      throw this.args.error(
        `${prefix}oRange${six ? 'Six' : 'Four'} "${range}" is too small for ${processes} processes of OpenVPN. Give that of config.php.`,
      );
    }
    const part = six ? IPV6_PART : divided;
    return hostText(start + (BigInt(process) << BigInt((six ? 128 : 32) - part)) + 1n, six, part);
  }
}

function firstHost(range: string): string {
  const { start, length } = bounds(range);
  return hostText(start + 1n, range.includes(':'), length);
}

function bounds(range: string): { readonly start: bigint; readonly length: number } {
  const address = range.includes(':') ? new Address6(range) : new Address4(range);
  return { start: address.startAddress().bigInt(), length: address.subnetMask };
}

function hostText(address: bigint, six: boolean, length: number): string {
  return `${(six ? Address6.fromBigInt(address) : Address4.fromBigInt(address)).correctForm()}/${length}`;
}
