import { readFileSync } from 'fs';
import { join } from 'path';
import { EMBEDDED } from './embedded';

/** What a published package holds within its JavaScript, since bundlers take no other files along. */
export interface Embedded {
  readonly version: string;
  /** By the path of the file, from `lib` on. */
  readonly texts: Readonly<Record<string, string>>;
}

const kept = new Map<string, string>();

/**
 * A text of this package that runs on a machine. Read once for each program.
 *
 * @param path - the file, from `lib` on: `agent/10-base.sh`
 */
export function packagedText(path: string): string {
  const text = EMBEDDED?.texts[path] ?? kept.get(path) ?? readFileSync(join(__dirname, '..', path), 'utf8');
  kept.set(path, text);
  return text;
}

/** The version of this package. */
export function packageVersion(): string {
  const read = (): string => readFileSync(join(__dirname, '../../package.json'), 'utf8');
  return EMBEDDED?.version ?? (JSON.parse(read()) as { version: string }).version;
}
