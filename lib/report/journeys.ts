import type { Bits } from '../lookup/bits';
import { prefixBits, prefixText } from '../lookup/bits';
import type { Description } from '../lookup/build';
import { buildMachine, withLinksDown } from '../lookup/build';
import { decide } from '../lookup/decide';
import type { Flow, Kind } from '../lookup/flow';
import { UNSPECIFIED } from '../lookup/flow';
import { describeHost } from '../lookup/from-host';
import { kindsOf } from '../lookup/kinds';
import { networkBits } from '../lookup/kernel-routes';
import type { Machine } from '../lookup/machine';
import { LOCAL_TABLE_ID } from '../lookup/machine';
import type { Outcome, OutcomeKind } from '../lookup/outcome';
import { stepsOf } from '../lookup/outcome';
import { numbersOf } from '../lookup/representatives';
import type { ReadyRule } from '../lookup/rules';
import type { ReadyRoute } from '../lookup/table';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, overlaps } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import type { Rule } from '../model/rule';
import { ruleWords } from '../model/rule';
import type { Fate } from './picture';
import { someAddress } from './some-address';
import { withPlaceholders } from './placeholders';

/** Where packets come from between which no rule tells a difference. */
export interface Origin {
  readonly kind: 'clients' | 'server' | 'others';
  readonly family: Family;
  /** Where they come in, as far as that is declared. */
  readonly links: readonly string[];
  /** Prefixes, or addresses of the server's own; none for any. */
  readonly sources: readonly string[];
  /** What else tells them apart, in the words of `ip rule`. */
  readonly selectors: string;
  /** Whether some of them take the same way through other tables or tunnels. */
  readonly alike: boolean;
  readonly flow: Omit<Flow, 'destination'>;
}

/** Where packets are for: destinations between which neither rules nor tables tell a difference. */
export interface Target {
  readonly kind: 'clients' | 'network' | 'rest';
  readonly family: Family;
  readonly destinations: readonly string[];
  readonly example: Bits;
}

/** One way that packets may take. */
export interface Way {
  readonly fate: Fate;
  readonly kind: OutcomeKind;
  /** The rule that decides, as it is declared; none where no rule has a route. */
  readonly rule?: Rule;
  readonly tableId?: number;
  readonly route?: ReadyRoute;
  readonly device?: string;
  readonly via?: string;
}

export interface Journey {
  readonly origin: Origin;
  readonly target: Target;
  /** With all links up. */
  readonly ways: readonly Way[];
  /** By the link that is down; none where its packets no longer come in. */
  readonly down: ReadonlyMap<string, readonly Way[]>;
}

export interface Journeys {
  readonly journeys: readonly Journey[];
  /** The links of which one at a time is taken to be down. */
  readonly links: readonly string[];
  /** The host with an address for each prefix that is known at apply only, and the names of those. */
  readonly host: Host;
  readonly names: ReadonlyMap<Bits, string>;
  /** Those of the kernel and the guards, too. */
  readonly rules: readonly Rule[];
}

/** Of more origins, or targets, those count as one that differ in nothing but the number of a table or the name of a tunnel. */
const MOST_ORIGINS = 48;
const MOST_TARGETS = 16;
const MOST_KINDS = 16;

/**
 * The packets that a host may meet, and where each of them goes, with all links up and with each one down.
 * One packet stands for all between which neither rules nor tables tell a difference.
 */
export function journeysOf(host: Host): Journeys {
  const { host: known, names } = withPlaceholders(host);
  const description = withHooksFor(clientLinks(known), describeHost(known));
  const machine = buildMachine(description);
  const links = egressLinks(known);
  const machines = new Map(links.map((link) => [link, buildMachine(withLinksDown(description, [link]))]));
  const journeys = BOTH_FAMILIES.flatMap((family) => {
    const targets = targetsOf(known, machine, family, names);
    const travel = (origin: Origin): Journey[] =>
      targets
        .filter(({ kind }) => origin.kind !== 'others' || kind !== 'network')
        .map((target) => journey(machine, machines, origin, target));
    const origins = originsOf(known, machine, family, names);
    return origins.flatMap(({ plain, others }) => {
      const usual = travel(plain);
      const different = others
        .map(travel)
        .filter((journeys_) => journeys_.some((each, index) => keyOf(each) !== keyOf(usual[index])));
      return [usual, ...distinct(different, (each) => each.map(keyOf).join())].flat();
    });
  });
  return { journeys, links, host: known, names, rules: description.rules };
}

