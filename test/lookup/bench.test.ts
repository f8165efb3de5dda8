import { checks, server } from '../../bench/lookup';

describe('the host of the benchmark', () => {
  test('is one of which nothing is wrong, so that all checks run to their ends', () => {
    expect(() => checks(server(50, 20))).not.toThrow();
  });

  test('would be told apart from one of which something is', () => {
    const declared = server(50, 20);
    const rules = declared.host.rules.filter((_, index) => index !== 1);
    expect(() => checks({ ...declared, host: { ...declared.host, rules } })).toThrow(
      'the host of the benchmark has problems',
    );
  });
});
