import type { Host } from './host';
import { getOrInsertComputed } from './maps';

/** The directory of those files, beside the Terraform configuration of their stack. */
export const HOST_FILES = 'source-routing';

const FORMAT = 1;

/** The file of a host: what is declared for it, for programs that look where its packets go. No keys, no tokens. */
export function hostFileText(host: Host): string {
  const { host: address, hostKeyPinned, bastion } = host.management;
  const declared: Host = { ...host, management: { host: address, hostKeyPinned, bastion } };
  return `${JSON.stringify({ format: FORMAT, host: declared }, withoutTokens(), 2)}\n`;
}

/** Of values that are known at apply only all that is known is who gives them, and which of them are the same. */
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
  const ids = path.split('/').map((id) => encodeURIComponent(id).replace(/[.*~!'()]/g, percent));
  return `${ids.join('.')}.json`;
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
      `${name} has format ${JSON.stringify(format)}, and this program reads format ${FORMAT}. ` +
        'Synthesize and read with the same version of cdktf-source-routing.',
    );
  }
  const wrong = problem(host, HOST, 'host');
  if (wrong !== undefined) {
    throw new Error(`${name} is damaged: ${wrong}. Synthesize again.`);
  }
  return host as Host;
}

/** What must be there for a lookup; `?` after a type: or nothing. */
type Shape = string | readonly [Shape] | { readonly [key: string]: Shape };

const VALUE: Shape = { kind: 'string', text: 'string', deferredFor: 'string?' };
const ROUTES: Shape = [{ path: 'string', tableId: 'number', destination: VALUE, hops: [{}] }];
const HOST: Shape = {
  path: 'string',
  owner: 'string',
  interfaces: [{ name: 'string', addresses: [{ text: 'string', address: 'string' }], gateways: [VALUE] }],
  management: { host: 'string?' },
  tables: [{ path: 'string', id: 'number', name: 'string?' }],
  rules: [{ path: 'string', priority: 'number', action: { kind: 'string' } }],
  routes: ROUTES,
  discards: ROUTES,
  hooks: [{ path: 'string', tableId: 'number' }],
  vpnClients: [VALUE],
};

function problem(value: unknown, shape: Shape, where: string): string | undefined {
  if (typeof shape === 'string') {
    const fits = typeof value === shape.replace('?', '') || (value === undefined && shape.endsWith('?'));
    return fits ? undefined : `${where} is not a ${shape.replace('?', '')}`;
  }
  if (isList(shape)) {
    return Array.isArray(value)
      ? first(value.map((each, index) => problem(each, shape[0], `${where}[${index}]`)))
      : `${where} is not a list`;
  }
  return isRecord(value)
    ? first(Object.entries(shape).map(([key, each]) => problem(value[key], each, `${where}.${key}`)))
    : `${where} is missing`;
}

function first(problems: ReadonlyArray<string | undefined>): string | undefined {
  return problems.find((each) => each !== undefined);
}

function isList(shape: Shape): shape is readonly [Shape] {
  return Array.isArray(shape);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