/** What two journeys that packets take alike have in common. */
export function keyOf({ ways, down }: Journey): string {
  return [ways, ...down.values()].map(waysKey).join(' | ');
}

export function waysKey(ways: readonly Way[]): string {
  return ways
    .map(({ kind, device, via, tableId, rule }) =>
      [kind, device, via, tableId, tableId === undefined && rule?.action.kind].join(' '),
    )
    .sort()
    .join(', ');
}

function journey(machine: Machine, machines: ReadonlyMap<string, Machine>, origin: Origin, target: Target): Journey {
  const flow: Flow = { ...origin.flow, destination: target.example };
  const down = [...machines].filter(([link]) => link !== flow.inputInterface);
  return {
    origin,
    target,
    ways: waysOf(machine, flow),
    down: new Map(down.map(([link, without]) => [link, waysOf(without, flow)])),
  };
}

function waysOf(machine: Machine, flow: Flow): Way[] {
  return distinct(decide(machine, flow).map(wayOf), (way) => waysKey([way]));
}

function wayOf(outcome: Outcome): Way {
  const { kind, device, via, route } = outcome;
  const last = stepsOf(outcome).at(-1);
  const decided = kind === 'no route' ? undefined : last;
  const tableId = decided && 'tableId' in decided.said ? decided.said.tableId : undefined;
  return { fate: fateOf(outcome, tableId), kind, device, via, route, tableId, rule: decided?.rule.rule };
}

function fateOf({ kind, route, via }: Outcome, tableId: number | undefined): Fate {
  switch (kind) {
    case 'unicast':
      return route?.destination === '' || via !== undefined
        ? tableId === MAIN_TABLE_ID
          ? 'uplink'
          : 'egress'
        : 'local';
    case 'local':
    case 'broadcast':
    case 'multicast':
    case 'anycast':
      return 'local';
    case 'unknown':
      return tableId === MAIN_TABLE_ID ? 'uplink' : 'unknown';
    default:
      return 'rejected';
  }
}

/** The prefixes that rules treat as a source. */
function poolsOf(rules: readonly Rule[], family: Family): Bits[] {
  const sources = rules.filter((rule) => overlaps(rule.family, family)).flatMap(({ source }) => source ?? []);
  return distinct(
    sources.filter((source) => source.family === family).map(({ text }) => prefixBits(text)),
    String,
  ).filter((prefix) => prefix !== '');
}

/** The links that clients come in by. */
function clientLinks(host: Host): Set<string> {
  const pools = { 4: poolsOf(host.rules, 4), 6: poolsOf(host.rules, 6) };
  const named = host.rules.flatMap(({ inputInterface }) => inputInterface?.text ?? []);
  return new Set([
    ...named,
    ...host.interfaces
      .filter(({ addresses }) =>
        addresses.some((address) => {
          const network = networkBits(address);
          return pools[address.family].some((pool) => meet(pool, network));
        }),
      )
      .map(({ name }) => name),
  ]);
}

/** Those that some route leads through, and those that no client comes in by. */
function egressLinks(host: Host): string[] {
  const clients = clientLinks(host);
  const named = new Set(host.routes.flatMap(({ hops }) => hops.flatMap(({ device }) => device?.text ?? [])));
  return host.interfaces.map(({ name }) => name).filter((name) => named.has(name) || !clients.has(name));
}

/** Up hooks are run by the daemons of tunnels. */
function withHooksFor(links: ReadonlySet<string>, description: Description): Description {
  return {
    ...description,
    routes: description.routes.filter(
      (route) => !('possibleFor' in route) || route.hops.some(({ device }) => device && links.has(device.text)),
    ),
  };
}

