import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TerraformVariable } from 'cdktf';
import { PolicyRule, RuleAction, SourceRoutingTable, VpnEgress } from '../../lib';
import type { Host } from '../../lib/model/host';
import { hostTraffic } from '../../lib/report/classes';
import { mermaid } from '../../lib/report/mermaid';
import type { Picture } from '../../lib/report/picture';
import { drawing, routingReport } from '../../lib/report/report';
import { svg } from '../../lib/report/svg';
import { topology } from '../../lib/report/topology';
import { ALL_INTERFACES, GATEWAYS, POOLS } from '../fixtures';
import { FULL } from '../random';
import { egress, hostWith, howTo, large, mixed } from './hosts';
import { checkXml } from './xml';

function pictureOf(host: Host): Picture {
  return topology(host, hostTraffic(host));
}

/** Every line as `box: row -> box: row (ending)`. */
function linesOf(picture: Picture): string[] {
  const names = new Map<string, string>();
  for (const box of picture.columns.flatMap(({ boxes }) => boxes)) {
    names.set(box.id, box.title);
    for (const { id, text, note } of box.rows) {
      names.set(id, `${box.title}: ${text === '' ? note : text}`);
    }
  }
  return picture.edges.map(
    ({ from, to, ending, onlyIfDown }) =>
      `${names.get(from)} -> ${names.get(to)} (${ending}${onlyIfDown ? ', link down' : ''})`,
  );
}

/** The cells of a row of the table, by what it begins with. */
function rowOf(host: Host, ...start: string[]): string[] {
  const rows = routingReport(host)
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .map((line) => line.slice(2, -2).split(' | '));
  const found = rows.find((cells) => start.every((cell, index) => cells[index] === cell));
  return found?.slice(start.length) ?? [];
}

const CLIENTS = ['`tun0`, this server', '`10.10.10.0/24`', 'anywhere else'];
const EGRESS = '`eth1` via `192.168.1.1` (vpn)';

describe('rules that look up one table', () => {
  const marked = (count: number): Host =>
    hostWith((host, stack) => {
      const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200, failClosed: false });
      table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
      for (let firewallMark = 1; firewallMark <= count; firewallMark++) {
        new PolicyRule(stack, `m${firewallMark}`, { table, firewallMark, priority: 10000 + firewallMark });
      }
    });
  const fromMarks = (host: Host): string[] => linesOf(pictureOf(host)).filter((line) => / -> lookup 200/.test(line));

  test('have lines of their own while they have rows of their own', () => {
    expect(fromMarks(marked(8))).toEqual(
      expect.arrayContaining(
        [1, 8].map((mark) => expect.stringContaining(`lookup 200: ${10000 + mark} fwmark 0x${mark}`) as unknown),
      ),
    );
  });

  test('tell no packets apart if they are too many for that', () => {
    expect(new Set(fromMarks(marked(9)).map((line) => line.replace(/^.* -> /, '')))).toEqual(
      new Set(['lookup 200 (egress)']),
    );
    expect(routingReport(marked(9))).toContain('mark 0x1 or 0x2 or 0x3');
    expect(routingReport(marked(8))).not.toContain('mark 0x1 or');
  });
});

