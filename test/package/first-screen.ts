import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export const README = join(resolve(__dirname, '../..'), 'README.md');

/** What the first screen of the README tells to type and to save, word for word. */
export interface FirstScreen {
  /** Names of the packages that it installs. */
  readonly packages: readonly string[];
  /** Texts of the files, by their names. */
  readonly files: ReadonlyMap<string, string>;
  /** What the server prints, by the commands. */
  readonly printed: ReadonlyMap<string, readonly string[]>;
}

export function firstScreen(readme = README): FirstScreen {
  const [, start = ''] = /\n## Quick start\n(.*?)\n## /s.exec(readFileSync(readme, 'utf8')) ?? [];
  const [, packages = ''] = /^\$ npm install (.*)$/m.exec(start) ?? [];
  const files = [...start.matchAll(/^`([^`\n]+)`:\n\n```.*\n([^]*?)^```$/gm)].map(([, name, text]) => [name, text]);
  const printed = [...start.matchAll(/^\$ (ip .*)\n([^]*?)(?=^\$|^```)/gm)].map(([, command, text]) => [
    command,
    words(text),
  ]);
  return {
    packages: packages.split(' '),
    files: new Map(files as [string, string][]),
    printed: new Map(printed as [string, string[]][]),
  };
}

/** The lines of a text, with one space between words. */
export function words(text: string): string[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '));
}
