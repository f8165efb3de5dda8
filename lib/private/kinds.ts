import type { Drift } from '../drift';
import type { Expected } from '../expected';
import type { Forwarding } from '../forwarding';
import { IpFamily } from '../ip-family';
import type { IpProtocol } from '../ip-protocol';
import type { LocalTraffic } from '../local-traffic';
import type { NumberRange } from '../number-range';
import type { Persistence } from '../persistence';
import type { Resolver } from '../resolver';
import type { RuleAction } from '../rule-action';
import type { VpnDaemon } from '../vpn-daemon';
import type { SourceNat } from '../source-nat';
import { construct, instance, list, member, number, text } from './shapes';

// What several constructs take.
export const ADDRESS = text('an address such as "192.168.1.1"');
export const ADDRESSES = list(ADDRESS, 'a list such as ["192.168.1.1"]');
export const PREFIX = text('a prefix such as "10.10.10.0/24"');
export const PREFIXES = list(PREFIX, 'a list such as ["10.10.10.0/24"]');
export const DEVICE = text('an interface name such as "eth1"');
export const DEVICES = list(DEVICE, 'a list such as ["eth1"]');
export const TABLE_ID = number('an integer from 1 to 4294967295');
export const TABLE_NAME = text('a name such as "vpn"');
export const MARK = number('an integer such as 0x10');
export const SECONDS = number('a number of seconds');

export const HOST = construct('LinuxHost');
export const VPN_EGRESS = construct('VpnEgress');
export const TABLE = construct('SourceRoutingTable');

export const FAMILY = member('IpFamily', IpFamily);
export const IP_PROTOCOL = instance<IpProtocol>('IpProtocol', 'number', 'one such as IpProtocol.TCP');
export const RANGE = instance<NumberRange>('NumberRange', 'first', 'one such as NumberRange.between(5000, 5009)');
export const RULE_ACTION = instance<RuleAction>('RuleAction', '_action', 'one such as RuleAction.unreachable()');
export const EXPECTED = instance<Expected>('Expected', '_dispositions', 'one such as Expected.via("192.168.1.1")');
export const PERSISTENCE = instance<Persistence>('Persistence', '_choice', 'one such as Persistence.service()');
export const DRIFT = instance<Drift>('Drift', '_timeoutSeconds', 'one such as Drift.inPlan()');
export const LOCAL_TRAFFIC = instance<LocalTraffic>('LocalTraffic', '_daemon', 'one such as LocalTraffic.mainTable()');
export const FORWARDING = instance<Forwarding>('Forwarding', '_forwarding', 'one such as Forwarding.nftables()');
export const SOURCE_NAT = instance<SourceNat>('SourceNat', '_translated', 'one such as SourceNat.unmanaged()');
export const RESOLVER = instance<Resolver>('Resolver', '_queries', 'one such as Resolver.user(105)');
export const VPN_DAEMON = instance<VpnDaemon>('VpnDaemon', 'upHook', 'one such as VpnDaemon.openVpn()');
