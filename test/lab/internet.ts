import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { inNamespace } from './namespace';
import { poll } from './process';
import type { RunDirectory } from './run-directory';
import { internetAddress } from './topology';

const port = 8080;

/** Answers every connection, of either family, with the address that it came from. */
const serverScript = `
  require('node:net')
    .createServer((socket) => socket.on('error', () => {}).end(socket.remoteAddress.replace(/^::ffff:/, '')))
    .listen(${port}, '::');
`;

const clientScript = `
  const [host, port, timeout, source] = process.argv.slice(1);
  const socket = require('node:net').connect({ host, port: Number(port), ...(source ? { localAddress: source } : {}) });
  const fail = (why) => { process.stderr.write(why); process.exit(1); };
  setTimeout(() => fail('no answer'), Number(timeout));
  socket.on('error', (error) => fail(error.code ?? error.message));
  socket.once('data', (data) => { process.stdout.write(data); process.exit(0); });
`;

/** No connection, and why: an errno such as EHOSTUNREACH, or "no answer". */
export class NoConnection extends Error {
  constructor(
    what: string,
    readonly reason: string,
  ) {
    super(`${what}: ${reason}`);
  }
}

/** Start the small server on the internet host. */
export async function startInternetServer(directory: RunDirectory): Promise<void> {
  const log = openSync(directory.path('internet.log'), 'a');
  const child = spawn('ip', ['netns', 'exec', directory.name('internet'), process.execPath, '-e', serverScript], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  if (child.pid === undefined) throw new Error('cannot start the internet host');
  directory.record('internet', child.pid);
  await poll('starting the internet host', 5_000, () =>
    greeting(directory, 'internet', internetAddress('ipv4'), port).catch(() => undefined),
  );
}

/** The first words of a TCP server, as a node of the lab hears them. */
export async function greeting(
  directory: RunDirectory,
  node: string,
  host: string,
  toPort: number,
  options: { readonly timeoutMs?: number; readonly source?: string } = {},
): Promise<string> {
  const timeoutMs = options.timeoutMs ?? 3_000;
  const argv = [process.execPath, '-e', clientScript, host, String(toPort), String(timeoutMs), options.source ?? ''];
  const result = await inNamespace(directory, node, argv, { allowFailure: true, timeoutMs: timeoutMs + 10_000 });
  if (result.code !== 0) throw new NoConnection(`${node} to ${host} port ${toPort}`, result.stderr.trim());
  return result.stdout;
}

/** The source address that the internet host sees of packets from a node. */
export const sourceSeen = (
  directory: RunDirectory,
  node: string,
  family: 'ipv4' | 'ipv6',
  options?: { readonly timeoutMs?: number; readonly source?: string },
): Promise<string> => greeting(directory, node, internetAddress(family), port, options);
