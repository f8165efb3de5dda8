import { labelOf } from '../model/expectation';
import type { Family } from '../model/family';
import type { Accepted, FirewallChain, Forwarding, Sysctl } from '../model/forwarding';
import { acceptedPackets, forwardingSysctls } from '../model/forwarding';
import type { Host } from '../model/host';
import type { Word } from '../model/rule';
import type { Value } from '../model/value';
import type { HostFile } from '../persistence/persistence';
import { HEADER } from '../persistence/persistence';

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
  const ofFamily = chain.family === 'inet' || chain.family === protocol(family);
  return ofFamily ? [{ chain: `${chain.family} ${chain.table} ${chain.name}`, parts: nftablesRule(packets) }] : [];
}

/**
 * The settings for the boot. The name sorts behind `99-sysctl.conf`, which is `/etc/sysctl.conf` of Debian, and may
 * switch forwarding off.
 */
export function forwardingFiles(host: Host): HostFile[] {
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

/** What becomes of a change if packets of the egress's clients do not get through, or not with their source. */
export function probeLines({ path, required, translated }: Forwarding): string[] {
  const label = labelOf(path, '');
  return [`probe ${required ? 'refuse' : 'unmanaged'} ${label}`, ...(translated ? [`probe translated ${label}`] : [])];
}

/** The way of clients' packets, as a plan shows it. The default, in which nothing is configured, is not shown. */
export function forwardingTriggers(host: Host, plain: (parts: readonly Word[]) => string): Array<[string, string]> {
  return [
    ...host.forwardings
      .filter(({ inputs }) => !inputs)
      .flatMap(({ path, required, translated, mssClamp }): Array<[string, string]> => [
        ...(required ? [] : [[`forwarding ${labelOf(path, '').slice(0, -1)}`, 'unmanaged'] as [string, string]]),
        ...(translated ? [[`source nat ${labelOf(path, '').slice(0, -1)}`, 'unmanaged'] as [string, string]] : []),
        ...(mssClamp ? [[`mss clamp ${labelOf(path, '').slice(0, -1)}`, 'path MTU'] as [string, string]] : []),
      ]),
    ...host.translations.map(({ path, device, clients, addresses }): [string, string] => [
      `nat ${labelOf(path, '').slice(0, -1)}`,
      [
        ...[clients.map((pool) => plain([pool])).join(', '), 'by', plain([device])],
        ...(addresses.length === 0 ? ['masquerade'] : ['to', addresses.map((each) => plain([each])).join(', ')]),
      ].join(' '),
    ]),
    ...forwardingSysctls(host).map(({ key, value }): [string, string] => [
      `sysctl ${keyText(key)}`,
      key.length === 1 ? String(value) : `${plain(key)} = ${value}`,
    ]),
    ...chainTexts(acceptRules(host), plain),
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

function nftablesRule({ family, inputInterfaces, outputInterfaces, sources, destinations, replies }: Accepted): Word[] {
  const addresses = (word: string, prefixes: readonly string[]): string =>
    prefixes.length === 0 ? '' : `${protocol(family)} ${word} { ${prefixes.join(', ')} } `;
  return [
    'iifname { ',
    ...quoted(inputInterfaces),
    ' } oifname { ',
    ...quoted(outputInterfaces),
    ' } ',
    addresses('saddr', sources),
    addresses('daddr', destinations),
    replies ? 'ct state established,related ' : '',
    'accept',
  ];
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

function quoted(devices: readonly Value[]): Word[] {
  return devices.flatMap((device, index) => [index === 0 ? '"' : ', "', device, '"']);
}

function protocol(family: Family): 'ip' | 'ip6' {
  return family === 4 ? 'ip' : 'ip6';
}
