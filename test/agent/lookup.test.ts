import { execFileSync } from 'child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { AWKS, Machine, describeOnMachine } from './machine';

const AGENT = join(__dirname, '../../lib/agent');
const PROGRAM = ['address.awk', 'kernel.awk', 'lookup.awk'].map((name) => readFileSync(join(AGENT, name), 'utf8'));

/** Prints the outcomes of each flow, before and after the change. */
const DRIVER = `
part == "flows" { p = new_flow($1, $2, $3); F_PORT[p] = $4; if ($5 != "-") F_OIF[p] = $5; U[p] = $6; T[p] = $7; D[p] = $8; next }
part == "gateways" { for (i = 3; i < NF; i++) if ($i == "via") gateway_flow(family, $(i + 1)); next }
part == "change" { change(family); next }
/^family/ { next }
{ is_now(family) }
END {
  order_rules()
  for (p = 1; p in U; p++) for (s = 1; s <= 2; s++) {
    packet_uid = U[p]; packet_tos = T[p]; packet_port = D[p]
    said = lookup(s, p)
    gsub(/\\n/, "|", said)
    print said
  }
}`;

const SEED = Number(process.env.AGENT_SEED ?? 1);
const HOSTS = 8;
const FLOWS = 24;

let state = 1;
function random(below: number): number {
  state = (state * 1103515245 + 12345) % 2147483648;
  return Math.floor((state / 2147483648) * below);
}
function one<T>(list: readonly T[]): T {
  return list[random(list.length)];
}
function maybe(text: () => string, chance = 3): string[] {
  return random(chance) ? [] : [text()];
}

interface Names {
  readonly own: readonly string[];
  readonly peers: readonly string[];
  readonly prefixes: readonly string[];
  readonly gateways: ReadonlyArray<[string, string]>;
}
const NAMES: Record<4 | 6, Names> = {
  4: {
    own: ['192.168.178.2', '192.168.1.100', '10.20.0.1'],
    peers: [
      '192.168.178.10',
      '192.168.1.9',
      '10.20.0.9',
      '10.1.2.3',
      '10.1.9.9',
      '10.9.9.9',
      '203.0.113.9',
      '192.168.178.2',
    ],
    prefixes: [
      '10.0.0.0/8',
      '10.1.0.0/16',
      '10.1.2.0/24',
      '10.1.2.3',
      '192.168.178.0/25',
      '203.0.113.8/30',
      '192.168.0.0/16',
      'default',
    ],
    gateways: [
      ['192.168.178.1', 'eth0'],
      ['192.168.1.1', 'eth1'],
      ['192.168.1.7', 'eth1'],
      ['10.20.0.2', 'eth2'],
    ],
  },
  6: {
    own: ['fd00:178::2', 'fd00:1010::100', 'fd00:20::1'],
    peers: [
      'fd00:178::10',
      'fd00:1010::9',
      'fd00:20::9',
      'fd01:2:3::1',
      'fd01:2:9::1',
      'fd09::1',
      '2001:db8::9',
      'fd00:178::2',
    ],
    prefixes: [
      'fd00::/8',
      'fd01::/16',
      'fd01:2::/33',
      'fd01:2:3::/48',
      'fd01:2:3::1',
      'fd00:178::/65',
      '2001:db8::/29',
      'default',
    ],
    gateways: [
      ['fd00:178::1', 'eth0'],
      ['fd00:1010::1', 'eth1'],
      ['fd00:1010::7', 'eth1'],
      ['fd00:20::2', 'eth2'],
    ],
  },
};
const TABLES = [200, 201, 202, 254];

