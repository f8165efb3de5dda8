import type { IResolveContext } from 'cdktf';
import { FORMAT } from '../agent/program';
import { packagedText } from '../agent/texts';
import { ValidationError } from '../errors';
import { guards } from '../model/guard';
import type { Host } from '../model/host';
import { failClosedRoutes } from '../model/host';
import type { Route } from '../model/route';
import { defaultMetric, routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { ruleWords } from '../model/rule';
import type { Value, ValueKind } from '../model/value';
import { InvalidValue, iprouteForm, isKnown, parseAddress, parseDevice, parsePrefix } from '../model/value';
import type { HostFile, Piece } from '../persistence/persistence';
import { watchUnit } from '../persistence/service';
import { selective } from './bundle';
import { expression, isTemplate, literal } from './escape';
import { sysctlFiles } from './forwarding';
import { killSwitchFiles } from './kill-switch';

/** The most that AWS takes as user data. Other clouds take as much, or more. */
export const MOST_BYTES = 16384;

/** No line of a file is this one: a value that Terraform fills in has no line break, and is never alone on a line. */
const END = 'END_OF_FILE';

/** Nor is any line of the whole text this one. */
const END_OF_TEXT = 'END_OF_TEXT';

/**
 * Deferred values in the form of the kernel. They go into a script that root runs, so anything else fails the plan. A
 * value in another form, or one that the kernel does not take, would be a rule that nothing finds again.
 */
const FORMS: Readonly<Record<ValueKind, (text: string) => string>> = {
  prefix: (text) => `\${cidrhost("${text}", 0)}/\${split("/", "${text}")[1]}`,
  address: (text) => expression(`cidrhost(can(regex(":", "${text}")) ? "${text}/128" : "${text}/32", 0)`),
  device: (text) => expression(`regex("^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,14}$", "${text}")`),
};

/** The same for values that were tokens, but that the program knows in the end. */
const PARSERS: Readonly<Record<ValueKind, (text: string, property: string) => Value>> = {
  prefix: parsePrefix,
  address: parseAddress,
  device: parseDevice,
};

/** The longest text of each kind. */
const WIDEST: Readonly<Record<ValueKind, number>> = { prefix: 43, address: 39, device: 15 };

/** Puts values that only Terraform knows into the text. */
interface Filling {
  text(value: Value): string;
  /** `six` if the value is of IPv6, and `four` if not. */
  byFamily(value: Value, six: string, four: string): string;
}

/** What cloud-init runs at the first boot, so that the machine has the rules and routes of a host before an apply. */
export function bootHook(host: Host, context: IResolveContext): string {
  return hookText(host, fillingOf(context));
}

/**
 * The same in base64, as an expression of Terraform. The text is in the expression, since a local value has no values of
 * an iterator.
 */
export function bootHookBase64(host: Host, context: IResolveContext): string {
  const { suppressBraces } = context;
  // Also as the argument of a function, the text is a template.
  context.suppressBraces = false;
  const text = bootHook(host, context);
  context.suppressBraces = suppressBraces;
  const encoded = `base64encode(<<${END_OF_TEXT}\n${text}${END_OF_TEXT}\n)`;
  return suppressBraces ? encoded : expression(encoded);
}

/** The size of that text in bytes, with the longest values that Terraform may fill in. */
export function mostBytes(host: Host): number {
  const text = hookText(host, {
    text: (value) => (isKnown(value) ? value.text : '-'.repeat(WIDEST[value.kind])),
    byFamily: (_, six, four) => (six.length > four.length ? six : four),
  });
  // What is escaped for Terraform is longer here than on the machine.
  return Buffer.byteLength(text.replace(/\$\$\{/g, '${').replace(/%%\{/g, '%{'));
}

function hookText(host: Host, filling: Filling): string {
  const head = [
    '#cloud-boothook',
    '#!/bin/sh',
    '# Source routing from the first boot until the first apply over SSH. Made by cdktf-source-routing.',
    `owner='${host.owner}'`,
    '',
  ];
  if (host.rules.length === 0 && host.routes.length === 0) {
    return head.join('\n');
  }
  const writer = new HookWriter(filling);
  return [
    head.join('\n'),
    code('boot-hook'),
    document('cat >"$home/agent"', `# Until the first apply over SSH.\n${code('boot-agent')}`),
    document('cat >"$new/state"', writer.state(host).join('')),
    `echo ${FORMAT} >"$new/format"\n`,
    ...writer.firewall(host),
    'sh "$home/agent" assert\n',
    ...writer.forwarding(host),
    ...writer.unit(host),
    'start_units\n',
    // Last: what is half made is made again.
    'echo cloud-init >"$home/current"\n',
    ': >"$made"\n',
  ].join('');
}

/** A script without its first line and its comments, since space is scarce. */
function code(name: string): string {
  const lines = packagedText(`delivery/${name}.sh`).split('\n');
  return literal(lines.filter((line) => line.trim() !== '' && !/^\s*#/.test(line)).join('\n')) + '\n';
}

/** A command that reads a text. */
function document(command: string, text: string): string {
  return `${command} <<'${END}'\n${text}${END}\n`;
}

class HookWriter {
  public constructor(private readonly filling: Filling) {}

  /** Rules and routes in the form of the agent, in the order in which they are made: what rejects packets first. */
  public state(host: Host): string[] {
    const routes = host.routes.filter(({ hops }) => !hops.some(({ via }) => via?.isFollowed));
    return [
      'families 4 6\n',
      `watched${host.tables.map(({ id }) => ` ${id}`).join('')}\n`,
      ...host.tables.map(({ id, name }) => `table ${id} ${name ?? '-'}\n`),
      ...guards(host).map((guard) => this.rule('guard', guard)),
      ...failClosedRoutes(host).map((route) => this.route(route)),
      ...host.rules.map((rule) => this.rule('rule', rule)),
      ...routes.map((route) => this.route(route)),
    ];
  }

  /** The kill switch, source NAT and marks: files that the apply would write, too. */
  public firewall(host: Host): string[] {
    const { files, units } = killSwitchFiles(host);
    if (files.length === 0) {
      return [];
    }
    return [
      'if has_nftables; then\n',
      ...files.map((file) => this.file(file)),
      ...files.filter(({ path }) => path.endsWith('.nft')).map(({ path }) => `nft -f ${path}\n`),
      ...files.filter(isSysctlFile).map(({ path }) => `sysctl -q -p ${path}\n`),
      ...units.map(({ name }) => `install_unit ${name}\n`),
      'fi\n',
    ];
  }

  /** The hook leaves out what would cost an address of the uplink. */
  public forwarding(host: Host): string[] {
    return sysctlFiles(host).flatMap((file) => [this.file(file), `sysctl -q -p ${file.path}\n`]);
  }

  /** The unit that watches the kernel is that of an apply. Here, the agent that it runs is another one. */
  public unit(host: Host): string[] {
    const { name, file } = watchUnit(host);
    return [this.file(file), `install_unit ${name}\n`];
  }

  private file({ mode, path, lines }: HostFile): string {
    return document(`install_file ${mode} ${path}`, lines.map((line) => this.line(line)).join(''));
  }

  private rule(word: string, rule: Rule): string {
    const { source, destination, priority } = rule;
    const words = ruleWords({ ...rule, source: selective(source), destination: selective(destination) });
    return this.stateLine([word, this.familyOf(rule, words), priority], words);
  }

  private route(route: Route): string {
    const words = routeWords(route);
    const destination = iprouteForm(route.destination);
    const all = [destination, ...words];
    const metric = this.metric(route, all);
    return this.stateLine(['route', this.familyOf(route, all), route.tableId, this.word(destination), metric], words);
  }

  /** For metric 0 in IPv6, the kernel uses and prints its default. */
  private metric(route: Route, words: readonly Word[]): string {
    const metric = routeMetric(route);
    if (metric !== 0) {
      return String(metric);
    }
    return route.family === 'auto'
      ? this.filling.byFamily(decidesFamily(words), String(defaultMetric(6)), '0')
      : String(defaultMetric(route.family));
  }

  private familyOf({ family }: Rule | Route, words: readonly Word[]): string {
    return family === 'auto' ? this.filling.byFamily(decidesFamily(words), '6', '4') : String(family);
  }

  private stateLine(head: ReadonlyArray<string | number>, words: readonly Word[]): string {
    return `${[...head, ...words.map((word) => this.word(word))].join(' ')}\n`;
  }

  private word(word: Word): string {
    return typeof word === 'string' ? literal(word) : this.filling.text(word);
  }

  private line(pieces: readonly Piece[]): string {
    const text = pieces.map((piece) => this.piece(piece)).join('');
    const depending = pieces.flatMap((piece) => (typeof piece !== 'string' && 'value' in piece ? [piece] : []));
    return depending.reduce(
      (line, { value, family }) =>
        family === 6 ? this.filling.byFamily(value, line, '') : this.filling.byFamily(value, '', line),
      `${text}\n`,
    );
  }

  private piece(piece: Piece): string {
    return this.word(typeof piece !== 'string' && 'value' in piece ? piece.value : piece);
  }
}

function isSysctlFile({ path }: HostFile): boolean {
  return path.startsWith('/etc/sysctl.d/');
}

/** The value that decides the family of a line: all of a line have one family. */
function decidesFamily(words: readonly Word[]): Value {
  const values = words.flatMap((word) => (typeof word === 'string' ? [] : [word]));
  const [value] = values.filter(({ kind, deferredFor }) => kind !== 'device' && deferredFor !== undefined);
  return value;
}

function fillingOf(context: IResolveContext): Filling {
  return {
    text: (value) => {
      const text = textOf(value, context);
      return isTemplate(text) ? FORMS[value.kind](text) : text;
    },
    byFamily: (value, six, four) => {
      const text = textOf(value, context);
      if (!isTemplate(text)) {
        return text.includes(':') ? six : four;
      }
      return `%{ if can(regex(":", "${text}")) }${six}%{ else }${four}%{ endif }`;
    },
  };
}

/** The text of a value, which is a template if only Terraform knows it. */
function textOf({ kind, text, deferredFor }: Value, context: IResolveContext): string {
  if (deferredFor === undefined) {
    return literal(text);
  }
  const resolved = String(context.resolve(text));
  if (isTemplate(resolved)) {
    return resolved;
  }
  const [path = '', property = ''] = deferredFor.split(':');
  try {
    return PARSERS[kind](resolved, property).text;
  } catch (error) {
    throw error instanceof InvalidValue ? new ValidationError(path, error.message) : error;
  }
}
