import { execFileSync, spawn, spawnSync } from 'child_process';
import type { ChildProcess } from 'child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'fs';
import { tmpdir } from 'os';
import { join } from 'path';
import { BUNDLE_MARK, agentProgram, bundleChecksum, dispatcherText } from '../../lib/agent/program';
import { FULL } from '../random';

/** A shell with the utilities that come with it. */
export interface Flavour {
  readonly name: string;
  readonly shell: string;
  readonly awk: string;
  /** Utilities that are BusyBox's, as on Alpine. */
  readonly busybox?: boolean;
  /** Tries what is the same under every shell, too: all ways of failing, packets that the kernel alone decides about. */
  readonly thorough: boolean;
}

export const DASH: Flavour = { name: 'dash and mawk', shell: 'dash', awk: 'mawk', thorough: true };
export const BASH: Flavour = { name: 'bash and gawk', shell: 'bash --posix', awk: 'gawk', thorough: FULL };
/** As on Alpine. */
export const BUSYBOX: Flavour = {
  name: 'BusyBox',
  shell: 'busybox ash',
  awk: 'busybox awk',
  busybox: true,
  thorough: FULL,
};
export const AWKS = ['mawk', 'busybox awk', 'gawk', 'original-awk'];

const TOOLS = ['ip', 'unshare', 'nsenter', 'dash', 'bash', 'busybox', 'mawk', 'gawk', 'original-awk', 'shellcheck'];
const BUSYBOX_TOOLS = 'cat chmod cmp cp find grep head id ls mkdir mv rm rmdir sed sleep sort sync tr wc'.split(' ');

/** Holds up everything here for that long. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

/**
 * The steps of a run at which a test lets it fail, until the test leaves the loop: every one in `npm run test:full`, else
 * the first and one of so many, each time from another one on.
 */
export function* steps(oneOf: number): Generator<number, never> {
  const stride = FULL ? 1 : oneOf;
  yield 1;
  for (let step = 2 + (Date.now() % stride); ; step += stride) yield step;
}

/** What this box lacks for the suite, empty if nothing. */
function missing(): string {
  const tools = TOOLS.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  const lacks = [
    ...(process.getuid?.() === 0 ? [] : ['root']),
    ...(tools.length === 0 ? [] : [`the tools ${tools.join(', ')}`]),
  ];
  if (lacks.length === 0 && spawnSync('unshare', ['--net', '--mount', 'true']).status !== 0) {
    lacks.push('the right to make namespaces');
  }
  return lacks.length === 0 ? '' : `the agent's suite needs ${lacks.join(' and ')}`;
}

let lackingHere: string | undefined;

/** `describe`, unless this box cannot run it: then a failure under CI, else a visible skip. */
export function describeOnMachine(name: string, body: () => void): void {
  const lacks = (lackingHere ??= missing());
  if (lacks === '') {
    describe(name, body);
  } else if (process.env.CI === 'true') {
    describe(name, () => {
      test('can run here', () => {
        throw new Error(lacks);
      });
    });
  } else {
    describe.skip(`${name} (SKIPPED: ${lacks})`, body);
  }
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  /** The last line printed: all that Terraform shows. */
  readonly last: string;
}

/** The bundle of these data lines, checksum included; of persistence `service` if they name none. */
export function bundle(data: readonly string[], program: string): string {
  const named = data.some((line) => line.startsWith('persistence '));
  const all = named ? data : [...data.slice(0, 2), 'persistence service own', ...data.slice(2)];
  return `${program}${BUNDLE_MARK}\n${all.join('\n')}\nsum ${bundleChecksum(all)}\n`;
}

/** The program, except that it looks for its tools in the test's directory first, and does not wait long. */
export function testProgram(): string {
  return agentProgram()
    .replace(/^PATH=(.*)$/m, 'PATH=/mnt/bin:$1')
    .replace(/^LOCK_WAIT=60/m, 'LOCK_WAIT=2')
    .replace(/^SEIZE_AFTER=10/m, 'SEIZE_AFTER=2');
}

