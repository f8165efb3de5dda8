import type { IResolveContext } from 'cdktf';
import { Fn } from 'cdktf';
import { BUNDLE_MARK, DISPATCHER, FORMAT, bundleChecksum, dispatcherText, upHookText } from '../agent/program';
import { packageIdentity } from '../agent/texts';
import type { Expectation } from '../model/expectation';
import { dispositionWords, questionWords, safeLabel } from '../model/expectation';
import { BOTH_FAMILIES } from '../model/family';
import type { FamilyOrAuto } from '../model/family';
import { forwardingSysctls } from '../model/forwarding';
import { guards } from '../model/guard';
import type { Host, Interface, UpHook } from '../model/host';
import { failClosedRoutes } from '../model/host';
import { hostFileStem } from '../model/host-file';
import { sysctls } from '../model/marking';
import type { Route } from '../model/route';
import { routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { DEFAULT_DESTINATION, iprouteForm } from '../model/value';
import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Choice, HostFile, Lines, Piece, Rendered, Requirement, Unit } from '../persistence/persistence';
import { textLines } from '../persistence/persistence';
import { isTemplate, literal } from './escape';
import { acceptRules, firewalldPolicies, forwardingFiles, probeLines } from './forwarding';
import { killSwitchFiles } from './kill-switch';
import { sharedFiles } from './scripts';
import type { StackFile } from './stack-files';
import { fileContents, provisionerFile } from './stack-files';
import { verifyTimer } from './verify-timer';

/** One up hook as the host sees it: a file that may serve several tables. */
export interface HookFile {
  readonly daemon: UpHook['daemon'];
  readonly path: string;
  readonly tableIds: readonly number[];
}

/** What a host gets, in the format of lib/agent/README.md. */
export interface Bundle {
  /** All lines that are known at synth, but for the first two. */
  readonly file: StackFile;
  /** For a `file` provisioner: program, mark, data. */
  content(context: IResolveContext): string;
}

/** Makes the bundle of a host. */
export function makeBundle(host: Host, choice: Choice): Bundle {
  const data = new BundleData(host, choice);
  const file = provisionerFile(hostFileStem(host.path), 'bundle', data.rest);
  return {
    file,
    content: (context) => {
      const values = data.valueLines((token) => context.resolve(token) as unknown);
      const inline = [...data.head.map(literal), ...values, ''].join('\n');
      return `${fileContents(sharedFiles().agent)}${BUNDLE_MARK}\n${inline}${fileContents(file)}`;
    },
  };
}

export function hookFiles(hooks: readonly UpHook[]): HookFile[] {
  const files = new Map<string, HookFile>();
  for (const hook of hooks) {
    const tableIds = files.get(hook.file)?.tableIds ?? [];
    files.set(hook.file, { daemon: hook.daemon, path: hook.file, tableIds: [...new Set([...tableIds, hook.tableId])] });
  }
  return [...files.values()];
}

/** A value that is known at apply only: the words of its line, and its token. */
interface DeferredValue {
  readonly id: number;
  readonly words: string;
  readonly token: string;
}

/** The data part. */
class BundleData {
  public readonly head: readonly string[];
  /** The lines after the values. */
  public readonly rest: string;
  private readonly values = new Map<string, DeferredValue>();

  public constructor(
    private readonly host: Host,
    private readonly choice: Choice,
  ) {
    // The version is not in the program. Otherwise each release would change the digest and run every apply.
    this.head = [`bundle ${FORMAT} ${packageIdentity().version}`, `owner ${host.owner}`];
    // Making the lines collects the values.
    const body = this.body();
    const values = [...this.values.values()].map(({ words }) => `${words} `);
    const sum = `sum ${bundleChecksum([...this.head, ...values, ...body])}`;
    this.rest = [...body, sum, ''].join('\n');
  }

