import { execFileSync, spawnSync } from 'child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { BUNDLE_MARK, agentProgram, bundleChecksum } from '../lib/agent/program';
import { median } from './median';

const RULES = 1000;
const RUNS = 15;
/** For how the times grow: so many rules, each with its guard. */
const MANY = [1000, 10_000];
const RUNS_OF_MANY = 5;

/**
 * What the agent costs on a machine, against the floor: `ip -batch` of the same lines.
 * Everything runs in throw-away namespaces; the figures are medians, the ratios are between
 * runs of the same minute.
 */
export function benchAgent(): void {
  for (const awk of ['mawk', 'gawk', 'busybox']) {
    const path = spawnSync('sh', ['-c', `command -v ${awk}`], { encoding: 'utf8' }).stdout.trim();
    if (path !== '') {
      bench(awk, path);
    }
  }
}

function bench(awk: string, path: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'bench-agent-'));
  try {
    writeFileSync(join(directory, 'many'), bundle(RULES));
    writeFileSync(join(directory, 'one'), bundle(1));
    writeFileSync(
      join(directory, 'batch'),
      rules(RULES)
        .map((r) => `rule add ${r} proto 77\n`)
        .join(''),
    );
    writeFileSync(
      join(directory, 'drop'),
      rules(RULES)
        .map((r) => `rule del ${r} proto 77\n`)
        .join(''),
    );
    for (const count of MANY) {
      writeFileSync(join(directory, `guarded-${count}`), bundle(count, true));
    }
    writeFileSync(join(directory, 'run.sh'), script(directory, path));
    execFileSync('unshare', ['--net', '--mount', 'sh', join(directory, 'run.sh')], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const times = new Map<string, number[]>();
    for (const line of readFileSync(join(directory, 'times'), 'utf8').trim().split('\n')) {
      const [name = '', from = '0', to = '0'] = line.split(' ');
      times.set(name, [...(times.get(name) ?? []), Number(BigInt(to) - BigInt(from)) / 1e6]);
    }
    print(awk, times);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function rules(count: number): string[] {
  return Array.from(
    { length: count },
    (_, i) => `pref ${10000 + i} from 10.${Math.floor(i / 250)}.${i % 250}.0/24 lookup 200`,
  );
}

/** Of rules that stand in the same order as their priorities. A guard is its rule, but rejects, at priority + 10000. */
function guardsOf(declared: readonly string[]): string[] {
  return declared.map((rule) =>
    rule.replace(
      /pref (\d+) (.*) lookup 200/,
      (_, priority, selectors) => `guard 4 ${Number(priority) + 10_000} ${selectors} unreachable`,
    ),
  );
}

function bundle(count: number, guarded = false): string {
  const data = [
    'bundle 1',
    'owner bench',
    'persistence service own',
    'table 200 -',
    ...rules(count).map((rule) => rule.replace('pref', 'rule 4')),
    ...(guarded ? guardsOf(rules(count)) : []),
    'route 4 200 default 4278198272 type unreachable',
  ];
  const program = agentProgram().replace(/^PATH=/m, 'PATH=/run/bin:');
  return [`${program}${BUNDLE_MARK}`, ...data, `sum ${bundleChecksum(data)}`, ''].join('\n');
}

function script(directory: string, awk: string): string {
  return `set -eu
mount --make-rprivate /
for d in /var/lib /run; do mount -t tmpfs tmpfs $d; done
mkdir /run/bin
ln -s ${awk} /run/bin/awk
ip link set lo up
# The floor under every figure is the same: one call of date.
timed() {
  name=$1
  shift
  from=$(date +%s%N)
  "$@" >/dev/null
  to=$(date +%s%N)
  echo "$name $from $to" >>${directory}/times
}
agent() { sh /var/lib/source-routing/bench/agent "$@" --owner bench; }
apply() { cp ${directory}/"$1" /run/bundle; timed "apply-$1" sh /run/bundle apply --owner bench --generation "$2" /run/bundle; }
cp ${directory}/many /run/bundle
sh /run/bundle apply --owner bench --generation first /run/bundle >/dev/null
for run in $(seq ${RUNS}); do
  ip -batch ${directory}/drop
  timed bare ip -batch ${directory}/batch
  timed assert-nothing agent assert
  ip -batch ${directory}/drop
  timed assert-all agent assert
  agent remove >/dev/null
  apply one "g$run"
  agent remove >/dev/null
  apply many "g$run"
done
agent remove >/dev/null
for run in $(seq ${RUNS_OF_MANY}); do
  for count in ${MANY.join(' ')}; do
    apply guarded-$count "g$run"
    cp ${directory}/guarded-$count /run/bundle
    timed again-$count sh /run/bundle apply --owner bench --generation "h$run" /run/bundle
    timed remove-$count agent remove
  done
done
`;
}

function print(awk: string, times: Map<string, number[]>): void {
  const medianOf = (name: string): number => median(times.get(name) ?? []);
  const floor = medianOf('bare');
  const rows: Array<[string, string]> = [
    [`ip -batch, ${RULES} rules: the floor`, 'bare'],
    [`assert, from none to ${RULES} rules`, 'assert-all'],
    [`assert, ${RULES} rules, nothing to do`, 'assert-nothing'],
    [`apply, ${RULES} rules`, 'apply-many'],
    ['apply, 1 rule', 'apply-one'],
  ];
  console.log(`agent, /bin/sh, ${awk}; median of ${RUNS} runs`);
  for (const [label, name] of rows) {
    const value = medianOf(name);
    console.log(`  ${label.padEnd(40)}${value.toFixed(1).padStart(8)} ms${(value / floor).toFixed(2).padStart(8)} x`);
  }
  const [few, many] = MANY;
  console.log(`  with a guard for each rule, ${few} and ${many} rules; median of ${RUNS_OF_MANY} runs`);
  for (const [label, name] of [
    ['first apply', 'apply-guarded'],
    ['apply, nothing to do', 'again'],
    ['removal', 'remove'],
  ]) {
    const [short, long] = [medianOf(`${name}-${few}`), medianOf(`${name}-${many}`)];
    const exponent = Math.log(long / short) / Math.log(many / few);
    console.log(
      `  ${label.padEnd(40)}${short.toFixed(1).padStart(8)} ms${long.toFixed(1).padStart(8)} ms, growth exponent ${exponent.toFixed(2)}`,
    );
  }
}
