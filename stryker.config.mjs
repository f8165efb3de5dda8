// `npm run mutate -- lib/fib` starts this, with the files to mutate and the tests that may kill a mutant.
const { MUTATE = 'lib/**/*.ts', MUTATION_REPORT = 'all' } = process.env;

export default {
  testRunner: 'jest',
  jest: { configFile: 'jest.mutation.config.js', enableFindRelatedTests: false },
  coverageAnalysis: 'perTest',
  mutate: MUTATE.split(' '),
  // The tests are transformed without types.
  disableTypeChecks: false,
  concurrency: 1,
  timeoutMS: 8000,
  ignorePatterns: ['coverage', 'dist'],
  tempDirName: 'coverage/mutation/sandbox',
  reporters: ['clear-text', 'html', 'json', 'progress-append-only'],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  htmlReporter: { fileName: `coverage/mutation/${MUTATION_REPORT}.html` },
  jsonReporter: { fileName: `coverage/mutation/${MUTATION_REPORT}.json` },
};