  /** `jsonencode` puts the value on one line, in quotes. The agent only removes the quotes. */
  public valueLines(resolve: (token: string) => unknown): string[] {
    return [...this.values.values()].map(({ words, token }) => {
      const resolved = resolve(token);
      // A token may resolve to plain text, which would be bare words in an expression.
      const json =
        typeof resolved === 'string' && !isTemplate(resolved) ? JSON.stringify(resolved) : Fn.jsonencode(token);
      return `${words} ${json}`;
    });
  }

  private body(): string[] {
    const { host, choice } = this;
    const hooks = hookFiles(host.hooks);
    const files: HostFile[] = [
      { path: DISPATCHER, mode: '0755', lines: textLines(dispatcherText()), shared: true },
      ...this.tableNames(),
      ...hooks.map((hook): HostFile => ({
        path: hook.path,
        mode: '0755',
        lines: textLines(upHookText([...hook.tableIds])),
      })),
    ];
    const killSwitch = killSwitchFiles(host);
    const timer = verifyTimer(host);
    const rendered = choice.among.map((persistence) => ({ ...persistence.render(host), of: persistence }));
    return [
      ...(choice.kind === 'named' ? [] : [choice.kind]),
      ...rendered.map(({ of, devices }) => ['persistence', of.name, of.routeProtocol, ...devices].join(' ')),
      ...(host.translations.length === 0 ? [] : ['requires nftables']),
      ...(firewalldPolicies(host).length === 0 ? [] : ['requires firewalld']),
      ...host.tables.map((table) => `table ${table.id} ${table.name ?? '-'}`),
      ...host.rules.map((rule) => this.rule('rule', rule)),
      ...guards(host).map((guard) => this.rule('guard', guard)),
      ...host.routes.map((route) => this.route(route)),
      // With every persistence, our unit sets these before the network comes up. They do not go with a link.
      ...failClosedRoutes(host).map((route) => `${this.route(route)} proto ${ROUTING_PROTOCOL}`),
      ...host.expectations.flatMap((expectation) => this.expectation(expectation)),
      ...(host.expectations.some(comesIn) ? [['probe note'], ...probeLines(host)] : []).map((parts) =>
        this.pieces(parts, 'auto').join(''),
      ),
      ...(host.expectations.length === 0 ? [] : host.interfaces).flatMap((link) => this.gateways(link)),
      ...[...files, ...killSwitch.files, ...forwardingFiles(host), ...timer.files].flatMap((file) => this.file(file)),
      ...[...killSwitch.units, ...timer.units].map(unit),
      ...host.routes.flatMap((route) => this.followed(route)),
      ...sysctls(host).map(([key, value]) => `sysctl ${key} ${value} nftables`),
      ...forwardingSysctls(host).map(({ key, value }) => `sysctl ${this.pieces(key, 'auto').join('')} ${value}`),
      ...acceptRules(host).map(({ chain, parts }) => `accept ${chain} ${this.pieces(parts, 'auto').join('')}`),
      ...(host.textfileDirectory ? [`textfile ${host.textfileDirectory}`] : []),
      ...hooks.map((hook) => `hook ${hook.daemon} ${hook.path} ${hook.tableIds.join(' ')}`),
      ...(host.adopts ? ['adopt', ...host.adopts.map((file) => `adopt ${file}`)] : []),
      ...rendered.flatMap((each) => [`for ${each.of.name}`, ...this.persistence(each)]),
    ];
  }

  private persistence({ files, dropIns = [], blocks = [], units, requirements }: Rendered): string[] {
    return [
      ...requirements.map(requirement),
      ...files.flatMap((file) => this.file(file)),
      ...dropIns.flatMap(({ device, name, lines }) => this.content(`dropin ${device} ${name}`, lines)),
      ...blocks.flatMap(({ device, lines }) => this.content(`block ${device}`, lines)),
      ...units.map(unit),
    ];
  }

  private tableNames(): HostFile[] {
    const lines = this.host.tables.filter((table) => table.name).map((table) => [`${table.id} ${table.name}`]);
    const path = `/etc/iproute2/rt_tables.d/source-routing-${this.host.owner}.conf`;
    return lines.length === 0 ? [] : [{ path, mode: '0644', lines }];
  }

