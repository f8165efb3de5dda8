/**
 * `npm test`: everything. Installs what the tests call where it may (root on Debian or Ubuntu),
 * and says in one line what is skipped where it may not; with CI=true nothing may be skipped.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  agentTestRequirements,
  deploymentTestRequirements,
  ensureRequirements,
  labRequirements,
  packageTestRequirements,
  pictureTestRequirements,
  recipeTestRequirements,
} from '../test/lab/requirements';

const ROOT = resolve(__dirname, '..');

interface Totals {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numRuntimeErrorTestSuites: number;
  readonly success: boolean;
}

/**
 * The first ones keep the cores busy. The tests of the agent and the labs wait most of the time, for timers and for
 * machines that boot, so that more of them run side by side than there may be cores. Too many labs would suffer from
 * each other: some of them measure.
 */
const RUNS: ReadonlyArray<readonly string[]> = [
  ['--selectProjects', 'unit', 'cdktn', 'package', '--maxWorkers=2'],
  ['--selectProjects', 'agent', '--maxWorkers=4'],
  ['--selectProjects', 'lab', '--maxWorkers=3'],
];

/** A script of package.json that comes before the tests; it says itself what is wrong. */
function passes(script: string): boolean {
  return spawnSync('npm', ['run', '--silent', script], { cwd: ROOT, stdio: 'inherit' }).status === 0;
}

function runJest(args: readonly string[], report: string): Totals {
  const jest = join(ROOT, 'node_modules/.bin/jest');
  const { status } = spawnSync(jest, ['--ci', '--json', `--outputFile=${report}`, ...args], {
    cwd: ROOT,
    // The report goes to the file; what people read goes to standard error.
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const totals = JSON.parse(readFileSync(report, 'utf8')) as Totals;
  return { ...totals, success: totals.success && status === 0 };
}

function main(): number {
  // jest takes the types away unseen.
  if (!['types', 'figures'].every(passes)) {
    console.log('0 passed, 1 failed');
    return 1;
  }
  const progress = (line: string): void => console.log(line);
  const obstacle =
    ensureRequirements(
      [
        ...agentTestRequirements,
        ...labRequirements,
        ...deploymentTestRequirements,
        ...packageTestRequirements,
        ...recipeTestRequirements,
      ],
      progress,
    ) ??
    ensureRequirements(undefined, progress) ??
    ensureRequirements(pictureTestRequirements, progress);
  if (obstacle) {
    console.log(`not everything can be tested here: ${obstacle}`);
  }
  const directory = mkdtempSync(join(tmpdir(), 'source-routing-test-'));
  try {
    const totals = RUNS.map((args, index) => runJest(args, join(directory, `${index}.json`)));
    const sum = (count: (of: Totals) => number): number => totals.reduce((total, each) => total + count(each), 0);
    // A suite that does not even start has no failed test, but it has failed.
    const failed = sum((each) => each.numFailedTests + each.numRuntimeErrorTestSuites);
    const skipped = sum((each) => each.numPendingTests);
    console.log(
      `${sum((each) => each.numPassedTests)} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`,
    );
    return totals.every((each) => each.success) && failed === 0 ? 0 : 1;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

process.exitCode = main();
