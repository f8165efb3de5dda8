// jest cannot end a file at the first failure; a mutant needs no second one.
const { TestEnvironment } = require('jest-environment-node');

const NAMES = new RegExp(process.env.MUTATION_NAMES ?? '');
const nameOf = (test) => (test.parent ? `${nameOf(test.parent)} ${test.name}` : test.name);

module.exports = class extends TestEnvironment {
  handleTestEvent(event) {
    if (event.name === 'test_fn_failure' || event.name === 'hook_failure') this.failed = true;
    if (event.name === 'test_start' && (this.failed || !NAMES.test(nameOf(event.test)))) event.test.mode = 'skip';
  }
};