  private file(file: HostFile): string[] {
    const { mode, path, lines, shared } = file;
    return this.content(`file ${mode} ${path}`, lines, `${shared ? ' shared' : ''}${conditions(file)}`);
  }

  private content(head: string, lines: Lines, tail = ''): string[] {
    return [`${head} ${lines.length}${tail}`, ...lines.map((pieces) => `|${this.pieces(pieces, 'auto').join('')}`)];
  }

  private rule(word: string, rule: Rule): string {
    const { source, destination } = rule;
    const words = ruleWords({ ...rule, source: selective(source), destination: selective(destination) });
    return this.line([word, rule.family, rule.priority], words, rule.family);
  }

  private route(route: Route): string {
    return this.line(
      ['route', route.family, route.tableId],
      [iprouteForm(route.destination), String(routeMetric(route)), ...routeWords(route)],
      route.family,
    );
  }

  private expectation({ label, questions, dispositions }: Expectation): string[] {
    return questions.map((question) =>
      this.line(
        ['expect', question.family],
        [label, ...questionWords(question), 'is', ...dispositionWords(dispositions)],
        question.family,
      ),
    );
  }

  private gateways({ name, gateways }: Interface): string[] {
    return BOTH_FAMILIES.map((family) => ({ family, own: gateways.filter((via) => via.family === family) }))
      .filter(({ own }) => own.length > 0)
      .map(({ family, own }) => this.line(['gateway', family], [name, ...own], family));
  }

  private line(head: ReadonlyArray<string | number>, words: readonly Word[], family: FamilyOrAuto): string {
    return [...head, ...this.pieces(words, family)].join(' ');
  }

  /** A next hop that the machine finds itself. */
  private followed(route: Route): string[] {
    const { family, tableId, destination, hops } = route;
    const [only] = hops;
    return only?.via?.isFollowed && only.device
      ? [
          this.line(
            ['follow', family, tableId],
            [iprouteForm(destination), String(routeMetric(route)), only.device],
            family,
          ),
        ]
      : [];
  }

  private pieces(words: readonly Piece[], family: FamilyOrAuto): string[] {
    return words.map((word) => {
      if (typeof word === 'string') {
        return word;
      }
      if ('value' in word) {
        return `@${this.deferred(word.value, word.value.deferredFor ?? '', 'auto')}.${word.family}@`;
      }
      return word.deferredFor === undefined || word.isFollowed
        ? word.text
        : `@${this.deferred(word, word.deferredFor, family)}@`;
    });
  }

  private deferred(value: Value, label: string, family: FamilyOrAuto): number {
    const wanted = value.kind === 'device' || family === 'auto' ? '-' : String(family);
    const key = [value.kind, wanted, label, value.text].join(' ');
    const id = this.values.get(key)?.id ?? this.values.size + 1;
    const words = `value ${id} ${value.kind} ${wanted} ${safeLabel(label)}`;
    this.values.set(key, { id, words, token: value.text });
    return id;
  }
}

/** The prefix, unless it is all addresses of its family: iproute2 does not print such a selector. */
export function selective(prefix: Value | undefined): Value | undefined {
  return prefix && iprouteForm(prefix) !== DEFAULT_DESTINATION ? prefix : undefined;
}

/** Whether the expectation is about packets that come in by an interface, as those of clients do. */
function comesIn({ questions }: Expectation): boolean {
  return questions.some(({ inputInterface }) => inputInterface !== undefined);
}

function unit(of: Unit): string {
  return `unit ${of.name}${conditions(of)}`;
}

/** The condition under which a file or a unit is put on the machine. */
function conditions({ systemdOnly, nftablesOnly }: Pick<HostFile, 'systemdOnly' | 'nftablesOnly'>): string {
  return `${systemdOnly ? ' systemd' : ''}${nftablesOnly ? ' nftables' : ''}`;
}

function requirement(required: Requirement): string {
  switch (required.kind) {
    case 'systemd':
      return 'requires systemd';
    case 'version':
      return `requires version ${required.manager} ${required.atLeast} ${required.for}`;
  }
}