/** A throw-away machine: namespaces of its own, an uplink eth0, an egress eth1, its own /etc and the like. */
export class Machine {
  private readonly holder: ChildProcess;
  private readonly directory: string;
  public readonly owner = 'vpn1';

  public constructor(public readonly flavour: Flavour = DASH) {
    this.directory = mkdtempSync(join(tmpdir(), 'agent-test-'));
    const script = join(this.directory, 'setup.sh');
    writeFileSync(script, setup(flavour));
    // It ends when it can no longer read from us, however we end.
    this.holder = spawn('unshare', ['--net', '--mount', 'sh', script], { stdio: ['pipe', 'inherit', 'inherit'] });
    const until = Date.now() + 10_000;
    while (!existsSync(`/proc/${this.holder.pid}/root${READY}`)) {
      if (Date.now() > until) {
        throw new Error('the namespaces did not come up');
      }
      sleep(1);
    }
    this.write('/mnt/source-routing', dispatcherText());
  }

  public close(): void {
    // Also what a test that failed has left running in the background.
    this.processes().forEach((pid) => {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    });
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** All that run in its network namespace, which must be one of its own. */
  private processes(): number[] {
    const namespaceOf = (pid: string): string | undefined => {
      try {
        return readlinkSync(`/proc/${pid}/ns/net`);
      } catch {
        return undefined;
      }
    };
    const own = namespaceOf(String(this.holder.pid));
    if (own === undefined || own === namespaceOf('self')) return [];
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && namespaceOf(pid) === own)
      .map(Number);
  }

  /** A command that runs inside, as arguments for spawn. */
  public inside(...command: string[]): [string, string[]] {
    return ['nsenter', ['-t', String(this.holder.pid), '-n', '-m', ...command]];
  }