describe('the topology', () => {
  test('leads clients through rule and table to the gateway, and the server by the uplink', () => {
    const lines = linesOf(pictureOf(egress()));
    expect(lines).toEqual(
      expect.arrayContaining([
        'clients on tun0: to anywhere else -> lookup vpn: 10010 from 10.10.10.0/24 (egress)',
        'clients on tun0: to anywhere else -> lookup vpn: 10010 from fd00:4242:4242:4242::/64 (egress)',
        'lookup vpn -> vpn (200) (egress)',
        'vpn (200): default -> eth1: via 192.168.1.1 (egress)',
        'vpn (200): default -> eth1: via fd00:1010:1010:1010::1 (egress)',
        'clients on tun0: to clients -> lookup main suppress_prefixlength: 10009 to 10.10.10.0/24 (local)',
        'main (254): networks of links -> tun0: on the link (local)',
        'this server: to anywhere else -> lookup main: 32766 from all (uplink)',
        'main (254): default -> eth0: via 192.168.178.1 (uplink)',
      ]),
    );
    expect(lines.filter((line) => line.startsWith('clients') && line.includes('uplink'))).toEqual([]);
  });
  test('shows what fails closed as rejected while the link is down', () => {
    const lines = linesOf(pictureOf(egress()));
    expect(lines.filter((line) => line.includes('link down'))).toEqual([
      'vpn (200): unreachable default -> rejected (rejected, link down)',
    ]);
  });
  test('shows a leak: the way of clients by the uplink, while the link is down', () => {
    expect(linesOf(pictureOf(egress(false)))).toContain(
      'clients on tun0: to anywhere else, eth1 down -> lookup main: 32766 from all (leak, link down)',
    );
  });
  test.each([
    [true, 'as rejected by the guard of its tunnel', 'blackhole: 20012 iif tun0 (rejected)'],
    [false, 'as a leak', 'lookup main: 32766 from all (leak)'],
  ])('shows a pool that no rule takes, if the table fails closed (%s), %s', (failClosed, _, rule) => {
    const host = hostWith((server, stack) => {
      new VpnEgress(stack, 'egress', {
        host: server,
        device: 'eth1',
        tableId: 200,
        clients: [POOLS[0]],
        gateways: [GATEWAYS[0]],
        failClosed,
      });
    });
    expect(linesOf(pictureOf(host))).toContain(`clients on tun0: to anywhere else -> ${rule}`);
  });
  test('shows where a rejected pool and rejected ports end', () => {
    const lines = linesOf(pictureOf(mixed()));
    expect(lines).toContain(
      'clients on wg1: to anywhere else -> unreachable: 10011 from fd00:4242:4242:3030::/64 (rejected)',
    );
    expect(lines).toContain(
      'clients on wg1: to anywhere else -> prohibit: 8000 from 10.10.30.0/24 ipproto 6 dport 25 (rejected)',
    );
    expect(lines).toContain('prohibit -> rejected (rejected)');
  });
  test('has marked packets as a class of their own', () => {
    const marked = pictureOf(mixed())
      .columns[0].boxes.filter(({ rows }) => rows.some(({ text }) => text === 'mark 0x10/0xff'))
      .map(({ rows }) => rows.map(({ text }) => text)[0]);
    expect(marked).toEqual(['10.10.20.0/24']);
  });
  test('names what is known at apply only by who declared it', () => {
    const host = hostWith((server, stack) => {
      const via = new TerraformVariable(stack, 'via', {}).stringValue;
      const table = new SourceRoutingTable(stack, 'vpn', { host: server, tableId: 200 });
      table.addRoute('v4', { destination: '0.0.0.0/0', via, device: 'eth1' });
      const source = new TerraformVariable(stack, 'pool', {}).stringValue;
      new PolicyRule(stack, 'clients', { table, source, priority: 10010 });
    });
    expect(linesOf(pictureOf(host))).toContain(
      'clients: to anywhere else -> lookup 200: 10010 from <clients:source> (egress)',
    );
    expect(drawing(host)).toContain('via &lt;vpn/v4:via&gt;');
  });
});

