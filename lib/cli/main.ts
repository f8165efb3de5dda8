#!/usr/bin/env node
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { packageIdentity } from '../agent/texts';
import { compareHosts } from '../reachability/compare-hosts';
import { PROTOCOL_NAMES } from '../reachability/header-fields';
import type { Host } from '../model/host';
import { MAX_PORT, MAX_UINT32 } from '../model/limits';
import { InvalidValue } from '../model/value';
import { MOST_CHARACTERS, diffJson, diffMarkdown, diffText, hasChanges } from './diff';
import { explainText } from './explain';
import { terminal, terminalText } from '../report/escape';
import { drawing } from '../report/report';
import { UsageError, findHost, readHosts, successionOf } from './output';
import { statusOf, verifiedJson, verifiedLines, verifyAll } from './verify';

/** What a command prints, and its exit status. */
interface Result {
  readonly text: string;
  /** What it could not do, although it did the rest. */
  readonly error?: string;
  readonly status: number;
}

interface Command {
  readonly run: (args: string[]) => Result | Promise<Result>;
  /** What follows its name on the command line. */
  readonly usage: readonly string[];
  readonly does: string;
  /** What `--help` says besides. */
  readonly help: string;
}

const { name: NAME, version: VERSION } = packageIdentity();
const VERIFY_SECONDS = 60;
const MOST_VERIFY_SECONDS = 3600;
const HOST_OPTION = `  --host ID   the host: its path, the end of its path, or its owner`;

const COMMANDS: ReadonlyMap<string, Command> = new Map([
  [
    'diff',
    {
      run: diff,
      usage: ['BEFORE AFTER [--json | --markdown] [--host ID]'],
      does: 'shows whose traffic changes its path',
      help: `BEFORE and AFTER are directories that "cdktf synth" wrote (cdktf.out).

  --json      print all prefixes and outcomes, for programs
  --markdown  print a comment for a pull request, of at most ${MOST_CHARACTERS} characters
${HOST_OPTION}; otherwise all hosts

Exit status: 0 if no traffic changes its path, 1 if some does or if a removed host keeps its rules, 2 on an error.
`,
    },
  ],
  [
    'explain',
    {
      run: explainPacket,
      usage: [
        'OUT --to ADDR [--host ID] [--from ADDR] [--in DEV] [--mark N]',
        '[--protocol tcp|udp|N] [--source-port N] [--destination-port N] [--down DEV]...',
      ],
      does: 'shows where a packet goes, and why',
      help: `OUT is a directory that "cdktf synth" wrote (cdktf.out).

  --to ADDR   the destination of the packet
  --from ADDR, --mark N, --protocol tcp|udp|N, --source-port N, --destination-port N
              what else is in the packet
  --in DEV    the interface by which it comes in; otherwise the machine itself sends it
  --down DEV  an interface that is down; can be given more than once
${HOST_OPTION}; not needed if there is only one

Exit status: 0, or 2 on an error.
`,
    },
  ],
  [
    'draw',
    {
      run: draw,
      usage: ['OUT [--host ID] [--output FILE]'],
      does: 'draws where packets go, as SVG',
      help: `OUT is a directory that "cdktf synth" wrote (cdktf.out).

  -o, --output FILE  write the picture to this file; otherwise to standard output
${HOST_OPTION}; not needed if there is only one

Exit status: 0, or 2 on an error.
`,
    },
  ],
  [
    'verify',
    {
      run: verify,
      usage: ['DIRECTORY [--json] [--timeout SECONDS]'],
      does: 'asks all machines over SSH whether they are as declared',
      help: `DIRECTORY is what "cdktf synth" wrote (cdktf.out), or a directory in which Terraform works. The machines come from
Terraform's state, so run "terraform init" first. Nothing is changed.

  --json             print all machines, for programs
  --timeout SECONDS  how long to wait for each machine; otherwise ${VERIFY_SECONDS}

Exit status: 0 if all machines are as declared, 1 if one differs, 2 if one could not be asked, or on an error. A stack
whose state cannot be read, or has none of its hosts, is an error. The machines of other stacks are asked all the same.
`,
    },
  ],
]);

function usageOf(name: string, { usage }: Command): string {
  const head = `${NAME} ${name} `;
  return usage.map((line, index) => `${index === 0 ? head : ' '.repeat(head.length)}${line}`).join('\n       ');
}

