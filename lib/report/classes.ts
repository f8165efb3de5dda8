import type { Bits } from '../fib/bits';
import type { Description } from '../fib/build';
import { buildMachine, withLinksDown } from '../fib/build';
import { OTHER_INTERFACE } from '../reachability/header-classes';
import { tableKey } from '../reachability/decision';
import { describeHost } from '../fib/from-host';
import { LOCAL_TABLE_ID } from '../fib/machine';
import type { Entry } from '../reachability/aggregate';
import type { MachineDecisions, TrafficClass } from '../reachability/equivalence-classes';
import { trafficClassesOf } from '../reachability/equivalence-classes';
import { packetsText } from '../reachability/words';
import type { Family } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import type { Host } from '../model/host';
import type { Rule } from '../model/rule';
import { groupBy, remembered } from './groups';
import type { Clients } from './links';
import { clientsOf, egressLinks, isNear, networkPrefixes } from './links';
import { withPlaceholders } from './placeholders';
import { standIns } from './rule-order';
import type { Ways } from './ways';
import { wayOf } from './ways';

/** All packets that a host may handle, except those for itself, and where they go. */
export interface HostTraffic {
  readonly classes: readonly HostClass[];
  /**
   * The links that are taken down one at a time: first the egress links, then the links of clients. The links of
   * clients are left out if there are too many.
   */
  readonly links: readonly string[];
  /** Only the egress links: a picture shows these. */
  readonly egress: readonly string[];
  readonly clients: Clients;
  /** The host, with a placeholder address for each prefix that is known at apply only. */
  readonly host: Host;
  /** All rules, including the guards and the rules of the kernel. */
  readonly rules: readonly Rule[];
  /** The names of prefixes that are known at apply only. */
  readonly names: ReadonlyMap<Bits, string>;
}

/** Packets that differ only in their destinations for the routing decision, whichever link is down. */
export interface HostClass {
  readonly from: 'clients' | 'others' | 'server';
  readonly family: Family;
  /** A description of the packets; empty for all packets that are in no other class. */
  readonly packets: string;
  /** Whether `packets` names the links that they come in by. */
  readonly namesLinks: boolean;
  /** For packets of clients or others: the links that they come in by, as far as declared. */
  readonly links: readonly string[];
  /** Matched by longest prefix among all classes. `undefined` stands for packets of the server without a source yet. */
  readonly sources: ReadonlyArray<Bits | undefined>;
  /** Matched by longest prefix of the destination. */
  readonly table: ReadonlyArray<Entry<Ways>>;
}

/** Limits the tunnels: each costs as much as the case with all links up, and most change only their own clients. */
const MOST_TUNNELS = 4;

export function hostTraffic(declared: Host): HostTraffic {
  const { host, names } = withPlaceholders(declared);
  const clients = clientsOf(host);
  const description = forwarding(describeHost(host), clients);
  const machine = buildMachine(description);
  const egress = egressLinks(host, clients, machine);
  const tunnels = host.interfaces.map(({ name }) => name).filter((name) => !egress.includes(name));
  const links = tunnels.length > MOST_TUNNELS ? egress : [...egress, ...tunnels];
  const machines = [machine, ...links.map((link) => buildMachine(withLinksDown(description, [link])))];
  const { rules } = description;
  const numbers = new Map(rules.map((rule, index) => [rule, String(index)]));
  const shown = standIns(rules);
  const classes = BOTH_FAMILIES.flatMap((family) => {
    const found = trafficClassesOf(machines, family, {
      keyOf: (outcome) => `${tableKey(outcome)} ${outcome.route?.destination}`,
      whose: (rule) => numbers.get(shown.get(rule) ?? rule) ?? '',
      cuts: clients.prefixes[family],
    });
    const origins = new Origins(host, family, clients, found);
    const waysOf = remembered((decisions: MachineDecisions): Ways =>
      decisions.map(({ outcomes }) => outcomes.map((each) => wayOf(each, rules[Number(each.by ?? NaN)]))),
    );
    const tableOf = remembered((table: TrafficClass['table']) =>
      table.map(({ prefix, value }) => ({ prefix, value: waysOf(value) })),
    );
    return found.flatMap((each) => origins.of(each).map((origin) => ({ ...origin, table: tableOf(each.table) })));
  });
  return { classes, links, egress, clients, host, rules, names };
}

/**
 * Leaves out the packets that the server takes itself: they all go the same way, and nobody declares routes for them.
 * Keeps possible routes only for links of clients: the daemons of tunnels run the up hooks, for their own networks.
 */
function forwarding({ rules, routes, ...rest }: Description, { links }: Clients): Description {
  return {
    ...rest,
    rules: rules.filter(({ action }) => action.kind !== 'lookup' || action.tableId !== LOCAL_TABLE_ID),
    routes: routes.filter(
      (route) => !('possibleFor' in route) || route.hops.some(({ device }) => device && links.has(device.text)),
    ),
  };
}

type ClassOrigin = Omit<HostClass, 'table'>;

/** Distinguishes packets by their sender, and by the link that they come in by. */
class Origins {
  private readonly own: ReadonlySet<Bits>;
  private readonly networks: ReadonlyArray<{ readonly name: string; readonly networks: readonly Bits[] }>;
  /** The input interfaces that rules distinguish. */
  private readonly toldApart: ReadonlySet<string | undefined>;

  public constructor(
    { interfaces }: Host,
    private readonly family: Family,
    private readonly clients: Clients,
    classes: readonly TrafficClass[],
  ) {
    const sent = classes.filter(({ direction }) => direction === 'sent');
    this.own = new Set(sent.flatMap(({ sources }) => sources.flatMap((source) => source ?? [])));
    this.networks = interfaces.map((each) => ({ name: each.name, networks: networkPrefixes(each, family) }));
    this.toldApart = new Set(classes.flatMap(({ headers }) => headers.map(({ inputInterface }) => inputInterface)));
  }

  public of({ direction, sources, headers, packets, usual }: TrafficClass): ClassOrigin[] {
    const common = {
      family: this.family,
      packets: usual ? '' : packets.map(packetsText).join('; '),
      namesLinks: !usual && packets.flat().some(({ by }) => by === 'interface'),
    };
    if (direction === 'sent') {
      return [{ ...common, from: 'server', links: [], sources }];
    }
    const by = new Set(headers.map(({ inputInterface }) => inputInterface));
    // The kernel drops incoming packets with a source address of the server itself.
    const others = sources.flatMap((source) => (source === undefined || this.own.has(source) ? [] : [source]));
    const placed = others.map((source) => ({ source, ...this.placeOf(source, by) }));
    return groupBy(placed, ({ from, links }) => `${from} ${links.join()}`).map((alike) => {
      const [{ from, links }] = alike;
      return { ...common, from, links, sources: alike.map(({ source }) => source) };
    });
  }

  private placeOf(source: Bits, by: ReadonlySet<string | undefined>): Pick<ClassOrigin, 'from' | 'links'> {
    const named = [...by].flatMap((link) => link ?? []);
    if (!this.clients.prefixes[this.family].some((prefix) => source.startsWith(prefix))) {
      return named.every((link) => this.clients.links.has(link))
        ? { from: 'clients', links: named }
        : { from: 'others', links: [] };
    }
    const own = this.networks.filter(({ networks }) => isNear(source, networks)).map(({ name }) => name);
    const links = own.filter((link) => by.has(this.toldApart.has(link) ? link : OTHER_INTERFACE));
    // If no link has the pool, it is not known where its packets come in.
    return { from: links.length > 0 || own.length === 0 ? 'clients' : 'others', links };
  }
}