function originsOf(host: Host, machine: Machine, family: Family, names: ReadonlyMap<Bits, string>): Origins[] {
  const tunnels = clientLinks(host);
  const pools = poolsOf(host.rules, family);
  const networks = host.interfaces.flatMap(({ name, addresses }) =>
    addresses.filter((each) => each.family === family).map((each) => ({ name, network: networkBits(each) })),
  );
  const rules = machine.sides[family].rules.inOrder;
  const prefixes = distinct(
    [...pools, ...networks.filter(({ name }) => tunnels.has(name)).map(({ network }) => network)],
    String,
  );
  const isOwn = [...(machine.sides[family].tables.get(LOCAL_TABLE_ID)?.destinations() ?? [])];
  const clients = prefixes
    .flatMap((prefix) => {
      const source = someAddress(family, prefix, [...prefixes, ...isOwn]);
      const links = networks.filter(({ network }) => meet(network, prefix)).map(({ name }) => name);
      const ways = links.length === 0 ? [undefined] : [...new Set(links)];
      return source === undefined ? [] : ways.map((link) => ({ prefix, source, link }));
    })
    .sort((a, b) => order(a.link, b.link, host));
  const like = tablesLike(host);
  const alike = grouped(
    clients,
    MOST_ORIGINS,
    ({ prefix, link }) => `${link ?? ''} ${names.has(prefix) ? prefix : rulesOf(prefix, rules)}`,
    ({ prefix }) => rulesLike(prefix, rules, like),
  );
  const named = [...new Set(rules.flatMap(({ inputInterface }) => inputInterface ?? []))].filter(
    (name) => !clients.some(({ link }) => link === name),
  );
  const others = [
    ...named,
    ...host.interfaces
      .filter(({ name, addresses }) => !tunnels.has(name) && addresses.some((each) => each.family === family))
      .map(({ name }) => name),
  ];
  const anySource = someAddress(family, '', [...prefixes, ...networks.map(({ network }) => network), ...isOwn]);
  const own = host.interfaces
    .flatMap(({ addresses }) => addresses.filter((each) => each.family === family))
    .map(({ address }) => ({ address, bits: prefixBits(address) }))
    .filter(({ bits }) => pools.some((pool) => bits.startsWith(pool)));
  const ownAlike = grouped(
    own,
    MOST_ORIGINS,
    ({ bits }) => rulesOf(bits, rules),
    ({ bits }) => rulesLike(bits, rules, like),
  );
  return [
    ...alike.groups.map((group) =>
      incoming(machine, {
        kind: 'clients',
        family,
        links: [...new Set(group.flatMap(({ link }) => link ?? []))],
        sources: group.map(({ prefix }) => nameOf(prefix, family, names)),
        alike: alike.coarse,
        source: group[0].source,
      }),
    ),
    sending(machine, family, { sources: [], source: UNSPECIFIED[family], alike: false }),
    ...ownAlike.groups.map((group) =>
      sending(machine, family, {
        sources: group.map(({ address }) => address),
        source: group[0].bits,
        alike: ownAlike.coarse,
      }),
    ),
    ...others.slice(0, MOST_ORIGINS).map((link) =>
      incoming(machine, {
        kind: tunnels.has(link) ? 'clients' : 'others',
        family,
        links: [link],
        sources: [],
        alike: false,
        source: anySource,
      }),
    ),
  ];
}

/** Sources with equal ones go the same way: the rules that look at the source, and what is between them. */
function rulesOf(prefix: Bits, rules: readonly ReadyRule[]): string {
  let others = 0;
  return rules
    .flatMap(({ source, rule }) => {
      if (source === undefined) {
        others += 1;
        return [];
      }
      const inside = prefix.startsWith(source);
      return inside || rule.invert ? [`${others} ${inside} ${ruleKey({ ...rule, source: undefined })}`] : [];
    })
    .join(', ');
}