function overview(): string {
  const commands = [...COMMANDS];
  return `usage: ${commands.map(([name, command]) => usageOf(name, command)).join('\n       ')}
       ${NAME} COMMAND --help
       ${NAME} --version

${commands.map(([name, { does }]) => `${name.padEnd(8)} ${does}`).join('\n')}

BEFORE, AFTER and OUT are directories that "cdktf synth" wrote (cdktf.out).
`;
}

function helpOf(name: string, command: Command): string {
  return `usage: ${usageOf(name, command)}\n\n${name} ${command.does}.\n\n${command.help}`;
}

function diff(args: string[]): Result {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean' }, markdown: { type: 'boolean' }, host: { type: 'string' } },
  });
  const { json = false, markdown = false, host } = values;
  const [before, after, ...others] = positionals;
  if (before === undefined || after === undefined || others.length > 0) {
    throw new UsageError(`diff takes two directories, BEFORE and AFTER; ${positionals.length} given.`);
  }
  if (json && markdown) {
    throw new UsageError('diff takes --json or --markdown, not both.');
  }
  const known = new Map<string, Host>();
  const [was, is] = [readHosts(before, known), readHosts(after, known)];
  // Large configurations take time to read.
  const succession = [...was.keys()].every((path) => is.has(path)) ? undefined : successionOf(before, after);
  const hosts = compareHosts(...only(was, is, host, succession?.movedFrom), succession);
  const text = json ? diffJson(hosts) : markdown ? diffMarkdown(hosts) : diffText(hosts);
  return { text, status: hasChanges(hosts) ? 1 : 0 };
}

type Hosts = ReadonlyMap<string, Host>;

/** Selects one host, even if only one side has it, or if it has moved. */
function only(
  before: Hosts,
  after: Hosts,
  id: string | undefined,
  movedFrom: ReadonlyMap<string, string> = new Map(),
): [Hosts, Hosts] {
  if (id === undefined) {
    return [before, after];
  }
  // A host that has moved counts once, unless somebody asks for where it was.
  const moved = new Set([...movedFrom.values()].filter((path) => !`/${path}`.endsWith(`/${id}`)));
  const hosts = [...new Map([...before, ...after]).values()].filter(({ path }) => after.has(path) || !moved.has(path));
  const { path } = findHost(hosts, id);
  const paths = [...([...movedFrom].find((move) => move.includes(path)) ?? [path])];
  const pick = (hosts: Hosts): Hosts => new Map([...hosts].filter(([each]) => paths.includes(each)));
  return [pick(before), pick(after)];
}

const PROTOCOLS = new Map([...PROTOCOL_NAMES].map(([number, name]) => [name, number]));

function explainPacket(args: string[]): Result {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      'host': text,
      'from': text,
      'to': text,
      'in': text,
      'mark': text,
      'protocol': text,
      'source-port': text,
      'destination-port': text,
      'down': { type: 'string', multiple: true },
    },
  });
  if (values.to === undefined) {
    throw new UsageError('explain needs --to ADDR, the destination of the packet.');
  }
  const host = readHost(positionals, 'explain', values.host);
  const number = (name: 'mark' | 'source-port' | 'destination-port', highest: number): number | undefined =>
    numberOf(`--${name}`, values[name], highest);
  const options = {
    destination: values.to,
    source: values.from,
    inputInterface: values.in,
    mark: number('mark', MAX_UINT32),
    ipProtocol: PROTOCOLS.get(values.protocol ?? '') ?? numberOf('--protocol', values.protocol, 255),
    sourcePort: number('source-port', MAX_PORT),
    destinationPort: number('destination-port', MAX_PORT),
  };
  return { text: explainText(host, options, values.down ?? []), status: 0 };
}

function draw(args: string[]): Result {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { host: { type: 'string' }, output: { type: 'string', short: 'o' } },
  });
  const text = drawing(readHost(positionals, 'draw', values.host));
  if (values.output === undefined) {
    return { text, status: 0 };
  }
  try {
    writeFileSync(values.output, text);
  } catch (error) {
    throw new UsageError(`--output "${values.output}" cannot be written: ${(error as Error).message}.`);
  }
  return { text: '', status: 0 };
}

