import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import * as persistence from '../../scripts/persistence-table';
import * as review from '../../scripts/review';

const ROOT = resolve(__dirname, '../..');
const MINUTES = 60_000;

/** Runs one of the development tools; gives its exit code and all that it said. */
function tool(name: string, ...args: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin', name), args, {
    cwd: ROOT,
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: '0' },
  });
  return { code: status, output: `${stdout}${stderr}` };
}

describe('the package', () => {
  beforeAll(() => {
    const { code, output } = tool('jsii', '--generate-tsconfig', 'tsconfig.jsii.json');
    // The tool's own banner about the version of Node.js is not about us.
    expect(
      output.split('\n').filter((line) => /warning|error/i.test(line) && !/Errors: 0 \| Warnings: 0/.test(line)),
    ).toEqual([]);
    expect(code).toBe(0);
  }, 3 * MINUTES);

  test('jsii compiles it without a warning', () => {
    const assembly = JSON.parse(readFileSync(join(ROOT, '.jsii'), 'utf8')) as { name: string; types: object };
    expect(assembly.name).toBe('cdktf-source-routing');
    expect(
      Object.keys(assembly.types)
        .map((name) => name.split('.')[1])
        .sort(),
    ).toEqual([
      'AdoptOptions',
      'Engine',
      'Errors',
      'Expected',
      'Flow',
      'FlowSelectors',
      'HostState',
      'IpFamily',
      'IpProtocol',
      'LinuxHost',
      'LinuxHostProps',
      'LocalTraffic',
      'LookupOutcome',
      'NetworkInterface',
      'NextHop',
      'NumberRange',
      'Packet',
      'Persistence',
      'PersistenceOptions',
      'PolicyRule',
      'PolicyRuleProps',
      'RemovedLinuxHost',
      'RemovedLinuxHostProps',
      'Resolver',
      'ReturnRoute',
      'Route',
      'RouteOptions',
      'RouteProps',
      'RouteScope',
      'RouteType',
      'RuleAction',
      'SourceRoutingTable',
      'SourceRoutingTableProps',
      'SshBastion',
      'SshConnection',
      'VpnDaemon',
      'VpnDaemonOptions',
      'VpnEgress',
      'VpnEgressProps',
      'VpnUpHook',
      'VpnUpHookProps',
    ]);
  });

  test(
    'API.md is what the sources say (npm run docs)',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'api-'));
      try {
        const made = join(directory, 'API.md');
        expect(tool('jsii-docgen', '-o', made).code).toBe(0);
        expect(readFileSync(join(ROOT, 'API.md'), 'utf8')).toBe(readFileSync(made, 'utf8'));
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    3 * MINUTES,
  );

  test(
    'the Python module that jsii makes of it compiles',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'python-'));
      try {
        const options = ['--code-only', '--targets', 'python', '--outdir', directory, '--no-recurse', '--no-npmignore'];
        expect(tool('jsii-pacmak', ...options, '.').code).toBe(0);
        const module = join(directory, 'python/src/cdktf_source_routing/__init__.py');
        const { status, stderr } = spawnSync('python3', ['-m', 'py_compile', module], { encoding: 'utf8' });
        expect([status, stderr]).toEqual([0, '']);
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    3 * MINUTES,
  );

  test.each([
    ['the tables of docs/persistence.md are what the renderers do', persistence],
    ['docs/review.md shows what the commands print', review],
  ])('%s (npm run docs)', (_, { PAGE, page }) => {
    const text = readFileSync(PAGE, 'utf8');
    const formatted = spawnSync('npx', ['prettier', '--stdin-filepath', PAGE], {
      cwd: ROOT,
      encoding: 'utf8',
      input: page(text),
    });
    expect(formatted.stdout).toBe(text);
  });

  test('npx runs its command', () => {
    const { bin } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { bin: Record<string, string> };
    const program = join(ROOT, bin['source-routing']);
    expect(readFileSync(program, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { status, stderr } = spawnSync(process.execPath, [program, 'diff', ROOT, ROOT], { encoding: 'utf8' });
    expect(stderr).toContain('is not what "cdktf synth" writes');
    expect(status).toBe(2);
  });

  test(
    'the examples in README.md and in docstrings compile',
    () => {
      const { code, output } = tool('jsii-rosetta', 'extract', '--compile', '--strict', '.');
      expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
    },
    3 * MINUTES,
  );

  test(
    'holds what runs on the host, and no sources or tests',
    () => {
      const { stdout } = spawnSync('npm', ['pack', '--dry-run', '--json'], { cwd: ROOT, encoding: 'utf8' });
      const [{ files }] = JSON.parse(stdout) as [{ files: Array<{ path: string }> }];
      const paths = files.map(({ path }) => path);
      expect(paths).toEqual(
        expect.arrayContaining([
          '.jsii',
          'lib/index.js',
          'lib/index.d.ts',
          'lib/agent/plan.awk',
          'lib/cli/main.js',
          'lib/delivery/confirm.sh',
          'lib/delivery/deliver.sh',
        ]),
      );
      expect(
        paths.filter(
          (path) => /^(test|examples|scripts|bench)\//.test(path) || (path.endsWith('.ts') && !path.endsWith('.d.ts')),
        ),
      ).toEqual(
        paths.filter(
          (path) => path.startsWith('node_modules/ip-address/') && path.endsWith('.ts') && !path.endsWith('.d.ts'),
        ),
      );
    },
    MINUTES,
  );
});

test(
  'eslint has nothing to say',
  () => {
    const { code, output } = tool('eslint', '.', '--max-warnings', '0');
    expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
  },
  5 * MINUTES,
);

test(
  'prettier has nothing to say',
  () => {
    const { code, output } = tool('prettier', '--check', '.');
    expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
  },
  3 * MINUTES,
);