  public sh(script: string): Outcome {
    const [command, args] = this.inside('sh', '-c', `exec 2>&1\n${script}`);
    // Whoever leaves a process behind that holds the output must not hold up the tests, too.
    const done = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000, killSignal: 'SIGKILL' });
    const out = done.stdout;
    return { code: done.status ?? -1, out, last: out.trimEnd().split('\n').at(-1) ?? '' };
  }

  /** As sh, but it must succeed; its output. */
  public must(script: string): string {
    const done = this.sh(script);
    if (done.code !== 0) {
      throw new Error(`${script}: exit ${done.code}\n${done.out}`);
    }
    return done.out;
  }

  public write(path: string, text: string): void {
    const inside = `/proc/${this.holder.pid}/root${path}`;
    rmSync(inside, { force: true });
    writeFileSync(inside, text);
    chmodSync(inside, 0o755);
  }

  /** Applies a bundle of these data lines (without `bundle`, `owner` and `sum`). */
  public apply(
    data: readonly string[],
    { owner = this.owner, generation = 'g1', text = '', options = '' } = {},
  ): Outcome {
    this.write('/mnt/bundle', text || bundle(['bundle 1', `owner ${owner}`, ...data], testProgram()));
    return this.sh(
      `${this.flavour.shell} /mnt/bundle apply --owner ${owner} --generation ${generation} ${options} /mnt/bundle`,
    );
  }

  /** Another command of the installed agent. */
  public agent(command: string, owner = this.owner): Outcome {
    const [verb, ...rest] = command.split(' ');
    return this.sh(
      `${this.flavour.shell} /var/lib/source-routing/${owner}/agent ${verb} --owner ${owner} ${rest.join(' ')}`,
    );
  }

  public verify(owner = this.owner): Outcome {
    return this.agent('verify', owner);
  }

  /** Rules of a family beyond the kernel's own, as `ip -N` prints them, guards with their protocol. */
  public rules(family: 4 | 6 = 4): string[] {
    return this.allRules(family).filter((line) => !/^(0:\tfrom all lookup 255|32766:|32767:)/.test(line));
  }

  /** The same with the kernel's own. */
  public allRules(family: 4 | 6 = 4): string[] {
    // Without details, ip does not say which rules are of protocol 2, the kernel's.
    return lines(this.must(`ip -N -d -${family} rule show`)).map((line) => line.replace(/ proto 0$/, ''));
  }

  /** Routes of a table, empty if there is none. */
  public routes(table: number | string, family: 4 | 6 = 4): string[] {
    return lines(this.sh(`ip -N -o -${family} route show table ${table} 2>/dev/null`).out);
  }

  /** Everything that the agent could leave behind: kernel and files, byte for byte. */
  public picture(): string {
    return this.must(`
      for f in 4 6; do ip -N -d -$f rule show; ip -N -o -$f route show table all; done
      find /etc /usr/local /var/lib /run ! -type d -printf '%p %m %Ts %l\n' | sort
      find /etc /usr/local /var/lib /run -type f -exec md5sum {} + | sort
      find /etc /usr/local /var/lib /run -type d -printf '%p %m\n' | sort`);
  }

  /** The same, but for how the last change ended. */
  public pictureOfChanges(): string {
    return this.picture()
      .split('\n')
      .filter((line) => !line.includes('source-routing.said'))
      .join('\n');
  }

  /** What `ip monitor` sees of rules and routes while the action runs. */
  public monitored(action: () => void): string[] {
    const [command, args] = this.inside(
      'sh',
      '-c',
      'ip -N -o monitor rule route >/mnt/monitor 2>/dev/null </dev/null & echo $! >/mnt/monitor.pid',
    );
    execFileSync(command, args);
    // A change of our own shows that it sees what comes next, and another that it has seen all that came before.
    this.until('ip rule add pref 31998 lookup 999; ip rule del pref 31998; grep -q Deleted.*31998 /mnt/monitor');
    action();
    this.must('ip rule add pref 31999 lookup 999; ip rule del pref 31999');
    this.until('grep -q Deleted.*31999 /mnt/monitor');
    this.must('kill $(cat /mnt/monitor.pid)');
    return lines(this.must('cat /mnt/monitor')).filter((line) => !/3199[89]/.test(line));
  }

  /**
   * Stands in for `ip` at the n-th line that a run writes into the kernel, once: the lines
   * before it are carried out, then it does what `instead` says.
   */
  public atLine(n: number, instead: 'fail' | 'skip' | 'kill' | 'term'): void {
    this.write(
      '/mnt/bin/ip',
      `#!/bin/sh
for file; do :; done
case $file in /run/source-routing.lock/plan.*) ;; *) exec /usr/sbin/ip "$@" ;; esac
seen=$(cat /mnt/seen 2>/dev/null || echo 0)
lines=$(wc -l <"$file")
if [ $((seen + lines)) -lt ${n} ]; then echo $((seen + lines)) >/mnt/seen; exec /usr/sbin/ip "$@"; fi
rm -f /mnt/bin/ip /mnt/seen
line=$((${n} - seen))
echo "$file:$line $(sed -n "$line"p "$file")" >/mnt/fired
head -n $((line - 1)) "$file" | /usr/sbin/ip "$1" -batch -
case ${instead} in
  fail) printf 'RTNETLINK answers: Injected failure\\nCommand failed %s:%s\\n' "$file" "$line" >&2; exit 2 ;;
  skip) sed 1,"$line"d "$file" | /usr/sbin/ip "$1" -batch - ;;
  kill) kill -9 "$PPID"; sleep 0.1 ;;
  term) sed 1,$((line - 1))d "$file" | /usr/sbin/ip "$1" -batch -; kill -TERM "$PPID" ;;
esac
`,
    );
    this.sh('rm -f /mnt/fired /mnt/seen');
  }

  /** Kills the run when it moves a file of that name into its place, once. */
  public killAtMove(name: string): void {
    this.write(
      '/mnt/bin/mv',
      `#!/bin/sh
case "$*" in
  */${name}) rm /mnt/bin/mv; read -r pid rest </run/source-routing.lock/holder; kill -9 "$pid"; exit 1 ;;
esac
exec /bin/mv "$@"
`,
    );
  }

  /** Waits, without holding up what runs inside, until a condition in shell is true. */
  public until(condition: string, seconds = 10): void {
    this.must(`n=0; until ${condition}; do n=$((n + 1)); [ $n -lt ${seconds * 50} ] || exit 1; sleep 0.02; done`);
  }

  /** Did what atLine prepared happen? Undoes it if not. */
  public fired(): boolean {
    return this.linesOrFired() === 'fired';
  }

  /** The same; if it did not, the lines that the run has written. */
  public linesOrFired(): number | 'fired' {
    const seen = this.sh('cat /mnt/seen; rm -f /mnt/bin/ip /mnt/seen; test -e /mnt/fired');
    return seen.code === 0 ? 'fired' : parseInt(seen.out);
  }

  /** A systemctl that notes what it is asked for, and fails for the verbs given. */
  public fakeSystemd(failing: readonly string[] = []): void {
    this.must('mkdir -p /run/systemd/system; : >/mnt/systemctl.log');
    this.write(
      '/mnt/bin/systemctl',
      `#!/bin/sh
echo "$*" >>/mnt/systemctl.log
case $1 in
  ${failing.length ? failing.join('|') : 'none'}) echo "Failed to $1: injected" >&2; exit 1 ;;
esac
verb=$1
shift
case " $* " in *' --now '*) now=1 ;; *) now= ;; esac
# The questions are answered for each unit, and it is a yes if one of them is.
yes=
for unit; do
  case $unit in -*) continue ;; esac
  file=/etc/systemd/system/$unit
  case $verb in
    enable) { [ -e "$file" ] && touch "/mnt/enabled.$unit"; } || exit 1 ;;
    disable)
      # As systemd 252 does.
      [ -e "$file" ] || [ -e "/mnt/enabled.$unit" ] || exit 1
      rm -f "/mnt/enabled.$unit"
      [ -z "$now" ] || rm -f "/mnt/active.$unit"
      ;;
    start|restart) touch "/mnt/active.$unit" ;;
    stop) rm -f "/mnt/active.$unit" ;;
    is-enabled) if [ -e "/mnt/enabled.$unit" ]; then echo enabled; yes=1; else echo disabled; fi ;;
    is-active) if [ -e "/mnt/active.$unit" ]; then echo active; yes=1; else echo inactive; fi ;;
  esac
done
case $verb in is-*) [ -n "$yes" ] ;; esac
`,
    );
  }

  public systemctlLog(): string[] {
    return lines(this.must('cat /mnt/systemctl.log; : >/mnt/systemctl.log')).filter((line) => !line.startsWith('is-'));
  }
}

