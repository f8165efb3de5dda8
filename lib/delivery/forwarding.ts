import { createHash } from 'node:crypto';
import { labelOf, pathLabel } from '../model/expectation';
import type { Accepted, FirewallChain, Sysctl } from '../model/forwarding';
import { acceptedPackets, forwardingSysctls, poolPrefixes } from '../model/forwarding';
import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import type { Host } from '../model/host';
import type { Word } from '../model/rule';
import type { Value } from '../model/value';
import type { HostFile } from '../persistence/persistence';
import { HEADER } from '../persistence/persistence';
import { interfaceSet, prefixMatches, protocol } from './nftables';

/** A rule in a chain of somebody else's firewall. */
interface AcceptRule {
  /** Family (or the command of iptables), table and name. */
  readonly chain: string;
  /** Its text, in parts. */
  readonly parts: readonly Word[];
}

/** The rules that chains of firewalls get, as `nft` and `iptables` take them. */
export function acceptRules({ forwardings, interfaces }: Host): AcceptRule[] {
  const rules = forwardings.flatMap((forwarding) =>
    forwarding.chains.flatMap((chain) =>
      acceptedPackets(forwarding, interfaces).flatMap((packets) => rulesIn(chain, packets)),
    ),
  );
  return [...new Map(rules.map((rule) => [JSON.stringify(rule), rule])).values()];
}

function rulesIn(chain: FirewallChain, packets: Accepted): AcceptRule[] {
  const { family } = packets;
  if (chain.program === 'iptables') {
    const command = family === 4 ? 'iptables' : 'ip6tables';
    return iptablesRules(packets).map((parts) => ({ chain: `${command} filter ${chain.name}`, parts }));
  }
  if (chain.program === 'firewalld') {
    return [];
  }
  const ofFamily = chain.family === 'inet' || chain.family === protocol(family);
  const name = `${chain.family} ${chain.table} ${chain.name}`;
  return ofFamily ? nftablesRules(packets).map((parts) => ({ chain: name, parts })) : [];
}

/** The length of the longest name that firewalld takes for a policy. */
const MOST_OF_POLICY = 17;

function acceptedByFirewalld({ forwardings }: Host, family: Family): string[] {
  const all = forwardings.filter(({ chains }) => chains.some(({ program }) => program === 'firewalld'));
  return poolPrefixes(
    all.flatMap(({ clients }) => clients),
    family,
  );
}

/** A policy of firewalld that accepts packets from the pools between all zones. firewalld accepts replies by itself. */
export function firewalldPolicies(host: Host): HostFile[] {
  const { owner } = host;
  const rules = BOTH_FAMILIES.flatMap((family) =>
    acceptedByFirewalld(host, family).map(
      (prefix) => `  <rule family="ipv${family}"><source address="${prefix}"/><accept/></rule>`,
    ),
  );
  const name = `sr-${owner}`;
  const short =
    name.length <= MOST_OF_POLICY
      ? name
      : `sr-${createHash('sha256').update(owner).digest('hex')}`.slice(0, MOST_OF_POLICY);
  return rules.length === 0
    ? []
    : [
        {
          path: `/etc/firewalld/policies/${short}.xml`,
          mode: '0644',
          lines: [
            '<?xml version="1.0" encoding="utf-8"?>',
            // A negative priority comes before the zones.
            '<policy target="CONTINUE" priority="-5">',
            `  <description>Packets of VPN clients. Managed by cdktf-source-routing (${owner}): changes here are lost.</description>`,
            '  <ingress-zone name="ANY"/>',
            '  <egress-zone name="ANY"/>',
            ...rules,
            '</policy>',
          ].map((line) => [line]),
        },
      ];
}

/**
 * The settings for the boot. The name sorts behind `99-sysctl.conf`, which is `/etc/sysctl.conf` of Debian, and may
 * switch forwarding off.
 */
export function sysctlFiles(host: Host): HostFile[] {
  const settings = forwardingSysctls(host);
  return settings.length === 0
    ? []
    : [
        {
          path: `/etc/sysctl.d/99-z-source-routing-${host.owner}.conf`,
          mode: '0644',
          lines: [HEADER, ...settings.map(({ key, value }) => [...key.map(withSlashes), ` = ${value}`])],
        },
      ];
}

export function forwardingFiles(host: Host): HostFile[] {
  return [...sysctlFiles(host), ...firewalldPolicies(host)];
}