/** The same, where tables with routes through the same links are as good as one. */
function rulesLike(prefix: Bits, rules: readonly ReadyRule[], tables: ReadonlyMap<number, string>): string {
  return rules
    .filter(({ source, rule }) => source !== undefined && (prefix.startsWith(source) || rule.invert))
    .map(({ rule }) => {
      const { action } = rule;
      const key = action.kind === 'lookup' ? (tables.get(action.tableId) ?? String(action.tableId)) : '';
      return `${key} ${ruleKey({ ...rule, source: undefined, action: { kind: 'blackhole' } })} ${action.kind}`;
    })
    .join(', ');
}

function ruleKey(rule: Rule): string {
  return ruleWords(rule)
    .map((word) => (typeof word === 'string' ? word : word.text))
    .join(' ');
}

/** Of each table the links that it leads through. */
function tablesLike({ tables, routes }: Host): Map<number, string> {
  const likes = groupBy(routes, ({ tableId }) => String(tableId)).map(
    (group) =>
      [
        group[0].tableId,
        distinct(
          group.map(({ hops, type }) => `${type} ${hops.map(({ device, via }) => (device ?? via)?.text).join()}`),
          String,
        ).join(),
      ] as const,
  );
  const closed = new Set(tables.filter(({ failClosed }) => failClosed).map(({ id }) => id));
  return new Map(likes.map(([id, like]) => [id, `${like} ${closed.has(id)}`]));
}

interface Origins {
  /** Unmarked, and of no protocol in particular. */
  readonly plain: Origin;
  readonly others: readonly Origin[];
}

type Place = Omit<Origin, 'selectors' | 'flow'> & { readonly source: Bits | undefined };

function originsFor({ source, ...place }: Place, kinds: readonly Kind[]): Origins {
  const [plain, ...others] = kinds
    .slice(0, MOST_KINDS + 1)
    .map((kind): Origin => ({ ...place, selectors: kindWords(kind), flow: { ...kind, source } }));
  return { plain, others: others.sort((a, b) => a.selectors.split(' ').length - b.selectors.split(' ').length) };
}

function incoming(machine: Machine, place: Place): Origins {
  // No link has the other name.
  return originsFor(place, kindsOf(machine, place.family, place.links[0] ?? '-'));
}

function sending(machine: Machine, family: Family, from: Pick<Place, 'sources' | 'source' | 'alike'>): Origins {
  const rules = machine.sides[family].rules.inOrder.map(({ rule }) => rule);
  const uids = numbersOf(
    rules.flatMap(({ uidRange }) => uidRange ?? []),
    0xffffffff,
  );
  const devices = new Set(rules.flatMap(({ outputInterface }) => outputInterface?.text ?? []));
  const kinds = kindsOf(machine, family, 'lo').flatMap(({ inputInterface: _, ...kind }) =>
    uids.flatMap((uid): Kind[] =>
      [undefined, ...devices].map((outputInterface) => ({ ...kind, uid, ...(outputInterface && { outputInterface }) })),
    ),
  );
  return originsFor({ kind: 'server', family, links: [], ...from }, kinds);
}

function kindWords({ mark, tos, uid, ipProtocol, sourcePort, destinationPort, outputInterface }: Kind): string {
  const word = (name: string, value: string | number | undefined): string[] => (value ? [`${name} ${value}`] : []);
  return [
    ...word('fwmark', mark && `0x${mark.toString(16)}`),
    ...word('tos', tos && `0x${tos.toString(16)}`),
    ...word('oif', outputInterface),
    ...word('uid', uid),
    ...word('ipproto', ipProtocol),
    ...word('sport', sourcePort),
    ...word('dport', destinationPort),
  ].join(' ');
}

