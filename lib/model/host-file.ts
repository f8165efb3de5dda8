import { shortDigest } from './digest';
import type { Host } from './host';
import { MAX_PORT, MAX_UINT32 } from './limits';
import { getOrInsertComputed } from './maps';
import type { Action } from './rule';
import type { Value, ValueKind } from './value';
import {
  DEFAULT_DESTINATION,
  InvalidValue,
  isKnown,
  parseAddress,
  parseDevice,
  parseInterfaceAddress,
  parsePrefix,
} from './value';

/** The directory of those files, beside the Terraform configuration of their stack. */
export const HOST_FILES = 'source-routing';

const FORMAT = 1;
/** A wrong value may be as long as the file. */
const LONGEST = 300;

/**
 * The file of a host: its declaration, for programs that look up where its packets go. It holds no keys and no tokens.
 */
export function hostFileText(host: Host): string {
  const { host: address, endpoint, hostKeyPinned, bastion } = host.management;
  const declared: Host = { ...host, management: { host: address, endpoint, hostKeyPinned, bastion } };
  return `${JSON.stringify({ format: FORMAT, host: declared }, withoutTokens(), 2)}\n`;
}

/** For values known at apply only, the file holds who gives them, and which of them are equal. */
function withoutTokens(): (key: string, value: unknown) => unknown {
  const numbers = new Map<unknown, number>();
  return (_, value) => {
    if (!isRecord(value) || !('deferredFor' in value)) {
      return value;
    }
    return { ...value, text: `<${getOrInsertComputed(numbers, value.text, () => numbers.size + 1)}>` };
  };
}

/** A file name that is safe and that no other path has. */
export function hostFileName(path: string): string {
  return `${hostFileStem(path)}.json`;
}

/** Most characters of a stem: with a digest and an ending, a file system takes no name of more than 255. */
const LONGEST_STEM = 200;