export function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.replace(/\s+$/, ''))
    .filter((line) => line !== '');
}

/** Is there once the machine is; on a file system of its own, since the box's is read-only by then. */
const READY = '/mnt/machine-is-ready';

function setup(flavour: Flavour): string {
  const links = flavour.busybox ? BUSYBOX_TOOLS.map((tool) => `ln -s "$(command -v busybox)" /mnt/bin/${tool}`) : [];
  return `set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/bin /mnt/etc
cp -a /etc/iproute2 /etc/ld.so.cache /mnt/etc
mount --bind /mnt/etc /etc
for d in /usr/local /var/lib /run; do mount -t tmpfs -o mode=755 tmpfs $d; done
printf '#!/bin/sh\\nexec ${flavour.awk} "$@"\\n' >/mnt/bin/awk
chmod 755 /mnt/bin/awk
${links.join('\n')}
ip link set lo up
echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
# Without ARP nobody need answer at a gateway.
for n in 0 1; do ip link add eth$n type bridge; ip link set eth$n arp off up; done
ip addr add 192.168.178.2/24 dev eth0
ip addr add 192.168.1.100/24 dev eth1
ip -6 addr add fd00:1010::100/64 dev eth1 nodad
# The kernel makes the route of an IPv6 address a moment later.
until ip -6 route show table local | grep -q fd00:1010::100; do sleep 0.01; done
ip route add default via 192.168.178.1
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# Whatever a test does, the files of this box are safe. It fails while anything in here writes to them, be it only the time
# at which a file was read: so before a test begins.
mount -o remount,bind,ro /
: >${READY}
exec cat
`;
}
