import type { Description } from '../../lib/fib/build';
import { prefixText } from '../../lib/fib/bits';
import type { PacketHeader } from '../../lib/fib/packet';
import { UNSPECIFIED } from '../../lib/fib/packet';
import type { Link, LinkAddress } from '../../lib/fib/machine';
import { kernelRules } from '../../lib/fib/machine';
import type { Route } from '../../lib/model/route';
import { defaultMetric, routeWords } from '../../lib/model/route';
import type { Rule, Word } from '../../lib/model/rule';
import { ruleWords } from '../../lib/model/rule';

/** Makes the kernel have a description, as lines of shell. */
export function machineCommands(description: Description): string[] {
  const { links, rules, routes, sysctls = {} } = description;
  return [
    ...sysctlCommands(sysctls.ignoreRoutesWithLinkdown ?? false, sysctls.srcValidMark ?? false),
    'ip link set lo up',
    // The kernel keeps the tables local and main together until there has been a rule.
    'ip -4 rule add pref 1; ip -4 rule del pref 1',
    ...links.flatMap(linkCommands),
    ...awaitIpv6(links),
    ...routes.map(routeCommand),
    ...kernelRules()
      .filter((own) => !rules.some((rule) => rule.path === own.path && sameRule(rule, own)))
      .map((rule) => `ip -${rule.family} rule del pref ${rule.priority}`),
    ...rules.filter(({ path }) => path !== 'kernel').map(ruleCommand),
    ...links.filter(({ state }) => state === 'down').map(({ name }) => `ip link set ${name} down`),
  ];
}

/** Asks it about a packet. */
export function packetCommand(packet: PacketHeader): string {
  const { family, source, inputInterface, outputInterface, mark, tos, uid, ipProtocol } = packet;
  const words = [
    ...['route', 'get', prefixText(packet.destination, family)],
    ...(source === undefined || (source === UNSPECIFIED[4] && inputInterface === undefined)
      ? []
      : ['from', prefixText(source, family)]),
    ...(inputInterface === undefined ? [] : ['iif', inputInterface]),
    ...(outputInterface === undefined ? [] : ['oif', outputInterface]),
    ...(mark ? ['mark', `0x${mark.toString(16)}`] : []),
    ...(tos ? ['tos', `0x${tos.toString(16)}`] : []),
    ...['uid', uid],
    ...(ipProtocol === undefined ? [] : ['ipproto', ipProtocol]),
    ...(packet.sourcePort === undefined ? [] : ['sport', packet.sourcePort]),
    ...(packet.destinationPort === undefined ? [] : ['dport', packet.destinationPort]),
  ];
  return `ip -${family} ${words.join(' ')}`;
}

function sysctlCommands(ignoreLinkdown: boolean, srcValidMark: boolean): string[] {
  return [
    'cd /proc/sys/net',
    'echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding',
    'echo 1 >ipv6/conf/default/addr_gen_mode',
    'echo 0 >ipv4/conf/all/rp_filter; echo 0 >ipv4/conf/default/rp_filter',
    ...(ignoreLinkdown
      ? ['for f in 4 6; do for c in all default; do echo 1 >ipv$f/conf/$c/ignore_routes_with_linkdown; done; done']
      : []),
    ...(srcValidMark ? ['echo 1 >ipv4/conf/all/src_valid_mark'] : []),
  ];
}

/** IPv6 takes its time until an address is one of the machine, be it milliseconds. */
function awaitIpv6(links: readonly Link[]): string[] {
  const count = links.flatMap(({ addresses }) => addresses.filter(({ family }) => family === 6)).length;
  const all = `[ $(ip -6 route show table local type local | wc -l) -gt ${count} ]`;
  return count === 0 ? [] : [`n=0; until ${all} || [ $n = 200 ]; do n=$((n + 1)); sleep 0.01; done`];
}

/** A bridge has a carrier, a pair of which only one is up has none. */
function linkCommands(link: Link): string[] {
  const { name, group = 0, state, addresses, reversePathFilter = 0 } = link;
  const type = state === 'no carrier' ? `veth peer name ${name}-peer` : 'bridge';
  return [
    `ip link add ${name} type ${type}`,
    `ip link set ${name} group ${group} up`,
    ...(reversePathFilter > 0 ? [`echo ${reversePathFilter} >ipv4/conf/${name}/rp_filter`] : []),
    ...addresses.map((address) => addressCommand(link, address)),
  ];
}

export function addressCommand({ name }: Link, { text, family, broadcast }: LinkAddress): string {
  const words = [family === 6 ? 'nodad' : '', broadcast === undefined ? '' : `brd ${broadcast}`].filter(Boolean);
  return [`ip -${family} address add ${text} dev ${name}`, ...words].join(' ');
}

export function routeCommand(route: Route): string {
  const [type, rest] =
    route.type === undefined ? ['', routeWords(route)] : [`${route.type} `, routeWords(route).slice(2)];
  const metric = route.metric ?? defaultMetric(route.family);
  return `ip -${route.family} route add ${type}${textOf(route.destination)} table ${route.tableId} metric ${metric} ${rest.map(textOf).join(' ')}`.trim();
}

export function ruleCommand(rule: Rule): string {
  return `ip -${rule.family} rule add pref ${rule.priority} ${ruleWords(rule).map(textOf).join(' ')}`;
}

function sameRule(a: Rule, b: Rule): boolean {
  return a.family === b.family && a.priority === b.priority;
}

function textOf(word: Word): string {
  return typeof word === 'string' ? word : word.text;
}