/** The same without its ending, for other files of the host. */
export function hostFileStem(path: string): string {
  const ids = path.split('/').map((id) => encodeURIComponent(id).replace(/[.*~!'()]/g, percent));
  const stem = ids.join('.');
  return stem.length <= LONGEST_STEM ? stem : `${stem.slice(0, LONGEST_STEM)}.${shortDigest(path)}`;
}

function percent(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

/**
 * @param text - of the file
 * @param name - of the file, for people
 * @throws Error if it is not such a file, or one of another version
 */
export function parseHostFile(text: string, name: string): Host {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error(`${name} is not JSON. Synthesize again.`);
  }
  const { format, host } = isRecord(content) ? content : {};
  if (format !== FORMAT) {
    throw new Error(
      `${name} has format ${typeof format === 'number' ? format : typeof format}, and this program reads format ${FORMAT}. ` +
        'Synthesize and read with the same version of cdktf-source-routing.',
    );
  }
  const wrong = problemOf(host);
  if (wrong !== undefined) {
    throw new Error(`${name} is damaged: ${wrong.slice(0, LONGEST).replace(/\.$/, '')}. Synthesize again.`);
  }
  return host as Host;
}

function problemOf(host: unknown): string | undefined {
  try {
    HOST(host, 'host');
    return undefined;
  } catch (error) {
    return error instanceof InvalidValue ? error.message : String(error);
  }
}

/**
 * Throws `InvalidValue` if a value does not have its type. Anybody who proposes a change can write a host file, and the
 * lookup relies on the checks of the constructs.
 */
type Check = (value: unknown, where: string) => void;

function that(fits: (value: unknown) => boolean, what: string): Check {
  return (value, where) => {
    if (!fits(value)) throw new InvalidValue(`${where} is not ${what}`);
  };
}

const text = that((value) => typeof value === 'string', 'a string');
const flag = that((value) => typeof value === 'boolean', 'true or false');

function integer(last: number): Check {
  return that(
    (value) => Number.isInteger(value) && Number(value) >= 0 && Number(value) <= last,
    `an integer from 0 to ${last}`,
  );
}

function oneOf(...values: readonly unknown[]): Check {
  return that((value) => values.includes(value), `one of ${values.join(', ')}`);
}

function optional(check: Check): Check {
  return (value, where) => value === undefined || check(value, where);
}

function list(check: Check): Check {
  const isList = that(Array.isArray, 'a list');
  return (value, where) => {
    isList(value, where);
    (value as unknown[]).forEach((each, index) => check(each, `${where}[${index}]`));
  };
}

function record(checks: Readonly<Record<string, Check>>): Check {
  return (value, where) => {
    if (!isRecord(value)) throw new InvalidValue(`${where} is missing`);
    Object.entries(checks).forEach(([key, check]) => check(value[key], `${where}.${key}`));
  };
}

type Parser = (text: string, property: string) => object;

/** The value must be exactly what a parser makes of its text. */
function parsed(parse: Parser): Check {
  return (value, where) => {
    record({ text })(value, where);
    const own = value as Record<string, unknown>;
    const wanted = parse(String(own.text), where);
    record(Object.fromEntries(Object.entries(wanted).map(([key, each]) => [key, oneOf(each)])))(value, where);
  };
}

/** A known value, or one that only the host will know. */
function valueOf(kind: ValueKind, parse: Parser): Check {
  const deferred = { deferredFor: optional(text), isFollowed: optional(flag) };
  const form = record({ kind: oneOf(kind), text, family: optional(FAMILY), ...deferred });
  return (value, where) => {
    form(value, where);
    if (isKnown(value as Value)) parsed(parse)(value, where);
  };
}

const FAMILY = oneOf(4, 6);
const UNSIGNED = integer(MAX_UINT32);
const FAMILY_OR_AUTO = oneOf(4, 6, 'auto');
const PREFIX = valueOf('prefix', parseKnownPrefix);
const ADDRESS = valueOf('address', parseAddress);
const DEVICE = valueOf('device', parseDevice);
const PORTS = optional(record({ first: integer(MAX_PORT), last: integer(MAX_PORT) }));

const prefixText: Check = (value, where) => {
  text(value, where);
  parsePrefix(String(value), where);
};
const deviceName: Check = (value, where) => parsed(parseDevice)({ kind: 'device', text: value }, where);

const ROUTES = list(
  record({
    path: text,
    family: FAMILY_OR_AUTO,
    tableId: UNSIGNED,
    destination: PREFIX,
    metric: optional(UNSIGNED),
    type: optional(oneOf('blackhole', 'unreachable', 'prohibit', 'throw')),
    hops: list(record({ via: optional(ADDRESS), device: optional(DEVICE) })),
  }),
);

const RULES = list(
  record({
    path: text,
    family: FAMILY_OR_AUTO,
    priority: UNSIGNED,
    invert: optional(flag),
    source: optional(PREFIX),
    destination: optional(PREFIX),
    tos: optional(integer(255)),
    firewallMark: optional(UNSIGNED),
    firewallMask: optional(UNSIGNED),
    inputInterface: optional(DEVICE),
    outputInterface: optional(DEVICE),
    uidRange: optional(record({ first: UNSIGNED, last: UNSIGNED })),
    ipProtocol: optional(integer(255)),
    sourcePorts: PORTS,
    destinationPorts: PORTS,
    action: (value, where) => {
      record({ kind: oneOf('lookup', 'goto', 'blackhole', 'unreachable', 'prohibit') })(value, where);
      const { kind } = value as Action;
      record(kind === 'lookup' ? { tableId: UNSIGNED } : kind === 'goto' ? { priority: UNSIGNED } : {})(value, where);
    },
    suppressPrefixLength: optional(integer(128)),
    suppressInterfaceGroup: optional(UNSIGNED),
  }),
);

const HOST = record({
  path: text,
  owner: text,
  interfaces: list(
    record({
      name: deviceName,
      addresses: list(parsed(parseInterfaceAddress)),
      gateways: list(ADDRESS),
      networks: optional(list(prefixText)),
      incomplete: flag,
    }),
  ),
  management: record({
    host: optional(text),
    endpoint: optional(record({ host: optional(text), port: optional(integer(MAX_PORT)) })),
  }),
  tables: list(
    record({
      path: text,
      id: UNSIGNED,
      name: optional(text),
      failClosed: flag,
      allowedInterfaces: optional(list(deviceName)),
    }),
  ),
  rules: RULES,
  routes: ROUTES,
  discards: ROUTES,
  hooks: list(record({ path: text, tableId: UNSIGNED })),
  adopts: optional(list(text)),
  verifyIntervalSeconds: optional(UNSIGNED),
  textfileDirectory: optional(text),
});

/** The form that the kernel prints: a prefix of full length is printed as an address. */
function parseKnownPrefix(given: string, property: string): Value {
  return given === DEFAULT_DESTINATION.text
    ? DEFAULT_DESTINATION
    : given.includes('/')
      ? parsePrefix(given, property)
      : { ...parseAddress(given, property), kind: 'prefix' };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
