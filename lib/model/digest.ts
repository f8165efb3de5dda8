import { createHash } from 'node:crypto';

/** A few characters that tell a text from others which look the same in a name. */
export function shortDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
