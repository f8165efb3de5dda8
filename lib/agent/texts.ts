import { readFileSync } from 'fs';
import { join } from 'path';
import { EMBEDDED } from './embedded';

export interface Identity {
  readonly name: string;
  readonly version: string;
}

/** What a published package holds within its JavaScript, since bundlers take no other files along. */
export interface Embedded extends Identity {
  /** By the path of the file, from `lib` on. */
  readonly texts: Readonly<Record<string, string>>;
}

const kept = new Map<string, string>();
let identity: Identity | undefined;

/**
 * A text of this package that runs on a machine. Read once for each program.
 *
 * @param path - the file, from `lib` on: `agent/10-base.sh`
 */
export function packagedText(path: string): string {
  const text = EMBEDDED?.texts[path] ?? kept.get(path) ?? read(path);
  kept.set(path, text);
  return text;
}

/** Tells which package this is. */
export function packageIdentity(): Identity {
  identity ??= EMBEDDED ?? (JSON.parse(read('../package.json')) as Identity);
  return identity;
}

function read(path: string): string {
  return readFileSync(join(__dirname, '..', path), 'utf8');
}