function randomRule(family: 4 | 6, priority: number): string {
  const { own, prefixes, peers } = NAMES[family];
  const address = (list: readonly string[]) => (): string => one([...list, ...prefixes.filter((p) => p !== 'default')]);
  const action = random(10);
  return [
    ...maybe(() => 'not', 6),
    ...maybe(() => `from ${address(own)()}`),
    ...maybe(() => `to ${address(peers)()}`, 2),
    ...maybe(() => `tos ${one(['0x8', '0x10'])}`, 8),
    ...maybe(() => `fwmark ${one(['0x1', '0x0/0xff', '0x2/0xf', '0xf0/0xf'])}`, 10),
    ...maybe(() => `iif ${one(['lo', 'lo', 'eth0'])}`, 8),
    ...maybe(() => `oif ${one(['eth0', 'eth1'])}`, 12),
    ...maybe(() => `uidrange ${one(['0-0', '0-999', '1000-2000'])}`, 10),
    ...maybe(() => `ipproto ${one([6, 6, 17])}`, 6),
    ...maybe(() => `sport ${one(['22', '20-30', '2222'])}`, 10),
    ...maybe(() => `dport ${one(['40000', '40000-50000', '1-1023'])}`, 6),
    action < 6
      ? `lookup ${one(TABLES)}`
      : action < 8
        ? `goto ${priority + 1 + random(12)}`
        : one(['blackhole', 'unreachable', 'prohibit']),
    ...(action < 6 ? maybe(() => `suppress_prefixlength ${one([0, 8, 16, 24])}`, 6) : []),
    ...(action < 6 ? maybe(() => `suppress_ifgroup ${one([0, 5])}`, 10) : []),
  ].join(' ');
}

function randomRoute(family: 4 | 6): { place: string; type: string; rest: string } {
  const { prefixes, gateways } = NAMES[family];
  const hop = (): string => {
    const [via, device] = one(gateways);
    return `via ${via} dev ${device}`;
  };
  const table = one(TABLES);
  const kind = random(12);
  const place = `table ${table} metric ${one(family === 4 ? [0, 10, 50] : [1024, 10, 50])} proto 77`;
  const destination = one(prefixes);
  if (kind < 4) {
    return { type: `${one(['blackhole', 'unreachable', 'prohibit', 'throw'])} ${destination}`, place, rest: '' };
  }
  if (kind === 4) {
    return { type: destination, place, rest: ` dev ${one(['eth0', 'eth1', 'eth2'])}` };
  }
  if (kind < 7) {
    return { type: destination, place, rest: ` nexthop ${hop()} weight 1 nexthop ${hop()} weight 2` };
  }
  return { type: destination, place, rest: ` ${hop()}` };
}

/** Lines for `ip -batch`: what makes the host, and then what changes it. */
function randomHost(family: 4 | 6): { before: string[]; change: string[] } {
  const rules = new Map<string, string>();
  const before: string[] = [];
  const change: string[] = [];
  for (let i = 0; i < 16; i++) {
    before.push(...routeLines(family, 'add'));
  }
  for (let i = 0; i < 9; i++) {
    const priority = random(10) ? 1000 + i * 3 : 40000 + i;
    const spec = randomRule(family, priority);
    rules.set(`pref ${priority}`, spec);
    before.push(`rule add pref ${priority} ${spec} proto 77`);
  }
  const places = before.filter((line) => line.startsWith('route '));
  for (let i = 0; i < 4; i++) {
    change.push(...routeLines(family, one(['add', 'replace'])));
  }
  for (let i = 0; i < 4; i++) {
    // Often at a priority that is taken: behind what is there.
    const priority = 1000 + random(30);
    change.push(`rule add pref ${priority} ${randomRule(family, priority)} proto 77`);
  }
  for (const [place, spec] of [...rules].slice(0, 3)) {
    change.push(`rule del ${place} ${spec} proto 77`);
  }
  for (const line of places.slice(0, 3)) {
    change.push(line.replace('route add', 'route del').replace(/( proto 77).*/, '$1'));
  }
  return { before, change };
}
function routeLines(family: 4 | 6, verb: string): string[] {
  const { place, type, rest } = randomRoute(family);
  return [`route ${verb} ${type} ${place}${rest}`];
}

interface Flow {
  readonly to: string;
  readonly from: string;
  readonly oif: string;
  readonly uid: number;
  readonly tos: string;
  readonly sport: number;
  readonly dport: number;
}
function randomFlow(family: 4 | 6): Flow {
  const { own, peers } = NAMES[family];
  const linkLocal = family === 6 && !random(8);
  const to = one(peers);
  return {
    to: linkLocal ? 'fe80::9' : to,
    from: linkLocal ? 'fe80::2' : one(own),
    // Nobody is connected to himself over another device.
    oif: linkLocal || (family === 4 && !own.includes(to) && !random(6)) ? one(['eth0', 'eth1']) : '-',
    uid: one([0, 0, 1000]),
    tos: one(['0x0', '0x0', '0x8', '0x10']),
    sport: one([22, 22, 2222]),
    dport: one([1, 40000, 45000, 60000]),
  };
}

