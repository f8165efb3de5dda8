import { BOTH_FAMILIES, familyOf, overlaps } from '../model/family';
import type { Family } from '../model/family';
import type { Forwarding } from '../model/forwarding';
import type { Host } from '../model/host';
import type { Allowance, Exits, KillSwitch } from '../model/kill-switch';
import { killSwitch } from '../model/kill-switch';
import { oncePerObject, pushTo } from '../model/maps';
import type { Marking } from '../model/marking';
import { isOf, sysctls } from '../model/marking';
import { aggregated } from '../model/prefixes';
import { hex } from '../model/rule';
import type { Translation } from '../model/translation';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import type { HostFile, Lines, Piece, Unit } from '../persistence/persistence';
import { HEADER, textLines } from '../persistence/persistence';
import { interfaceSet, prefixMatches, protocol, setOf } from './nftables';

/** Priority of the chain: before the chains of others at 0, though a rejection counts at any priority. */
const PRIORITY = -10;

/** Markers around the allowances. During a change, the agent merges those of both generations. */
const ALLOWED = '\t\t# May pass:';
const REST = '\t\t# All else:';

const REJECT = 'reject with icmpx type admin-prohibited';

export interface KillSwitchFiles {
  readonly files: readonly HostFile[];
  readonly units: readonly Unit[];
}

/**
 * The kill switch of a host and its marks, as a file for `nft -f`, and the unit that loads it at boot. It needs neither
 * /var nor the agent, so it fails closed even if a disk does not mount.
 */
export const killSwitchFiles = oncePerObject((host: Host): KillSwitchFiles => {
  const wanted = killSwitch(host);
  const { owner, markings, translations } = host;
  if (!wanted && markings.length === 0 && translations.length === 0) {
    return { files: [], units: [] };
  }
  const path = `/etc/source-routing/${owner}.nft`;
  const unit = `source-routing-${owner}.kill-switch.service`;
  return {
    files: [
      { path, mode: '0644', lines: rulesetLines(host, wanted), nftablesOnly: true },
      {
        path: `/etc/systemd/system/${unit}`,
        mode: '0644',
        lines: textLines(unitText(owner, path)),
        systemdOnly: true,
        nftablesOnly: true,
      },
      ...(sysctls(host).length === 0 ? [] : [sysctlFile(host)]),
    ],
    units: [{ name: unit, systemdOnly: true, nftablesOnly: true }],
  };
});

/** Settings for the boot. Without nftables, there are no marks to reflect. */
function sysctlFile(host: Host): HostFile {
  return {
    path: `/etc/sysctl.d/60-source-routing-${host.owner}.conf`,
    mode: '0644',
    lines: [HEADER, ...sysctls(host).map(([key, value]) => [`${key} = ${value}`])],
    nftablesOnly: true,
  };
}

/** The marks and their settings, as a plan shows them. */
export function markingTriggers(host: Host, plain: (word: Value) => string): Array<[string, string]> {
  return [
    ...host.markings.map(({ device, destinations, mark }): [string, string] => [
      // Keys must be known at synth.
      `mark from ${device.deferredFor ?? device.text} ${hex(mark)}`,
      `to ${destinations.map(plain).join(', ')}`,
    ]),
    ...sysctls(host).map(([key, value]): [string, string] => [`sysctl ${key}`, String(value)]),
  ];
}

/** The allowances, as a plan shows them. */
export function killSwitchTriggers(host: Host, plain: (word: Value | string) => string): Array<[string, string]> {
  const exits = new Map<string, string[]>();
  for (const { family, source, inputInterface, destination, exits: by } of killSwitch(host)?.allowances ?? []) {
    const selectors = [
      ...(family === 'auto' ? [] : [`ipv${family}`]),
      ...(inputInterface ? ['iif', plain(inputInterface)] : []),
      // Keys must be known at synth.
      ...(source ? ['from', source.deferredFor ?? source.text] : []),
      ...(destination ? ['to', destination.deferredFor ?? destination.text] : []),
    ];
    pushTo(exits, ['kill switch', ...selectors].join(' '), exitsText(by, plain));
  }
  return [...exits].map(([key, texts]) => [key, [...new Set(texts)].join(', ')]);
}

function exitsText(exits: Exits, plain: (word: Value) => string): string {
  switch (exits.kind) {
    case 'all':
      return 'any interface';
    case 'only':
      return exits.devices.length === 0 ? 'none' : exits.devices.map(plain).join(', ');
    case 'except':
      return `any but ${exits.devices.map(plain).join(', ')}`;
  }
}

/**
 * Runs before the network comes up, and again when nftables.service is reloaded or restarted, which flushes the whole
 * ruleset.
 */