async function verify(args: string[]): Promise<Result> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { json: { type: 'boolean' }, timeout: { type: 'string' } },
  });
  const [directory, ...others] = positionals;
  if (directory === undefined || others.length > 0) {
    throw new UsageError(`verify takes one directory; ${positionals.length} given.`);
  }
  const seconds = numberOf('--timeout', values.timeout, MOST_VERIFY_SECONDS) ?? VERIFY_SECONDS;
  const verified = await verifyAll(directory, seconds);
  return {
    text: values.json ? verifiedJson(verified) : terminal(verifiedLines(verified)),
    error: terminal(verified.failures.map((failure) => `${NAME}: ${failure}`)),
    status: statusOf(verified),
  };
}

/** The host of a command that takes one directory. */
function readHost([directory, ...others]: string[], command: string, id: string | undefined): Host {
  if (directory === undefined || others.length > 0) {
    throw new UsageError(
      `${command} takes one directory, OUT; ${directory === undefined ? 0 : 1 + others.length} given.`,
    );
  }
  const hosts = [...readHosts(directory).values()];
  return id === undefined ? theOnly(hosts) : findHost(hosts, id);
}

function theOnly(hosts: readonly Host[]): Host {
  const [host, ...others] = hosts;
  if (!host || others.length > 0) {
    const names = hosts.map(({ path }) => path).join(', ');
    throw new UsageError(host ? `which host? Give --host, one of: ${names}.` : 'that output has no host.');
  }
  return host;
}

function numberOf(option: string, text: string | undefined, highest: number): number | undefined {
  if (text === undefined) {
    return undefined;
  }
  const number = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : NaN;
  if (!(number <= highest)) {
    throw new UsageError(`${option} "${text}" is not a number from 0 to ${highest}.`);
  }
  return number;
}

/** What a command line prints on both outputs, and its exit status. */
interface Outcome extends Result {
  readonly error: string;
}

/** Runs a command line. Only `verify` takes time: it asks machines. */
export function run(args: readonly ['verify', ...string[]]): Promise<Outcome>;
export function run(args: readonly string[]): Outcome;
export function run(args: readonly string[]): Outcome | Promise<Outcome> {
  const [name, ...rest] = args;
  if (name === '--version') {
    return { text: `${NAME} ${VERSION}\n`, error: '', status: 0 };
  }
  const asksForHelp = name === 'help' || isHelp(name);
  const [wanted] = asksForHelp ? rest : [name];
  if (wanted === undefined) {
    return { text: overview(), error: '', status: asksForHelp ? 0 : 2 };
  }
  const command = COMMANDS.get(wanted);
  if (!command) {
    return {
      text: '',
      error: `${terminal([`${NAME}: there is no command "${wanted}".`, ''])}${overview()}`,
      status: 2,
    };
  }
  if (asksForHelp || rest.some(isHelp)) {
    return { text: helpOf(wanted, command), error: '', status: 0 };
  }
  const succeed = (result: Result): Outcome => ({ error: '', ...result });
  try {
    const result = command.run(rest);
    return result instanceof Promise ? result.then(succeed, failed) : succeed(result);
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): Outcome {
  if (error instanceof UsageError || error instanceof InvalidValue || isOfParseArgs(error)) {
    return { text: '', error: terminal([`${NAME}: ${error.message}`]), status: 2 };
  }
  // Status 1 means that something differs, so this is 2.
  const stack = error instanceof Error ? error.stack : undefined;
  return { text: '', error: terminalText(`${NAME}: ${stack ?? String(error)}\n`), status: 2 };
}

function isHelp(argument: string | undefined): boolean {
  return argument === '--help' || argument === '-h';
}

/** Tells whether an option is unknown or has no value. */
function isOfParseArgs(error: unknown): error is Error {
  return String((error as Partial<NodeJS.ErrnoException>).code).startsWith('ERR_PARSE_ARGS');
}

/** The reader of a pipe may have seen enough, such as `head`. The exit status stays that of the command. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    throw error;
  }
}

if (require.main === module) {
  process.stdout.on('error', ignoreClosedPipe);
  process.stderr.on('error', ignoreClosedPipe);
  void Promise.resolve(run(process.argv.slice(2))).then(({ text, error, status }) => {
    process.stderr.write(error);
    process.stdout.write(text);
    process.exitCode = status;
  });
}
