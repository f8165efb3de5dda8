/**
 * Many test files as one: for each mutant, jest would load every file with all its modules, also where none of its
 * tests runs.
 */
import { join } from 'node:path';

const ROOT = join(__dirname, '../..');

for (const file of (process.env.MUTATION_TESTS ?? '').split(' ')) {
  describe(file, () => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    require(join(ROOT, file));
  });
}