function targetsOf(host: Host, machine: Machine, family: Family, names: ReadonlyMap<Bits, string>): Target[] {
  const { rules, tables } = machine.sides[family];
  const own = [...(tables.get(LOCAL_TABLE_ID)?.destinations() ?? [])];
  const tunnels = clientLinks(host);
  const clients = new Set([
    ...poolsOf(host.rules, family),
    ...host.interfaces
      .filter(({ name }) => tunnels.has(name))
      .flatMap(({ addresses }) => addresses.filter((each) => each.family === family).map(networkBits)),
  ]);
  const prefixes = distinct(
    [
      '',
      ...clients,
      ...rules.inOrder.flatMap(({ destination }) => destination ?? []),
      ...[...tables].flatMap(([id, table]) => (id === LOCAL_TABLE_ID ? [] : [...table.destinations()])),
    ],
    String,
  ).filter((prefix) => !isSpecial(prefix, family));
  const examples = prefixes.flatMap((prefix) => {
    const example = someAddress(family, prefix, [...prefixes, ...own]);
    return example === undefined ? [] : [{ prefix, example }];
  });
  const kindOf = (prefix: Bits): Target['kind'] =>
    prefix === '' ? 'rest' : clients.has(prefix) ? 'clients' : 'network';
  const { groups } = grouped(
    examples,
    MOST_TARGETS,
    ({ prefix, example }) =>
      names.has(prefix)
        ? prefix
        : [
            kindOf(prefix),
            rulesTo(example, rules.inOrder),
            ...[...tables].map(([id, table]) => {
              const [routes = []] = table.around(example);
              return `${id} ${routes.map(routeKey).join()}`;
            }),
          ].join(', '),
    ({ prefix }) => kindOf(prefix),
  );
  return groups.map((group) => ({
    kind: kindOf(group[0].prefix),
    family,
    destinations: group.map(({ prefix }) => nameOf(prefix, family, names)),
    example: group[0].example,
  }));
}

/** The rules that look at the destination and match, and between which of those that do not. */
function rulesTo(example: Bits, rules: readonly ReadyRule[]): string {
  let others = 0;
  return rules
    .flatMap(({ destination, rule }) => {
      if (destination === undefined) {
        others += 1;
        return [];
      }
      const inside = example.startsWith(destination);
      return inside || rule.invert ? [`${others} ${inside} ${ruleKey({ ...rule, destination: undefined })}`] : [];
    })
    .join(', ');
}

function routeKey({ kind, hops }: ReadyRoute): string {
  return `${kind} ${hops.map(({ device, via }) => `${device} ${via}`).join()}`;
}

/** What is for all hosts, for this link only, or nobody's. */
function isSpecial(prefix: Bits, family: Family): boolean {
  const special = {
    4: ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'],
    6: ['fe80::/10', 'ff00::/8', '::1'],
  };
  return special[family].some((each) => prefix.startsWith(prefixBits(each)));
}

function nameOf(prefix: Bits, family: Family, names: ReadonlyMap<Bits, string>): string {
  return names.get(prefix) ?? prefixText(prefix, family);
}

function meet(one: Bits, other: Bits): boolean {
  return one.startsWith(other) || other.startsWith(one);
}

/** As the interfaces are declared; what comes in by none of them last. */
function order(a: string | undefined, b: string | undefined, { interfaces }: Host): number {
  const place = (link: string | undefined): number => {
    const index = interfaces.findIndex(({ name }) => name === link);
    return index < 0 ? interfaces.length : index;
  };
  return place(a) - place(b);
}

export function distinct<T>(items: readonly T[], key: (item: T) => string): T[] {
  return groupBy(items, key).map(([first]) => first);
}

/** By the fine key, or by the coarse one where that makes too many groups. */
function grouped<T>(
  items: readonly T[],
  most: number,
  fine: (item: T) => string,
  coarse: (item: T) => string,
): { groups: Array<[T, ...T[]]>; coarse: boolean } {
  const groups = groupBy(items, fine);
  return groups.length <= most
    ? { groups, coarse: false }
    : { groups: groupBy(items, coarse).slice(0, most), coarse: true };
}

export function groupBy<T>(items: readonly T[], key: (item: T) => string): Array<[T, ...T[]]> {
  const groups = new Map<string, [T, ...T[]]>();
  for (const item of items) {
    const group = groups.get(key(item));
    if (group) {
      group.push(item);
    } else {
      groups.set(key(item), [item]);
    }
  }
  return [...groups.values()];
}
