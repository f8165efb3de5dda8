import { readFileSync } from 'node:fs';
import { compare } from '../lib/reachability/differential';
import { buildMachine } from '../lib/fib/build';
import { lookupErrors, lookupWarnings } from '../lib/verify/lookup-checks';
import { describeHost } from '../lib/fib/from-host';
import { checkIntents } from '../lib/verify/expectations';
import { errors, warnings } from '../lib/verify/checks';
import type { Egress } from '../lib/model/egress';
import { expectEgresses } from '../lib/verify/egress-expectations';
import type { Interface, Host } from '../lib/model/host';
import { defaultMark } from '../lib/model/marking';
import type { Route } from '../lib/model/route';
import { failClosedRoute } from '../lib/model/route';
import type { Rule } from '../lib/model/rule';
import type { Value } from '../lib/model/value';
import { routingReport } from '../lib/report/report';
import { parseAddress, parseDevice, parseInterfaceAddress, parsePrefix } from '../lib/model/value';

const ROUNDS = 3;
const MAIN = 254;

/** What constructs declare. */
interface Declared {
  readonly host: Host;
  readonly egresses: readonly Egress[];
}

/** A VPN server with so many disjoint pools, and a tunnel, a table and a gateway for each so many of them; two rules for each pool. */
export function server(pools: number, tables: number, gateway = 1): Declared {
  const pool = (index: number): string => `10.${index >> 8}.${index & 255}.0/24`;
  const tableOf = (index: number): number => 1000 + Math.floor((index * tables) / pools);
  const clients = Array.from({ length: pools }, (_, index) => parsePrefix(pool(index), 'pool'));
  const ids = [...new Set(clients.map((_, index) => tableOf(index)))];
  const ofTable = (id: number): Value[] => clients.filter((_, index) => tableOf(index) === id);
  const tunnels = ids.map((id, index) => ({
    name: `tun${index}`,
    addresses: ofTable(id).map(({ text }) => parseInterfaceAddress(text.replace('.0/24', '.1/24'), 'address')),
    gateways: [],
    incomplete: false,
  }));
  const interfaces: Interface[] = [
    link('eth0', '192.168.178.2/24', '192.168.178.1'),
    link('eth1', '172.16.255.2/16'),
    ...tunnels,
  ];
  const rules = clients.flatMap((source, index): Rule[] => [
    {
      path: `app/egress-${tableOf(index)}/local-${index}`,
      family: 4,
      priority: 8000 + index,
      destination: source,
      action: { kind: 'lookup', tableId: MAIN },
      suppressPrefixLength: 7,
    },
    {
      path: `app/egress-${tableOf(index)}/${index}`,
      family: 4,
      priority: 14000 + index,
      source,
      action: { kind: 'lookup', tableId: tableOf(index) },
    },
  ]);
  ids.forEach((id, index) =>
    rules.push({
      path: `app/egress-${id}/errors`,
      family: 4,
      priority: 14000 + pools + index,
      firewallMark: defaultMark(id),
      inputInterface: parseDevice('lo', 'device'),
      action: { kind: 'lookup', tableId: id },
    }),
  );
  const via = (id: number): string => `172.16.${(gateway - 1) * 100 + ((id - 1000) >> 7)}.${1 + ((id - 1000) & 127)}`;
  const host: Host = {
    path: 'app/vpn1',
    owner: 'vpn1',
    management: { hostKeyPinned: true, bastion: false },
    interfaces,
    tables: ids.map((id) => ({ path: `app/egress-${id}`, id, failClosed: true })),
    rules,
    routes: ids.map((id) => ({
      path: `app/egress-${id}`,
      family: 4,
      tableId: id,
      destination: { kind: 'prefix', text: 'default' },
      hops: [{ via: parseAddress(via(id), 'via'), device: parseDevice('eth1', 'device') }],
    })),
    discards: clients.map((pool, index): Route =>
      failClosedRoute(`app/egress-${tableOf(index)}`, 4, tableOf(index), pool),
    ),
    hooks: [],
    markings: ids.map((id) => ({
      path: `app/egress-${id}`,
      device: parseDevice('eth1', 'device'),
      destinations: ofTable(id),
      mark: defaultMark(id),
    })),
    forwardings: [],
    translations: [],
    intents: [],
    expectations: [],
  };
  const egresses = ids.map((id) => ({
    path: `app/egress-${id}`,
    device: parseDevice('eth1', 'device'),
    tableId: id,
    clients: ofTable(id),
    rejectedClients: [],
    gateways: [{ via: parseAddress(via(id), 'gateway'), family: 4 as const }],
    errorMark: defaultMark(id),
    queries: [],
    localTraffic: 'main-table' as const,
    failClosed: true,
    forwarding: { required: true, chains: [] },
    translated: false,
    translates: false,
    mssClamp: false,
  }));
  return { host, egresses };
}