function unitText(owner: string, path: string): string {
  return `${HEADER.map(String).join('')}
[Unit]
Description=Source routing: kill switch of ${owner}
Documentation=man:nft(8)
DefaultDependencies=no
Conflicts=shutdown.target
After=nftables.service systemd-modules-load.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=nft -f ${path}
ExecReload=nft -f ${path}

[Install]
WantedBy=multi-user.target
`;
}

function rulesetLines({ owner, markings, forwardings, translations }: Host, wanted: KillSwitch | undefined): Lines {
  const clamped = forwardings.filter(({ mssClamp }) => mssClamp);
  const table = `inet source_routing_${owner}`;
  return [
    HEADER,
    // Deleting a missing table would be an error.
    [`table ${table}`],
    [`delete table ${table}`],
    [`table ${table} {`],
    ...(markings.length === 0 ? [] : markLines(markings)),
    ...(clamped.length === 0 ? [] : mssLines(clamped)),
    ...(translations.length === 0 ? [] : natLines(translations)),
    ...(wanted ? killSwitchLines(wanted) : []),
    ['}'],
  ];
}

/** Marks packets before routing. It leaves marks of other software alone. */
function markLines(markings: readonly Marking[]): Lines {
  return [
    ['\t# Errors about packets to VPN clients go back the way that those came.'],
    ['\tchain prerouting {'],
    ['\t\ttype filter hook prerouting priority -150; policy accept;'],
    ...markings.flatMap(({ device, destinations, mark }) =>
      byFamily(destinations).flatMap(({ family, values }) =>
        addressMatches('daddr', values, family).map((match): Piece[] => [
          ...['\t\tiifname "', device, '" ', ...match],
          ` meta mark 0 meta mark set ${hex(mark)}`,
        ]),
      ),
    ),
    ['\t}'],
  ];
}

/** Behind rules of others that may have raised the size, and in front of the kill switch. */
function mssLines(forwardings: readonly Forwarding[]): Lines {
  const clamp = ' tcp flags syn tcp option maxseg size set rt mtu';
  return [
    ['\t# TCP connections of VPN clients keep to the path MTU.'],
    ['\tchain clamp {'],
    ['\t\ttype filter hook forward priority -140; policy accept;'],
    ...forwardings.flatMap(({ device, clients }) =>
      byFamily(clients).flatMap(({ family, values }) => [
        ...addressMatches('saddr', values, family).map((match) => ['\t\toifname "', device, '" ', ...match, clamp]),
        ...addressMatches('daddr', values, family).map((match) => ['\t\tiifname "', device, '" ', ...match, clamp]),
      ]),
    ),
    ['\t}'],
  ];
}

/** Others may translate the packets first. */
function natLines(translations: readonly Translation[]): Lines {
  return [
    ['\t# Packets of VPN clients get an address of this machine.'],
    ['\tchain postrouting {'],
    ['\t\ttype nat hook postrouting priority 100; policy accept;'],
    ...translations.flatMap(({ device, clients, addresses }) =>
      byFamily(clients).flatMap(({ family, values }) =>
        addressMatches('saddr', values, family).flatMap((match) => {
          const start = ['\t\toifname "', device, '" ', ...match];
          return addresses.length === 0
            ? [[...start, ' masquerade']]
            : addresses
                .filter((address) => isOf(address, family))
                .map((address) => [...start, ` snat ${protocol(family)} to `, ...exactly(address, family)]);
        }),
      ),
    ),
    ['\t}'],
  ];
}

/** An address that may turn out to be of another family, in which the line is left out. */
function exactly(address: Value, family: Family): Piece[] {
  return isKnown(address) ? [address.text] : [{ value: address, family }];
}

/** The prefixes of each family, those known at synth together and each of the others alone. */
function byFamily(values: readonly Value[]): Array<{ readonly family: Family; readonly values: readonly Value[] }> {
  return BOTH_FAMILIES.flatMap((family) => {
    const known = values.filter((value) => value.family === family && isKnown(value));
    const unknown = values.filter((value) => isOf(value, family) && !isKnown(value));
    return [...(known.length === 0 ? [] : [aggregatedPrefixes(known, family)]), ...unknown.map((each) => [each])].map(
      (each) => ({ family, values: each }),
    );
  });
}

function killSwitchLines(wanted: KillSwitch): Lines {
  const { clients, tunnels, allowances } = wanted;
  const sources = byFamily(clients).flatMap(({ family, values }) => addressMatches('saddr', values, family));
  const names = setOf(tunnels.map(({ name }) => quoted(name)));
  return [
    ['\t# Packets of VPN clients that would leave by an interface that is not declared for them are rejected.'],
    ['\tchain forward {'],
    [`\t\ttype filter hook forward priority ${PRIORITY}; policy accept;`],
    ...(tunnels.length === 0 ? [] : [[`\t\tiifname ${names} goto tunnels`]]),
    ...sources.map((match) => ['\t\t', ...match, ' goto clients']),
    ['\t}'],
    ...(tunnels.length === 0 ? [] : [['\tchain tunnels {'], ...spoofedLines(wanted), ['\t\tgoto clients'], ['\t}']]),
    ['\tchain clients {'],
    [ALLOWED],
    ...allowanceLines(allowances),
    [REST],
    ...sources.map((match) => ['\t\t', ...match, ` ${REJECT}`]),
    ...tunnels.filter(({ anySource }) => anySource).map(({ name }) => [`\t\tiifname ${quoted(name)} ${REJECT}`]),
    // An ICMP error would go to the owner of that address, by the uplink.
    ['\t\tdrop'],
    ['\t}'],
  ];
}

