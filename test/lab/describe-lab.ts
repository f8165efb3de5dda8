import { Lab, type LabOptions } from './lab';
import { ensureRequirements } from './requirements';

/** On a fresh box the root image is built first: minutes, and more on a slow line. */
const upTimeoutMs = 20 * 60_000;
const testTimeoutMs = 3 * 60_000;

/** Only what takes long is worth a line while tests run. */
const progress = (line: string): void => {
  if (/^(installing|building)/.test(line)) process.stderr.write(`lab: ${line}\n`);
};

/**
 * A suite that has a lab to itself, shared by all its tests: call `lab()` inside a test.
 *
 * Where the lab cannot run, the reason is in the report: the suite is skipped at a desk, and fails
 * under CI, where nobody would notice a skip.
 */
export function describeLab(name: string, options: LabOptions, tests: (lab: () => Lab) => void): void {
  const obstacle = ensureRequirements(undefined, progress);
  if (obstacle && process.env.CI === 'true') {
    test(name, () => {
      const error = new Error(`the lab cannot run here: ${obstacle}`);
      // The line that says so is of no interest.
      error.stack = error.message;
      throw error;
    });
    return;
  }
  if (obstacle) {
    // The runner does not name the suites that it skips.
    process.stderr.write(`lab: SKIPPED "${name}": ${obstacle}\n`);
    describe.skip(name, () => tests(() => undefined as never));
    return;
  }
  describe(name, () => {
    let lab: Lab | undefined;
    jest.setTimeout(testTimeoutMs);
    beforeAll(async () => {
      lab = await Lab.up({ ...options, progress });
    }, upTimeoutMs);
    afterAll(() => lab?.down());
    tests(() => {
      if (!lab) throw new Error('the lab is not up yet: use it inside a test');
      return lab;
    });
  });
}
