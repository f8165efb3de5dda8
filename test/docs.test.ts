import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { compileFunction } from 'node:vm';
import * as library from '../lib';
import { ALL_INTERFACES, GATEWAYS, POOLS, SSH, newHost, newStack, synthWarnings, validationErrors } from './fixtures';

/** An example of a page, by a part of it. It has no types, so that it runs as it is. */
function example(page: string, part: string): string {
  const text = readFileSync(resolve(__dirname, '../docs', page), 'utf8');
  const all = [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code]) => code);
  return all.find((code) => code.includes(part)) ?? '';
}

describe('an example synthesizes without complaint on the server of the README', () => {
  test.each([
    ['fleets.md', 'Object.entries(machines)'],
    ['parts.md', "rejectedClients: ['fd00:4242"],
    ['what-leaves-by-the-uplink.md', 'Resolver.user('],
    ['what-leaves-by-the-uplink.md', 'NumberRange.of(13)'],
  ])('%s: %s', (page, part) => {
    const code = example(page, part);
    expect(code).not.toBe('');
    const stack = newStack();
    const server = newHost(stack, { interfaces: ALL_INTERFACES });
    const egressOf = (): library.VpnEgress =>
      new library.VpnEgress(stack, 'outer', {
        ...{ host: server, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS },
      });
    const scope = { ...library, server, ssh: SSH, egress: code.includes('egress.table') ? egressOf() : undefined };
    const run = compileFunction(code, Object.keys(scope)) as (...values: unknown[]) => void;
    run.apply(stack, Object.values(scope));
    expect(validationErrors(stack)).toEqual([]);
    expect(synthWarnings(stack)).toEqual([]);
  });
});