/** Addresses that a client behind a tunnel cannot have. */
function spoofedLines({ tunnels, ownAddresses }: KillSwitch): string[][] {
  return BOTH_FAMILIES.flatMap((family) => {
    const own = ownAddresses.filter((address) => familyOf(address) === family);
    return [
      ...prefixMatches('saddr', own, family).map((match) => [`\t\t${match} drop`]),
      ...(tunnels.length === 1 ? [] : tunnels).flatMap(({ name, sources }) => {
        const texts = sources.filter((source) => source.family === family).map(({ text }) => text);
        return prefixMatches('saddr', texts, family).map((match) => [`\t\tiifname != ${quoted(name)} ${match} drop`]);
      }),
    ];
  });
}

/** Merges allowances of one family that differ in one address only. */
function allowanceLines(allowances: readonly Allowance[]): Piece[][] {
  return BOTH_FAMILIES.flatMap((family) => {
    const groups = new Map<string, Match[]>();
    for (const allowance of allowances.filter((each) => overlaps(each.family, family))) {
      const match = matchOf(allowance);
      if (match.exits.kind !== 'only' || match.exits.devices.length > 0) {
        pushTo(groups, keyOf(match, 'sources'), match);
      }
    }
    const bySource = [...groups.values()].map((matches) => mergeMatches(matches, 'sources', family));
    const groupsTo = new Map<string, Match[]>();
    bySource.forEach((match) => pushTo(groupsTo, keyOf(match, 'destinations'), match));
    return [...groupsTo.values()]
      .map((matches) => mergeMatches(matches, 'destinations', family))
      .flatMap((match) => matchLines(match, family));
  });
}

/** Undefined if it matches everything. A deferred value stays alone. */
interface Match {
  readonly inputInterface?: Value;
  readonly sources?: readonly Value[];
  readonly destinations?: readonly Value[];
  readonly exits: Exits;
}

function matchOf({ inputInterface, source, destination, exits }: Allowance): Match {
  return { inputInterface, sources: source && [source], destinations: destination && [destination], exits };
}

/** The key of allowances that can be merged. */
function keyOf(match: Match, by: 'sources' | 'destinations'): string {
  const alone = match[by] === undefined || match[by].some((value) => !isKnown(value));
  return JSON.stringify(alone ? match : { ...match, [by]: [] });
}

function mergeMatches(matches: readonly Match[], by: 'sources' | 'destinations', family: Family): Match {
  const values = matches.flatMap((match) => match[by] ?? []);
  if (matches[0][by] === undefined || values.some((value) => !isKnown(value))) {
    return matches[0];
  }
  return { ...matches[0], [by]: aggregatedPrefixes(values, family) };
}

function aggregatedPrefixes(values: readonly Value[], family: Family): Value[] {
  const texts = aggregated(
    values.map(({ text }) => text),
    family,
  );
  return texts.map((text) => ({ kind: 'prefix', text, family }));
}

function matchLines({ inputInterface, sources, destinations, exits }: Match, family: Family): Piece[][] {
  const choices = (address: 'saddr' | 'daddr', values?: readonly Value[]): Piece[][] =>
    values ? addressMatches(address, values, family).map((match) => [...match, ' ']) : [[]];
  return choices('saddr', sources).flatMap((source) =>
    choices('daddr', destinations).map((destination) => [
      '\t\t',
      ...(inputInterface ? ['iifname ', ...interfaceSet([inputInterface]), ' '] : []),
      ...source,
      ...destination,
      ...((sources ?? destinations) ? [] : [`meta nfproto ipv${family} `]),
      ...exitPieces(exits),
      'accept',
    ]),
  );
}

function exitPieces(exits: Exits): Piece[] {
  return exits.kind === 'all'
    ? []
    : [exits.kind === 'only' ? 'oifname ' : 'oifname != ', ...interfaceSet(exits.devices), ' '];
}

function addressMatches(address: 'saddr' | 'daddr', values: readonly Value[], family: Family): Piece[][] {
  const [only] = values;
  if (!isKnown(only)) return [[`${protocol(family)} ${address} `, { value: only, family }]];
  const texts = values.map(({ text }) => text);
  return prefixMatches(address, texts, family).map((match) => [match]);
}

function quoted(name: string): string {
  return `"${name}"`;
}