/** What becomes of a change if packets of an egress's clients do not get through, or not with their source. */
export function probeLines(host: Host): Array<readonly Word[]> {
  return host.forwardings.flatMap(({ path, device, required, mssClamp, translated, translates, inputs }) => {
    const label = labelOf(path, '');
    return [
      [`probe ${required ? 'refuse' : 'unmanaged'} ${label}`],
      // Routing may reject packets of clients on a router, but no firewall may.
      ...(inputs ? [[`probe routed ${label}`]] : []),
      // Their connections need no error that tells how large a packet may be.
      ...(mssClamp ? [[`probe clamped ${label}`]] : []),
      ...(translated ? [[`probe translated ${label}`]] : []),
      ...(translates ? [[`probe translates ${label} `, device]] : []),
    ];
  });
}

/** The way of clients' packets, as a plan shows it. The default, in which nothing is configured, is not shown. */
export function forwardingTriggers(host: Host, plain: (parts: readonly Word[]) => string): Array<[string, string]> {
  const entry = (word: string, path: string, text: string): [string, string] => [`${word} ${pathLabel(path)}`, text];
  const accepted = BOTH_FAMILIES.flatMap((family) => acceptedByFirewalld(host, family));
  const translating = host.translations.map(({ path }) => path);
  return [
    ...host.forwardings.flatMap(({ path, required, translated, mssClamp }) => [
      ...(required ? [] : [entry('forwarding', path, 'unmanaged')]),
      ...(translated && !translating.includes(path) ? [entry('source nat', path, 'unmanaged')] : []),
      ...(mssClamp ? [entry('mss clamp', path, 'path MTU')] : []),
    ]),
    ...host.translations.map(({ path, device, clients, addresses }) => {
      const list = (values: readonly Value[]): string => values.map((value) => plain([value])).join(', ');
      const source = addresses.length === 0 ? 'masquerade' : `to ${list(addresses)}`;
      return entry('nat', path, `${list(clients)} by ${plain([device])} ${source}`);
    }),
    ...forwardingSysctls(host).map(({ key, value }): [string, string] => [
      `sysctl ${keyText(key)}`,
      key.length === 1 ? String(value) : `${plain(key)} = ${value}`,
    ]),
    ...chainTexts(acceptRules(host), plain),
    ...(accepted.length === 0 ? [] : [['firewalld', `accepts from ${accepted.join(', ')}`] as [string, string]]),
  ];
}

function chainTexts(rules: readonly AcceptRule[], plain: (parts: readonly Word[]) => string): Array<[string, string]> {
  const chains = [...new Set(rules.map(({ chain }) => chain))];
  return chains.map((chain) => [
    `chain ${chain}`,
    rules
      .filter((rule) => rule.chain === chain)
      .map(({ parts }) => plain(parts))
      .join('; '),
  ]);
}

function keyText(key: Sysctl['key']): string {
  // Keys of a plan must be known at synth.
  return key.map((part) => (typeof part === 'string' ? part : (part.deferredFor ?? part.text))).join('');
}

/** In a name of an interface, a dot would be taken for a separator. */
function withSlashes(part: string | Value): string | Value {
  return typeof part === 'string' ? part.replace(/\./g, '/') : part;
}

function nftablesRules({
  family,
  inputInterfaces,
  outputInterfaces,
  sources,
  destinations,
  replies,
}: Accepted): Word[][] {
  const choices = (address: 'saddr' | 'daddr', prefixes: readonly string[]): string[] =>
    prefixes.length === 0 ? [''] : prefixMatches(address, prefixes, family).map((match) => `${match} `);
  return choices('saddr', sources).flatMap((source) =>
    choices('daddr', destinations).map((destination) => [
      ...['iifname ', ...interfaceSet(inputInterfaces), ' oifname ', ...interfaceSet(outputInterfaces), ' '],
      ...[source, destination],
      replies ? 'ct state established,related ' : '',
      'accept',
    ]),
  );
}

/** One for each combination: iptables has no sets. */
function iptablesRules({ inputInterfaces, outputInterfaces, sources, destinations, replies }: Accepted): Word[][] {
  const choices = (option: string, prefixes: readonly string[]): string[] =>
    prefixes.length === 0 ? [''] : prefixes.map((prefix) => `${option} ${prefix} `);
  return inputInterfaces.flatMap((input) =>
    outputInterfaces.flatMap((output) =>
      choices('-s', sources).flatMap((source) =>
        choices('-d', destinations).map((destination) => [
          ...['-i ', input, ' -o ', output, ' ', source, destination],
          replies ? '-m conntrack --ctstate RELATED,ESTABLISHED ' : '',
          '-j ACCEPT',
        ]),
      ),
    ),
  );
}
