/**
 * `npm run mutate -- lib/fib`: changes the code of a folder, one place at a time, and lists the changes that no test
 * notices. A file works too. More arguments go to Stryker.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import scratch from '../test/scratch';

const ROOT = resolve(__dirname, '..');

/** The tests of a folder. All others would find little more, and take ten times as long. */
const TESTS: Readonly<Record<string, RegExp>> = {
  persistence: /^test\/persistence/,
  model: /^test\/(model\/|persistence-(capabilities|devices)|policy-rule|route|host-file|vpn-egress)/,
  verify: /^test\/(checks|expectations|how-to-defects|policy-rule|route|linux-host|vpn-egress)/,
  delivery: /^test\/(delivery|escape|ssh|removed|replaced|host-file|linux-host)/,
  fib: /^test\/(lookup\/(recorded|representatives|header-fields|texts|declared)|lookup\.)/,
  reachability: /^test\/lookup\//,
};

function main([target = '', ...more]: readonly string[]): number {
  const [, folder = ''] = /^lib\/(\w+)/.exec(target) ?? [];
  const tests = TESTS[folder];
  if (tests === undefined) {
    console.error(`usage: npm run mutate -- lib/{${Object.keys(TESTS).join(',')}}[/FILE]`);
    return 2;
  }
  const files = readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .map((file) => `test/${file}`)
    .filter((file) => file.endsWith('.test.ts') && tests.test(file));
  scratch();
  const { status } = spawnSync(join(ROOT, 'node_modules/.bin/stryker'), ['run', ...more], {
    cwd: ROOT,
    stdio: 'inherit',
    env: {
      ...process.env,
      MUTATE: statSync(join(ROOT, target)).isDirectory() ? `${target}/**/*.ts` : target,
      MUTATION_REPORT: target.replace(/^lib\//, '').replaceAll('/', '-'),
      MUTATION_TESTS: files.join(' '),
    },
  });
  return status ?? 1;
}

process.exitCode = main(process.argv.slice(2));
