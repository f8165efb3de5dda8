/**
 * A suite that needs something of the box. Where that is missing the reason is in the report: the suite is skipped at
 * a desk, and fails under CI, where nobody would notice a skip.
 */
export function describeUnless(obstacle: string | undefined, name: string, tests: () => void): void {
  if (obstacle !== undefined && process.env.CI === 'true') {
    test(name, () => {
      const error = new Error(`this cannot be tested here: ${obstacle}`);
      // The line that says so is of no interest.
      error.stack = error.message;
      throw error;
    });
  } else if (obstacle !== undefined) {
    // The runner does not name the suites that it skips.
    process.stderr.write(`SKIPPED "${name}": ${obstacle}\n`);
    describe.skip(name, tests);
  } else {
    describe(name, tests);
  }
}
