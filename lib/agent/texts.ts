import { readFileSync } from 'fs';
import { join } from 'path';

const kept = new Map<string, string>();

/**
 * A text of this package that runs on a machine. Read once for each program.
 *
 * @param path - the file, from `lib` on: `agent/10-base.sh`
 */
export function packagedText(path: string): string {
  const text = kept.get(path) ?? readFileSync(join(__dirname, '..', path), 'utf8');
  kept.set(path, text);
  return text;
}
