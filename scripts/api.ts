/** The reference of the public API in each language that jsii speaks: `npm run docs` writes it. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ROOT, buildPackage } from './packages';

/** The files, by the languages as jsii-docgen names them. */
const PAGES: Record<string, string> = {
  typescript: 'API.md',
  python: 'docs/api/python.md',
  java: 'docs/api/java.md',
  csharp: 'docs/api/csharp.md',
  go: 'docs/api/go.md',
};

/**
 * Makes the texts of the pages.
 *
 * @param directory - a built package
 * @returns the texts by the files
 */
export function apiPages(directory: string): Map<string, string> {
  const made = mkdtempSync(join(tmpdir(), 'api-'));
  try {
    const languages = Object.keys(PAGES).flatMap((language) => ['-l', language]);
    execFileSync(join(ROOT, 'node_modules/.bin/jsii-docgen'), ['-o', join(made, 'API'), ...languages], {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return new Map(
      Object.entries(PAGES).map(([language, file]) => [file, readFileSync(join(made, `API.${language}.md`), 'utf8')]),
    );
  } finally {
    rmSync(made, { recursive: true });
  }
}

if (require.main === module) {
  for (const [file, text] of apiPages(buildPackage('cdktf'))) {
    mkdirSync(dirname(join(ROOT, file)), { recursive: true });
    writeFileSync(join(ROOT, file), text);
  }
}