function ask(family: 4 | 6, flow: Flow): string {
  const oif = flow.oif === '-' ? '' : ` oif ${flow.oif}`;
  const tos = flow.tos === '0x0' ? '' : ` tos ${flow.tos}`;
  return `ip -N -o -${family} route get ${flow.to} from ${flow.from}${oif}${tos} uid ${flow.uid} ipproto 6 sport ${flow.sport} dport ${flow.dport}`;
}

const ERRORS: Array<[RegExp, string[]]> = [
  [/Network is unreachable/, ['no route', 'unreachable']],
  [/No route to host/, ['unreachable']],
  [/Invalid argument/, ['blackhole']],
  [/Permission denied/, ['prohibit']],
];
const KINDS: Record<string, string> = { 2: 'local', 3: 'broadcast', 4: 'anycast', 5: 'multicast' };

/** What the kernel says, as it may stand in a set of outcomes. */
function outcomesOf(said: string): string[] {
  const route = /^(?:(\d+) )?\S+ from \S+ (?:via (\S+) )?dev (\S+)/.exec(said);
  if (route) {
    const [, kind, via, device] = route;
    return [kind === undefined ? `dev ${device}${via === undefined ? '' : ` via ${via}`}` : (KINDS[kind] ?? kind)];
  }
  return ERRORS.find(([pattern]) => pattern.test(said))?.[1] ?? [`? ${said}`];
}

describeOnMachine('the lookup and the kernel agree', () => {
  let machine: Machine;
  let directory: string;
  beforeEach(() => {
    machine = new Machine();
    directory = mkdtempSync(join(tmpdir(), 'agent-lookup-'));
    machine.must(`
      ip link add eth2 type bridge; ip link set eth2 up; ip link set eth1 group 5
      ip addr add 10.20.0.1/24 dev eth2
      ip -6 addr add fd00:178::2/64 dev eth0 nodad; ip -6 addr add fd00:20::1/64 dev eth2 nodad
      ip -6 addr add fe80::2/64 dev eth0 nodad; ip -6 addr add fe80::2/64 dev eth1 nodad`);
  });
  afterEach(() => {
    machine.close();
    rmSync(directory, { recursive: true });
  });

  test.each([4, 6] as const)(`about IPv%s, seed ${SEED}`, (family) => {
    state = SEED * 2 + family;
    let asked = 0;
    for (let host = 0; host < HOSTS; host++) {
      const { before, change } = randomHost(family);
      const flows = Array.from({ length: FLOWS }, () => randomFlow(family));
      const questions = flows.map((flow) => `${ask(family, flow)} 2>&1`).join('\n');
      // Sometimes a link goes down: then next hops through it are dead.
      const down = random(3) ? '' : 'ip link set eth2 down';
      const script = `
        for f in 4 6; do ip -$f rule flush; ip -$f rule add lookup 255 pref 0; ip -$f rule add lookup 254 pref 32766; ip -$f route flush proto 77 table all; done 2>/dev/null
        ip link set eth2 up; ip addr replace 10.20.0.1/24 dev eth2; ip -6 addr replace fd00:20::1/64 dev eth2 nodad
        ip -${family} -force -batch - >/dev/null 2>&1 <<END
${before.join('\n')}
END
        ${down}
        ip -N -o -${family} -batch - >/mnt/dump <<END
rule show
route show table all
link show
END
        ${questions}
        echo ---
        : >/mnt/change
        while read -r line; do ! ip -${family} $line 2>/dev/null || echo "$line"; done <<END >/mnt/change
${change.join('\n')}
END
        ${questions}
        :`;
      const [said = '', then = ''] = machine.must(script).split('---\n');
      const kernel = [said.trimEnd().split('\n'), then.trimEnd().split('\n')];
      const changed = machine.must('cat /mnt/change');
      const file = (name: string, text: string): string => {
        writeFileSync(join(directory, name), text);
        return join(directory, name);
      };
      const dump = file('dump', machine.must('cat /mnt/dump'));
      const changes = file('change', changed);
      const list = flows.map((f) => `${family} ${f.to} ${f.from} ${f.sport} ${f.oif} ${f.uid} ${f.tos} ${f.dport}`);
      const wanted = file('flows', `${list.join('\n')}\n`);
      for (const which of AWKS) {
        const [command = '', ...args] = which.split(' ');
        const out = execFileSync(
          command,
          [
            ...args,
            '-v',
            `family=${family}`,
            PROGRAM.join('\n') + DRIVER,
            'part=flows',
            wanted,
            'part=gateways',
            changes,
            'part=kernel',
            dump,
            'part=change',
            changes,
          ],
          { encoding: 'utf8', env: { ...process.env, LC_ALL: 'C' } },
        ).split('\n');
        flows.forEach((flow, i) => {
          for (const phase of [0, 1]) {
            const foreseen = (out[i * 2 + phase] ?? '').split('|').slice(0, -1);
            const may = outcomesOf(kernel[phase]?.[i] ?? '');
            asked++;
            if (!may.some((outcome) => foreseen.includes(outcome))) {
              throw new Error(
                [
                  `${which}, seed ${SEED}, host ${host}: ${ask(family, flow)}`,
                  `${phase ? 'after' : 'before'} the change the kernel says ${may.join(' or ')}, the rules say ${foreseen.join(' or ')}`,
                  ...before,
                  down,
                  '--- change',
                  changed,
                ].join('\n'),
              );
            }
          }
        });
      }
    }
    expect(asked).toBe(HOSTS * FLOWS * 2 * AWKS.length);
  });
});

