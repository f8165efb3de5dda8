const { projects } = require('./jest.config');

const unit = projects.find(({ displayName }) => displayName === 'unit');
module.exports = {
  ...unit,
  rootDir: __dirname,
  // Stryker loads it itself, and knows nothing of <rootDir>.
  testEnvironment: require.resolve('./test/mutation/environment.js'),
  testMatch: ['<rootDir>/test/mutation/all.ts'],
};
