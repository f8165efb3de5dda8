import { decide } from '../fib/decide';
import type { PacketHeader, PacketOptions } from '../fib/packet';
import { packetHeader } from '../fib/packet';
import { machineOf } from '../fib/from-host';
import { explain, outcomeText } from '../fib/explain';
import type { Host } from '../model/host';
import { terminal } from '../report/escape';
import { UsageError } from './output';

/** Where a packet goes, and why: each outcome, with its way through the rules. */
export function explainText(host: Host, options: PacketOptions, down: readonly string[]): string {
  down.forEach((name) => checkInterface(host, '--down', name));
  if (options.inputInterface !== undefined && options.inputInterface !== 'lo' && host.interfaces.length > 0) {
    checkInterface(host, '--in', options.inputInterface);
  }
  const packet = packetFrom(options);
  const outcomes = decide(machineOf(host, down), packet);
  return terminal([
    ...(outcomes.length > 1 ? ['One of these happens:', ''] : []),
    ...outcomes.flatMap((outcome, index) => [
      ...(index > 0 ? [''] : []),
      outcomeText(outcome),
      ...explain(outcome, packet.family).map((line) => `  ${line}`),
    ]),
  ]);
}

function checkInterface(host: Host, option: string, wanted: string): void {
  const names = host.interfaces.map(({ name }) => name);
  if (!names.includes(wanted)) {
    const declared = names.length === 0 ? 'None is declared.' : `Declared: ${names.join(', ')}.`;
    throw new UsageError(`${option} ${wanted} is not an interface of ${host.path}. ${declared}`);
  }
}

function packetFrom(options: PacketOptions): PacketHeader {
  try {
    return packetHeader(options);
  } catch (error) {
    const names = { inputInterface: '--in', destination: '--to', source: '--from' };
    const message = error instanceof Error ? error.message : String(error);
    throw new UsageError(
      message.replace(/\b(inputInterface|destination|source)\b/g, (word) => names[word as keyof typeof names]),
    );
  }
}