describeOnMachine('the lookup', () => {
  const MAIN = ['32766:\tfrom all lookup 254', 'default via 192.168.178.1 dev eth0'];
  const DEFAULT = 'dev eth0 via 192.168.178.1|';

  // What the kernel cannot be asked for, or seldom happens by chance.
  test.each<[string, string[], string[], string, string]>([
    [
      'puts a new rule behind those of its priority',
      ['100:\tfrom all to 10.9.9.9 lookup 254', ...MAIN],
      ['rule add pref 100 to 10.9.9.9 blackhole proto 77', 'rule add pref 99 to 10.8.8.8 blackhole proto 77'],
      DEFAULT,
      DEFAULT,
    ],
    [
      'passes over next hops that are dead',
      [
        ...MAIN,
        '10.9.9.0/24 via 10.20.0.2 dev eth2 dead linkdown',
        '10.9.0.0/16 \\\tnexthop via 10.20.0.2 dev eth2 weight 1 dead linkdown \\\tnexthop via 192.168.1.1 dev eth1 weight 1 linkdown',
      ],
      ['route del 10.9.0.0/16 table 254 metric 0 proto 77'],
      'dev eth1 via 192.168.1.1|',
      DEFAULT,
    ],
    [
      'follows a goto only if the rule is there to which it leads',
      ['90:\tfrom all goto 100 [unresolved]', '95:\tfrom all prohibit', ...MAIN],
      ['rule add pref 100 from 10.5.0.0/16 lookup 200 proto 77'],
      'prohibit|',
      DEFAULT,
    ],
    [
      'knows the newer words of rules, as far as they can be known',
      [
        '90:\tfrom all dscp 2 blackhole',
        '91:\tfrom all dport 0x5/0xff prohibit',
        '92:\tfrom all dscp CS1 unreachable',
        ...MAIN,
      ],
      ['rule add pref 99 tun_id 5 blackhole proto 77'],
      `prohibit|unreachable|${DEFAULT}`,
      `prohibit|unreachable|${DEFAULT}`,
    ],
  ])('%s', (_, dump, change, before, after) => {
    const directory = mkdtempSync(join(tmpdir(), 'agent-lookup-'));
    const file = (name: string, text: readonly string[]): string => {
      writeFileSync(join(directory, name), text.map((line) => `${line}\n`).join(''));
      return join(directory, name);
    };
    try {
      const inputs = [
        ...['part=flows', file('flows', ['4 10.9.9.9 192.168.178.2 22 - 0 0x0 1'])],
        ...['part=kernel', file('dump', ['family 4', ...dump])],
        ...['part=change', file('change', change)],
      ];
      for (const which of AWKS) {
        const [command = '', ...args] = which.split(' ');
        const out = execFileSync(command, [...args, '-v', 'family=4', PROGRAM.join('\n') + DRIVER, ...inputs], {
          encoding: 'utf8',
        });
        expect(out).toBe(`${before}\n${after}\n`);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
