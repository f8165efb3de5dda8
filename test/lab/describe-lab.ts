import { describeUnless } from './describe-unless';
import { Lab, type LabOptions } from './lab';
import { ensureRequirements } from './requirements';

/** On a fresh box the root image is built first: minutes, and more on a slow line. */
const upTimeoutMs = 20 * 60_000;
const testTimeoutMs = 3 * 60_000;

/** Only what takes long is worth a line while tests run. */
const progress = (line: string): void => {
  if (/^(installing|building)/.test(line)) process.stderr.write(`lab: ${line}\n`);
};

/** A suite that has a lab to itself, shared by all its tests: call `lab()` inside a test. */
export function describeLab(name: string, options: LabOptions, tests: (lab: () => Lab) => void): void {
  const obstacle = ensureRequirements(undefined, progress);
  describeUnless(obstacle, name, () => {
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