/** The README's, but half of the pool may leave by the server's own default route. */
function leaking(): Host {
  return hostWith((server, stack) => {
    const table = SourceRoutingTable.main(server);
    new VpnEgress(stack, 'e', { host: server, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
    new PolicyRule(stack, 'typo', { table, source: '10.10.10.128/25', priority: 10000 });
  });
}

describe('a leak', () => {
  const boxesOf = (host: Host): Array<[string, string | undefined]> =>
    pictureOf(host).columns[0].boxes.map(({ rows, leak }) => [rows[0].text, leak?.label]);
  test('is in the label of the box of those clients, and of no other', () => {
    const labels = boxesOf(leaking());
    expect(labels).toContainEqual(['10.10.10.128/25', 'LEAK']);
    expect(labels.filter(([, label]) => label !== undefined)).toHaveLength(1);
    expect(boxesOf(egress()).filter(([, label]) => label !== undefined)).toEqual([]);
  });
  test('only while a link is down is in the label with that link', () => {
    expect(boxesOf(egress(false))).toContainEqual(['10.10.10.0/24', 'LEAK, eth1 down']);
  });
  test('can be followed to the link by which it leaves, also beside what the server sends there', () => {
    for (const [host, when] of [
      [leaking(), ''],
      [egress(false), ', link down'],
    ] as const) {
      const lines = linesOf(pictureOf(host));
      for (const ending of ['uplink', `leak${when}`]) {
        expect(lines).toContain(`lookup main -> main (254) (${ending})`);
        expect(lines).toContain(`main (254): default -> eth0: via 192.168.178.1 (${ending})`);
      }
    }
  });
  test('has a border, a label and lines in SVG that are seen without colours', () => {
    const [leaks, tight] = [drawing(leaking()), drawing(egress())];
    expect(leaks).toMatch(/<rect [^>]*stroke-leak[^>]* stroke-width="3"\/>/);
    expect(leaks).toMatch(/<path [^>]*stroke-leak[^>]* stroke-width="4"\/>/);
    expect(leaks).toContain('>LEAK</text>');
    expect(tight).not.toMatch(/leak|LEAK/);
  });
  test('is dashed in SVG if it is one only while a link is down', () => {
    expect(drawing(egress(false))).toMatch(/<rect [^>]*stroke-leak[^>]*stroke-dasharray/);
    expect(drawing(leaking())).not.toMatch(/<rect [^>]*stroke-dasharray/);
  });
  test('has a border, a label and lines in Mermaid, too', () => {
    const leaks = mermaid(pictureOf(leaking()));
    const box = /(n\d+)\["<b>LEAK<\/b><br><b>clients on tun0<\/b><br>10\.10\.10\.128\/25"\]/.exec(leaks)?.[1];
    expect(leaks).toContain(`\n  class ${box} leak`);
    expect(leaks).toMatch(/\n {2}classDef leak stroke:#\w+,stroke-width:4px/);
    expect(leaks).toContain(`\n  ${box} -->|"LEAK: to anywhere else"| `);
    expect(leaks).toMatch(/\n {2}linkStyle [\d,]+ stroke:#\w+,stroke-width:4px\n/);
    expect(mermaid(pictureOf(egress()))).not.toMatch(/leak|LEAK/);
  });
});

describe('the table of traffic classes', () => {
  test('says what each link down changes, where the table fails closed', () => {
    expect(rowOf(egress(), ...CLIENTS)).toEqual([EGRESS, 'same', 'rejected: unreachable (vpn)', 'same']);
  });
  test('says what leaks, where it does not', () => {
    expect(rowOf(egress(false), ...CLIENTS)).toEqual([
      EGRESS,
      'same',
      '⚠ LEAK `eth0` via `192.168.178.1` (main)',
      'same',
    ]);
    expect(routingReport(egress())).not.toContain('⚠');
  });
  test('says what becomes of packets to clients while their tunnel is down', () => {
    expect(routingReport(egress())).toContain(
      '\n|  |  | `10.10.10.0/24` | `tun0` (main) | same | same | rejected: unreachable (vpn) |\n',
    );
    expect(routingReport(egress())).not.toContain('is left out:');
  });
  test('says of each link what becomes of what another one shared with it', () => {
    const host = hostWith(
      (server, stack) => {
        const table = new SourceRoutingTable(stack, 'table', { host: server, tableId: 201 });
        table.addRoute('both', { destination: '198.18.0.0/15', nextHops: [{ device: 'eth1' }, { device: 'eth2' }] });
        new PolicyRule(stack, 'rule', { table, source: POOLS[0], priority: 10010 });
      },
      { interfaces: [...ALL_INTERFACES, { name: 'eth2', addresses: ['192.168.2.1/24'] }] },
    );
    expect(routingReport(host)).toContain(
      '| one of `eth1`, `eth2` (table 201) | same | `eth2` (table 201) | `eth1` (table 201) | same |\n',
    );
  });
  test('says once that networks are each behind a link of their own', () => {
    expect(routingReport(large(6, 1))).toContain(
      ' | each to its link: `tun0`, `tun1`, `tun2`, `tun3`, `tun4`, `tun5` (main) | same |',
    );
  });
  test('says that nothing is known of a main table whose gateways are not declared', () => {
    expect(rowOf(howTo(), 'any link, this server', 'any other IPv4', 'anywhere else')[0]).toBe('not declared (main)');
  });
});

test('the table names destinations that are known at apply only, each of them', () => {
  const host = hostWith((server, stack) => {
    for (const name of ['one', 'two', 'three']) {
      const destination = new TerraformVariable(stack, `${name}-prefix`, {}).stringValue;
      const action = RuleAction.prohibit();
      new PolicyRule(stack, name, { host: server, action, destination, priority: 10010 });
    }
  });
  expect(routingReport(host)).toContain(
    '| `<one:destination>`, `<two:destination>`, `<three:destination>` | rejected: prohibit (rule 10010) |',
  );
});

describe('of many pools', () => {
  /** More than any bound has room for. */
  const links = FULL ? 60 : 24;
  test('the picture has a bounded size, and says how many there are', () => {
    const picture = pictureOf(large(links, 3));
    expect(picture.columns.flatMap(({ boxes }) => boxes).flatMap(({ rows }) => rows).length).toBeLessThan(120);
    const half = links / 2;
    expect(linesOf(picture)).toContain(`${half} tables: default -> eth1: via 192.168.1.1, ${half - 1} more (egress)`);
    expect(svg(picture)).toContain(`… ${3 * links - 4} more pools`);
    // Rules of later pools come later: to those the way ends in the table.
    expect(linesOf(picture)).toContain(
      `clients on ${links} links: to clients -> lookup one of ${half} tables (rejected)`,
    );
  });
  test('the report has a bounded size, and says what it leaves out', () => {
    const report = routingReport(large(links, 3));
    expect(report.split('\n').length).toBeLessThan(250);
    expect(report).toContain('\nWhat changes while a link of clients is down is left out:');
  });
});

test('a link that is called as a row of another one has its own lines', () => {
  const interfaces = [...ALL_INTERFACES, { name: 'tun0-0', addresses: ['10.10.20.1/24'] }];
  const declared = { device: 'eth1', tableId: 200, clients: [...POOLS, '10.10.20.0/24'], gateways: GATEWAYS };
  const { columns } = pictureOf(
    hostWith((host, stack) => void new VpnEgress(stack, 'e', { host, ...declared }), { interfaces }),
  );
  const ids = columns.flatMap(({ boxes }) => boxes).flatMap(({ id, rows }) => [id, ...rows.map((row) => row.id)]);
  expect(columns[3].boxes.map(({ title }) => title)).toContain('tun0-0');
  expect(new Set(ids).size).toBe(ids.length);
});

describe('names', () => {
  const HOSTILE = '<script>alert(1)</script> "\'`|\n```\n]&\u202e[x](y)**_{{';
  const host = { ...egress(), path: `stack/${HOSTILE}` };
  test('stay text in SVG', () => {
    checkXml(drawing(host));
    expect(drawing(host)).not.toMatch(/<script|\u202e|'`\|/);
    expect(drawing(host)).toContain('&lt;script&gt;');
  });
  test('stay text in Markdown and Mermaid', () => {
    const tables = host.tables.map((table) => ({ ...table, name: HOSTILE }));
    const report = routingReport({ ...host, tables });
    expect(report.replace(/`[^`\n]+`/g, '')).not.toMatch(/<script|\u202e|\[x\]|\*\*/);
    expect(report.match(/^```/gm)).toHaveLength(2);
    const widths = report
      .split('\n')
      .filter((line) => line.startsWith('|'))
      .map((line) => line.split('|').length);
    expect(new Set(widths).size).toBe(1);
    expect(mermaid(pictureOf({ ...host, tables }))).toContain(
      '#60;script#62;alert(1)#60;/script#62; #34;#39;#96;#124;',
    );
  });
});

describe('what is written', () => {
  test('is the same for the same host', () => {
    expect(drawing(mixed())).toBe(drawing(mixed()));
    expect(routingReport(mixed())).toBe(routingReport(mixed()));
  });
  test.each([
    ['egress.svg', (): string => drawing(egress())],
    ['egress.md', (): string => routingReport(egress())],
  ])('is %s', (name, make) => {
    const file = join(__dirname, 'golden', name);
    if (process.env.UPDATE_GOLDEN) {
      writeFileSync(file, make());
    }
    expect(make()).toBe(readFileSync(file, 'utf8'));
  });
  test.each([howTo, mixed, (): Host => egress(false), (): Host => large(12, 2)])(
    'is well formed, and ends in one line feed',
    (make) => {
      const [picture, report] = [drawing(make()), routingReport(make())];
      checkXml(picture);
      for (const text of [picture, report]) {
        expect(text).toMatch(/[^\n]\n$/);
        expect(text).not.toMatch(/[ \t]$|\r/m);
      }
    },
  );
  test('of a host of which nothing is declared is there', () => {
    const bare = hostWith(() => undefined, { interfaces: [] });
    checkXml(drawing(bare));
    expect(routingReport(bare)).toContain('this server');
    expect(ALL_INTERFACES).not.toHaveLength(0);
  });
  test('needs no CSS for its colours', () => {
    const picture = drawing(egress(false));
    expect(picture).not.toMatch(/var\(|--\w/);
    const plain = picture.replace(/<style>.*<\/style>/s, '').replace(/ class="[^"]*"/g, '');
    for (const element of plain.match(/<(?:rect|path|text) [^>]*>/g) ?? []) {
      expect(element).toMatch(/ (?:fill|stroke)="#[0-9a-f]{6}"/);
    }
  });
  test('has the dashes in its legend that it draws', () => {
    const dashes = drawing(egress()).match(/stroke-dasharray="[^"]*"/g) ?? [];
    // A line, and its entry in the legend.
    expect(dashes.length).toBeGreaterThan(1);
    expect(new Set(dashes).size).toBe(1);
    expect(mermaid(pictureOf(egress()))).toContain(String(dashes[0]).replace(/="(.*)"/, ':$1'));
  });
  test('keeps the rules in order in Mermaid: each box of them is below the one before', () => {
    const picture = pictureOf(mixed());
    const text = mermaid(picture);
    const chain = /\n {2}(n\d+(?: ~~~ n\d+)+)\n/.exec(text)?.[1].split(' ~~~ ') ?? [];
    const titles = chain.map((id) => new RegExp(`\\n {4}${id}\\["<b>([^<]*)</b>`).exec(text)?.[1]);
    expect(text).toMatch(/^flowchart TB\n/);
    expect(titles).toEqual(picture.columns[1].boxes.map(({ title }) => title));
    expect(titles.length).toBeGreaterThan(5);
  });
  test('loads nothing from elsewhere and runs nothing', () => {
    expect(drawing(mixed())).not.toMatch(/<script|href|url\(|@import|<image|<foreignObject|on\w+=/);
  });
});
