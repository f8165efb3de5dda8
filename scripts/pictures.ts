/** The pictures in docs/images: `npm run docs` draws them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { drawing } from '../lib/report/report';
import { SERVERS, server } from './server';

export const IMAGES = join(__dirname, '..', 'docs', 'images');

/** Each file by its name: the README's server, and what becomes of it by three changes. */
export function pictures(): Map<string, string> {
  return new Map([
    ['vpn-egress.svg', draw(SERVERS.before)],
    ['review-add-pool.svg', draw(SERVERS.pool)],
    ['review-swap-gateway.svg', draw(SERVERS.gateway)],
    ['review-typo.svg', draw(SERVERS.typo)],
  ]);
}

function draw(egress: Parameters<typeof server>[0]): string {
  return drawing(server(egress).host._declaration.model());
}

if (require.main === module) {
  mkdirSync(IMAGES, { recursive: true });
  pictures().forEach((picture, name) => writeFileSync(join(IMAGES, name), picture));
}