function link(name: string, address: string, gateway?: string): Interface {
  return {
    name,
    addresses: [parseInterfaceAddress(address, 'address')],
    gateways: gateway === undefined ? [] : [parseAddress(gateway, 'gateway')],
    incomplete: false,
  };
}

/**
 * For how many milliseconds the main thread has run: what somebody waits for where nothing else runs. Others' work does
 * not count, nor that of the threads that collect garbage and compile meanwhile.
 *
 * @see https://docs.kernel.org/scheduler/sched-stats.html
 */
function ran(): number {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6;
}

/** The median. */
function cost(work: () => unknown): number {
  const times = Array.from({ length: ROUNDS }, () => {
    const before = ran();
    work();
    return ran() - before;
  });
  return times.sort((a, b) => a - b)[ROUNDS >> 1];
}

/** All that a synth finds out about a host. */
export function checks({ host, egresses }: Declared): void {
  const declared = { ...host, intents: expectEgresses(egresses, host.interfaces, []) };
  const problems = [
    ...errors(declared),
    ...warnings(declared),
    ...lookupErrors(declared),
    ...lookupWarnings(declared),
    ...checkIntents(declared).flatMap(({ problem }) => problem ?? []),
  ];
  if (problems.length > 0) {
    throw new Error(`the host of the benchmark has problems: ${problems[0].path} ${problems[0].message}`);
  }
}

function comparison(before: Host, after: Host): number {
  return compare(buildMachine(describeHost(before)), buildMachine(describeHost(after))).length;
}

/** How the cost grows: the slope of a straight line through both logarithms. */
function exponent(points: ReadonlyArray<readonly [number, number]>): number {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const mean = (at: 0 | 1): number => logs.reduce((sum, each) => sum + each[at], 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  return (
    logs.reduce((sum, each) => sum + (each[0] - x) * (each[1] - y), 0) /
    logs.reduce((sum, each) => sum + (each[0] - x) ** 2, 0)
  );
}

/** What it costs to know where packets go, at synth and in a review. */
export function benchLookup(): void {
  const declared = server(500, 200);
  const { host } = declared;
  console.log(
    '1,000 rules, 200 tables, 500 pools (milliseconds of the main thread, median of three; the model for reference)',
  );
  const reference = cost(() => buildMachine(describeHost(host)));
  const show = (name: string, milliseconds: number): void =>
    console.log(
      `  ${name.padEnd(40)} ${milliseconds.toFixed(0).padStart(6)} ms ${(milliseconds / reference).toFixed(1).padStart(7)} x`,
    );
  show('the model made ready', reference);
  show(
    'all checks',
    cost(() => checks(declared)),
  );
  const oneMore = { ...host, rules: host.rules.slice(0, -2) };
  show(
    'comparison: a pool more',
    cost(() => comparison(oneMore, host)),
  );
  const { host: swapped } = server(500, 200, 2);
  show(
    'comparison: all gateways swapped',
    cost(() => comparison(host, swapped)),
  );
  console.log(
    `  memory at the end (RSS)                  ${(process.memoryUsage().rss / 1e6).toFixed(0).padStart(6)} MB`,
  );

  console.log('disjoint pools, two rules each, a table for five: all checks');
  const points = [50, 500, 5000].map((pools) => {
    const each = server(pools, Math.ceil(pools / 5));
    const milliseconds = cost(() => checks(each));
    console.log(`  ${String(2 * pools).padStart(6)} rules ${milliseconds.toFixed(0).padStart(8)} ms`);
    return [2 * pools, milliseconds] as const;
  });
  const grows = exponent(points);
  const limit = exponent(points.map(([rules]) => [rules, rules * Math.log(rules)]));
  console.log(`  grows as n to the power of ${grows.toFixed(2)}; n log n would be ${limit.toFixed(2)}`);

  console.log('as many rules as routes, all of one table: the report');
  const sites = [64, 256, 1024].map((count) => {
    const each = concentrator(count);
    const milliseconds = cost(() => routingReport(each));
    console.log(`  ${String(count).padStart(6)} rules ${milliseconds.toFixed(0).padStart(8)} ms`);
    return [count, milliseconds] as const;
  });
  console.log(`  grows as n to the power of ${exponent(sites).toFixed(2)}`);
}

/** A server with so many sites behind tunnels, each of which has a rule and a route in one table. */
function concentrator(sites: number): Host {
  const { host } = server(sites, 1);
  const routes = Array.from({ length: sites }, (_, index): Route => {
    const destination = parsePrefix(`10.${128 + (index >> 8)}.${index & 255}.0/24`, 'destination');
    return { ...host.routes[0], destination };
  });
  return { ...host, routes: [...host.routes, ...routes] };
}
