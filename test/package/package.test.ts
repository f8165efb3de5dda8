import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { apiPages } from '../../scripts/api';
import { buildPackage, packPackage } from '../../scripts/packages';
import * as persistence from '../../scripts/persistence-table';
import * as review from '../../scripts/review';
import { Machine, describeOnMachine } from '../agent/machine';
import { bundlesIn } from '../e2e/terraform';
import { README, firstScreen, words } from './first-screen';
import { Project, newDist } from './project';

const ROOT = resolve(__dirname, '../..');
const MINUTES = 60_000;

/** Runs one of the development tools; gives its exit code and all that it said. */
function tool(name: string, ...args: string[]): { code: number | null; output: string } {
  return toolIn(ROOT, name, ...args);
}

function toolIn(cwd: string, name: string, ...args: string[]): { code: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(join(ROOT, 'node_modules/.bin', name), args, {
    cwd,
    encoding: 'utf8',
    env: { ...process.env, FORCE_COLOR: '0' },
  });
  return { code: status, output: `${stdout}${stderr}` };
}

describe('the package', () => {
  const dist = newDist();
  let directory: string;
  let archive: string;

  beforeAll(() => {
    directory = buildPackage('cdktf', dist);
    archive = packPackage(directory, dist);
  }, 3 * MINUTES);
  afterAll(() => rmSync(dist, { recursive: true, force: true }));

  test('has these classes and structs', () => {
    const assembly = JSON.parse(readFileSync(join(directory, '.jsii'), 'utf8')) as { name: string; types: object };
    expect(assembly.name).toBe('cdktf-source-routing');
    expect(
      Object.keys(assembly.types)
        .map((name) => name.split('.')[1])
        .sort(),
    ).toEqual([
      'AdoptOptions',
      'CloudInit',
      'Drift',
      'DriftOptions',
      'EduVpnNode',
      'EduVpnProfile',
      'Engine',
      'Errors',
      'Expected',
      'Flow',
      'FlowSelectors',
      'Forwarding',
      'HostState',
      'IpFamily',
      'IpProtocol',
      'IptablesForwardingOptions',
      'LinuxHost',
      'LinuxHostProps',
      'LocalTraffic',
      'LookupOutcome',
      'NatRouter',
      'NatRouterProps',
      'NetworkInterface',
      'NextHop',
      'NftablesForwardingOptions',
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
      'SourceNat',
      'SourceRoutingTable',
      'SourceRoutingTableProps',
      'SshBastion',
      'SshConnection',
      'SysctlForwardingOptions',
      'VpnDaemon',
      'VpnDaemonOptions',
      'VpnEgress',
      'VpnEgressProps',
      'VpnUpHook',
      'VpnUpHookProps',
    ]);
  });

  test(
    'API.md and docs/api are what the sources say (npm run docs)',
    () => {
      const stale = [...apiPages(directory)].filter(([file, text]) => readFileSync(join(ROOT, file), 'utf8') !== text);
      expect(stale.map(([file]) => file)).toEqual([]);
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
    const { bin } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as {
      bin: Record<string, string>;
    };
    const program = join(directory, bin['cdktf-source-routing']);
    expect(readFileSync(program, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
    const { status, stderr } = spawnSync(process.execPath, [program, 'diff', ROOT, ROOT], { encoding: 'utf8' });
    expect(stderr).toContain('is not what "cdktf synth" writes');
    expect(status).toBe(2);
  });

  test(
    'the examples in README.md and in docstrings compile',
    () => {
      const { code, output } = toolIn(directory, 'jsii-rosetta', 'extract', '--compile', '--strict', '.');
      expect({ code, output: code === 0 ? '' : output }).toEqual({ code: 0, output: '' });
    },
    3 * MINUTES,
  );

  test(
    'the examples in docs compile',
    () => {
      const directory = mkdtempSync(join(tmpdir(), 'docs-'));
      try {
        const fixture = readFileSync(join(ROOT, 'rosetta/default.ts-fixture'), 'utf8');
        const pages = readdirSync(join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
        const examples = pages.flatMap((page) =>
          [...readFileSync(join(ROOT, 'docs', page), 'utf8').matchAll(/^```ts\n([^]*?)^```$/gm)].map(
            ([, example], index) => ({ file: `${page}.${index + 1}.ts`, example }),
          ),
        );
        expect(examples.length).toBeGreaterThan(10);
        examples.forEach(({ file, example }) =>
          writeFileSync(
            join(directory, file),
            fixture.replace('/// here', () => example),
          ),
        );
        const compilerOptions = {
          paths: { 'cdktf-source-routing': [join(ROOT, 'lib/index')], '*': [join(ROOT, 'node_modules/*')] },
          typeRoots: [join(ROOT, 'node_modules/@types')],
          noUnusedLocals: false,
        };
        writeFileSync(
          join(directory, 'tsconfig.json'),
          JSON.stringify({ extends: join(ROOT, 'tsconfig.json'), compilerOptions, include: ['*.ts'] }),
        );
        expect(tool('tsc', '-p', directory)).toEqual({ code: 0, output: '' });
      } finally {
        rmSync(directory, { recursive: true });
      }
    },
    MINUTES,
  );

  describe('the first screen of the README, pasted into an empty folder', () => {
    const { packages, files, printed } = firstScreen();
    const project = new Project();

    beforeAll(() => {
      project.install(
        packages.filter((name) => name !== 'cdktf-cli'),
        archive,
      );
      files.forEach((text, name) => project.write(name, text));
      project.run(join(ROOT, 'node_modules/.bin/cdktf'), ['synth']);
    }, 3 * MINUTES);
    afterAll(() => project.remove());

    test('is a program and its cdktf.json, and names all packages that they need', () => {
      expect([...files.keys()].sort()).toEqual(['cdktf.json', 'main.ts']);
      expect(packages).toEqual(expect.arrayContaining(['cdktf-source-routing', 'cdktf-cli']));
    });

    test('synthesizes the server', () => {
      const { resource } = JSON.parse(project.read('cdktf.out/stacks/vpn/cdk.tf.json')) as {
        resource: { terraform_data: object };
      };
      expect(Object.keys(resource.terraform_data)).toEqual([
        expect.stringMatching(/^vpn1_anchor_/),
        expect.stringMatching(/^vpn1_apply_/),
      ]);
    });

    describeOnMachine('applied', () => {
      let machine: Machine;

      beforeAll(() => {
        machine = new Machine();
        machine.fakeSystemd();
        machine.must(`
          ip addr add fd00:1010:1010:1010::100/64 dev eth1 nodad
          ip link add tun0 type bridge
          ip link set tun0 arp off up
          ip addr add 10.10.10.1/24 dev tun0
          ip addr add fd00:4242:4242:4242::1/64 dev tun0 nodad`);
        const [bundle] = bundlesIn(join(project.directory, 'cdktf.out/stacks/vpn/cdk.tf.json'));
        const text = bundle.replace(/^PATH=(.*)$/m, 'PATH=/mnt/bin:$1');
        const outcome = machine.apply([], { owner: 'vpn-vpn1', text });
        expect(outcome).toMatchObject({ code: 0, last: expect.stringContaining(': done: ') as string });
      }, MINUTES);
      afterAll(() => machine.close());

      test.each([...printed])('%s prints what the README shows', (command, lines) => {
        expect(words(machine.must(command))).toEqual(lines);
      });

      test('and the README shows rules and routes', () => {
        expect([...printed.keys()]).toEqual(['ip -4 rule show', 'ip -4 route show table vpn']);
      });
    });
  });

  describe('the examples, copied out of the repository', () => {
    const examples = readdirSync(join(ROOT, 'examples'));
    const project = new Project();

    beforeAll(
      () =>
        project.install(
          [...firstScreen().packages, '@cdktf/provider-opentelekomcloud'].filter((name) => name !== 'cdktf-cli'),
          archive,
        ),
      3 * MINUTES,
    );
    afterAll(() => project.remove());

    test.each(examples)(
      '%s synthesizes',
      (example) => {
        project.copy(join('examples', example), example);
        const { app } = JSON.parse(project.read(join(example, 'cdktf.json'))) as { app: string };
        project.run('sh', ['-c', app], {
          cwd: example,
          env: { CDKTF_OUTDIR: join(project.directory, example, 'out') },
        });
        expect(project.read(join(example, 'out/stacks', example, 'cdk.tf.json'))).toContain(`vpn_apply_`);
      },
      MINUTES,
    );
  });
});

/** npm shows links to files of the repository, and pictures by their full address only. */
test('links and pictures of the README lead somewhere from the page of npm', () => {
  const { repository } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    repository: { url: string };
  };
  const [, name] = /^https:\/\/github\.com\/([^/]+\/[^/]+)\.git$/.exec(repository.url) ?? [];
  const raw = `https://raw.githubusercontent.com/${name}/HEAD/`;
  const all = [...readFileSync(README, 'utf8').matchAll(/(!?)\[[^\]]*\]\(([^)#]+)[^)]*\)/g)];
  const targets = all.filter(([, , target]) => !/^https:\/\/(img\.shields\.io\/|.*\/badge\.svg$)/.test(target));
  expect(all.length - targets.length).toBe(2);
  const pictures = targets.filter(([, picture]) => picture !== '').map(([, , target]) => target);
  const links = targets.filter(([, picture]) => picture === '').map(([, , target]) => target);
  expect(pictures).toEqual(pictures.map(() => expect.stringMatching(new RegExp(`^${raw}`)) as string));
  const files = [...pictures.map((target) => target.slice(raw.length)), ...links];
  expect(files.length).toBeGreaterThan(10);
  expect(files.filter((file) => !existsSync(join(ROOT, file)))).toEqual([]);
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
