// The unit suite runs twice from one source: against cdktf and against its successor cdktn.
const common = {
  testEnvironment: 'node',
  // jsii leaves .js beside .ts; without this order jest would load those, perhaps stale.
  moduleFileExtensions: ['ts', 'js', 'json', 'node'],
  transform: { '^.+\\.ts$': '<rootDir>/test/transform.js' },
  testPathIgnorePatterns: ['/node_modules/', 'cdktf.out'],
  modulePathIgnorePatterns: ['/dist/', 'cdktf.out'],
};
const unit = ['<rootDir>/test/*.test.ts', '<rootDir>/test/model/**/*.test.ts'];

module.exports = {
  globalSetup: '<rootDir>/test/scratch.ts',
  projects: [
    // The lookup knows nothing of either: once is enough.
    {
      ...common,
      displayName: 'unit',
      testMatch: [...unit, '<rootDir>/test/lookup/**/*.test.ts', '<rootDir>/test/report/**/*.test.ts'],
    },
    {
      ...common,
      displayName: 'cdktn',
      testMatch: unit,
      moduleNameMapper: {
        '^cdktf$': 'cdktn',
        '^cdktf/(.*)$': 'cdktn/$1',
        '^\\./null-provider$': '<rootDir>/lib/delivery/null-provider.cdktn.ts',
      },
    },
    { ...common, displayName: 'agent', testMatch: ['<rootDir>/test/agent/**/*.test.ts'] },
    { ...common, displayName: 'package', testMatch: ['<rootDir>/test/package/**/*.test.ts'] },
    {
      ...common,
      displayName: 'lab',
      testMatch: ['<rootDir>/test/lab/**/*.test.ts', '<rootDir>/test/e2e/**/*.test.ts'],
    },
  ],
};
