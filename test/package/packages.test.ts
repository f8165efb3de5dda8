import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildSync } from 'esbuild';
import type { Framework } from '../../scripts/packages';
import { FRAMEWORKS, buildPackage, packPackage } from '../../scripts/packages';
import { firstScreen } from './first-screen';
import { Project, lockedVersion, newDist } from './project';

const ROOT = resolve(__dirname, '../..');
const MINUTES = 60_000;
const PNPM = 'pnpm@10.34.9';
const YARN = '@yarnpkg/cli-dist@4.18.1';
const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const NULL_PROVIDER = '@cdktf/provider-null';

/** How each package manager installs packages, and runs a program that finds them. */
const MANAGERS: Record<string, { install: (project: Project, specs: string[]) => void; node: string[] }> = {
  npm: {
    install: (project, specs) =>
      project.run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...specs]),
    node: ['node'],
  },
  pnpm: {
    install: (project, specs) => project.run('npx', ['--yes', PNPM, 'add', '--store-dir', '.store', ...specs]),
    node: ['node'],
  },
  // Without node_modules: a package finds only what it declares.
  yarn: {
    install: (project, specs) =>
      project.run('npx', [...YARN_COMMAND, 'add', ...specs], { env: yarnEnvironment(project) }),
    node: ['npx', ...['--yes', '-p', YARN], 'yarn', 'node'],
  },
};
const YARN_COMMAND = ['--yes', '-p', YARN, 'yarn'];

/** yarn knows npm's configuration only from its own variables. */
function yarnEnvironment(project: Project): Record<string, string> {
  const registry = execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
  return {
    YARN_NPM_REGISTRY_SERVER: registry,
    // It may be a mirror without TLS.
    YARN_UNSAFE_HTTP_WHITELIST: new URL(registry).hostname,
    YARN_GLOBAL_FOLDER: join(project.directory, '.yarn-global'),
    YARN_ENABLE_TELEMETRY: 'false',
    YARN_ENABLE_IMMUTABLE_INSTALLS: 'false',
  };
}

const PROGRAM = (imports: string): string => `${imports}
const [, , outdir, engine] = process.argv;
const app = new App({ outdir });
const stack = new TerraformStack(app, 'vpn');
const host = new LinuxHost(stack, 'vpn1', {
  engine: Engine[engine],
  ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id', hostKey: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA' },
  interfaces: [
    { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
    { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
    { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
  ],
});
new VpnEgress(stack, 'egress', {
  host,
  device: 'eth1',
  tableId: 200,
  tableName: 'vpn',
  clients: ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'],
  gateways: ['192.168.1.1', 'fd00:1010:1010:1010::1'],
});
app.synth();
`;

/** The program as a CommonJS and as an ECMAScript module. */
function writePrograms(project: Project, library: Framework, app = library): void {
  const names = [
    ['App, TerraformStack', app],
    ['Engine, LinuxHost, VpnEgress', `${library}-source-routing`],
  ];
  const required = names.map(([what, from]) => `const { ${what} } = require('${from}');`);
  const imported = names.map(([what, from]) => `import { ${what} } from '${from}';`);
  project.write('main.cjs', PROGRAM(required.join('\n')));
  project.write('main.mjs', PROGRAM(imported.join('\n')));
}

interface Synthesized {
  '//'?: object;
  readonly 'terraform': { backend?: object };
  readonly 'resource': Record<string, Record<string, { provisioner?: unknown }>>;
}

/** What Terraform reads, without the version of the framework and the place of the state. */
function synthesized(project: Project, outdir: string): Synthesized {
  const stack = JSON.parse(project.read(join(outdir, 'stacks/vpn/cdk.tf.json'))) as Synthesized;
  delete stack['//'];
  delete stack.terraform.backend;
  return stack;
}

/** The exit code of a program, and the first line of the error that ended it. */
function failure(project: Project, ...args: string[]): string {
  const { status, stderr } = spawnSync('node', args, { cwd: project.directory, encoding: 'utf8' });
  const [, message = stderr] = /^\w*Error: (.*)$/m.exec(stderr) ?? [];
  return `${status}: ${message}`;
}

describe('the packages', () => {
  const dist = newDist();
  const made = new Map<string, Project>();
  const archives = new Map<Framework, string>();

  beforeAll(() => {
    FRAMEWORKS.forEach((framework) => archives.set(framework, packPackage(buildPackage(framework, dist), dist)));
  }, 3 * MINUTES);
  afterAll(() => {
    made.forEach((project) => project.remove());
    rmSync(dist, { recursive: true, force: true });
  });

  /** A folder of somebody who installs our package and the framework. Tests with the same packages share it. */
  function projectWith(manager: string, framework: Framework, others: readonly string[] = []): Project {
    const key = [manager, framework, ...others].join(' ');
    const known = made.get(key);
    if (known) {
      return known;
    }
    const project = new Project();
    made.set(key, project);
    project.write('package.json', JSON.stringify({ name: 'project', version: '1.0.0', type: 'module' }));
    const names = [framework, 'constructs', ...others].map((name) => `${name}@${lockedVersion(name)}`);
    MANAGERS[manager].install(project, [`${framework}-source-routing@file:${archives.get(framework)}`, ...names]);
    writePrograms(project, framework);
    return project;
  }

  let reference: Synthesized | undefined;

  describe.each(FRAMEWORKS)('%s', (framework) => {
    test.each(Object.keys(MANAGERS))(
      'installed by %s, synthesizes the same as any other, from CommonJS and from an ECMAScript module',
      (manager) => {
        const project = projectWith(manager, framework);
        for (const program of ['main.cjs', 'main.mjs']) {
          const [command, ...args] = MANAGERS[manager].node;
          project.run(command, [...args, program, `out-${program}`], { env: yarnEnvironment(project) });
          const result = synthesized(project, `out-${program}`);
          reference ??= result;
          expect(Object.keys(result.resource.terraform_data)).toHaveLength(2);
          expect(result).toEqual(reference);
        }
      },
      3 * MINUTES,
    );

    test.each(['cjs', 'esm'] as const)(
      'bundled by esbuild as %s, needs no other file',
      (format) => {
        const project = projectWith('npm', framework);
        const bundle = new Project();
        made.set(`bundle ${framework} ${format}`, bundle);
        buildSync({
          entryPoints: [join(project.directory, 'main.mjs')],
          outfile: join(bundle.directory, 'bundle', `main.${format === 'cjs' ? 'cjs' : 'mjs'}`),
          bundle: true,
          platform: 'node',
          format,
          // The frameworks call require().
          banner:
            format === 'cjs'
              ? {}
              : { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
          logLevel: 'error',
        });
        const [file] = readdirSync(join(bundle.directory, 'bundle'));
        bundle.run('node', [join('bundle', file), 'out']);
        expect(synthesized(bundle, 'out')).toEqual(reference);
      },
      MINUTES,
    );
  });

  test('hold the texts that run on machines in their JavaScript, and no sources or tests', () => {
    for (const archive of archives.values()) {
      const paths = execFileSync('tar', ['-tzf', archive], { encoding: 'utf8' }).trim().split('\n');
      const own = paths.filter((path) => !path.startsWith('package/node_modules/ip-address/'));
      expect(own).toEqual(
        expect.arrayContaining(
          [
            '.jsii',
            'LICENSE',
            'README.md',
            'lib/index.js',
            'lib/index.d.ts',
            'lib/agent/embedded.js',
            'lib/cli/main.js',
          ].map((path) => `package/${path}`),
        ),
      );
      expect(own.filter((path) => !/\.(js|d\.ts)$/.test(path) || !path.startsWith('package/lib/')).sort()).toEqual(
        ['.jsii', 'CHANGELOG.md', 'LICENSE', 'README.md', 'package.json'].map((path) => `package/${path}`),
      );
    }
  });

  test(
    'have a README of their own, whose first screen synthesizes',
    () => {
      const [readme, other] = FRAMEWORKS.map((framework) => join(dist, `${framework}-source-routing`, 'README.md'));
      const [first, second] = [readme, other].map((file) => readFileSync(file, 'utf8'));
      expect(first).toBe(readFileSync(join(ROOT, 'README.md'), 'utf8'));
      // The framework still has these names, and there is one repository.
      const kept = /cdktf-source-routing\/cdktf-source-routing|cdktf\.(?:json|out)/g;
      expect(second.replace(kept, '').match(/.*cdktf.*/g)).toBeNull();
      expect(second.match(kept)).toEqual(first.match(kept));

      const { packages, files } = firstScreen(other);
      expect(packages).toEqual(['cdktn-source-routing', 'cdktn', 'cdktn-cli', 'tsx']);
      expect([...files.keys()]).toEqual(['cdktf.json', 'main.ts']);
      // Only the library: the command-line tool of cdktn needs a later Node.js than we do.
      const project = projectWith('npm', 'cdktn');
      files.forEach((text, name) => project.write(name, text));
      project.run(join(ROOT, 'node_modules/.bin/tsx'), ['main.ts'], { env: { CDKTF_OUTDIR: 'first-screen' } });
      expect(Object.keys(synthesized(project, 'first-screen').resource.terraform_data)).toHaveLength(2);
    },
    MINUTES,
  );

  test.each(FRAMEWORKS)(
    'jsii makes Python, Java, C# and Go of %s-source-routing, and the Python module can be imported',
    (framework) => {
      const [directory, made] = [join(dist, `${framework}-source-routing`), join(dist, `languages-${framework}`)];
      const options = ['--code-only', '--outdir', made, '--no-recurse', '--no-npmignore'];
      const targets = ['--targets', 'python', 'java', 'dotnet', 'go'];
      execFileSync(join(ROOT, 'node_modules/.bin/jsii-pacmak'), [...options, ...targets, '--', '.'], {
        cwd: directory,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      const fork = framework === 'cdktf' ? 'Cdktf' : 'Cdktn';
      for (const file of [
        `java/src/main/java/io/github/${framework}sourcerouting/LinuxHost.java`,
        `dotnet/${fork}SourceRouting/${fork}SourceRouting/LinuxHost.cs`,
        `go/${framework}sourcerouting/LinuxHost.go`,
      ]) {
        expect(existsSync(join(made, file)) || file).toBe(true);
      }
      const { types } = JSON.parse(readFileSync(join(directory, '.jsii'), 'utf8')) as { types: object };
      const program = join(__dirname, 'import-module.py');
      const imported = execFileSync('python3', [program, `${framework}_source_routing`], {
        encoding: 'utf8',
        env: { ...process.env, PYTHONPATH: join(made, 'python/src') },
      });
      expect(imported.trim().split('\n')).toEqual(
        Object.keys(types)
          .map((name) => name.split('.')[1])
          .sort(),
      );
      // An optional package is one for Node.js only.
      expect(readFileSync(join(made, 'python/setup.py'), 'utf8')).not.toContain('null');
    },
    2 * MINUTES,
  );

  test.each(FRAMEWORKS)(
    '%s-source-routing has a command of its own name',
    (framework) => {
      const project = projectWith('npm', framework);
      const npx = (...args: string[]): string =>
        project.run('npx', ['--no', '--', `${framework}-source-routing`, ...args]);
      expect(npx('--version')).toBe(`${framework}-source-routing ${version}\n`);
      project.run('node', ['main.cjs', 'command']);
      expect(npx('diff', 'command', 'command')).toBe('No traffic changes its path.\n');
      expect(
        readdirSync(join(project.directory, 'node_modules/.bin')).filter((name) => name.includes('routing')),
      ).toEqual([`${framework}-source-routing`]);
    },
    MINUTES,
  );

  test(
    'jsii-diff, which a release runs, finds what a patch must not change',
    () => {
      const [directory, old] = [join(dist, 'cdktf-source-routing'), join(dist, 'old')];
      cpSync(directory, old, { recursive: true, filter: (path) => !path.includes('node_modules') });
      const compare = (): number | null =>
        spawnSync(join(ROOT, 'node_modules/.bin/jsii-diff'), ['--error-on', 'all', old, directory]).status;
      expect(compare()).toBe(0);
      const assembly = readFileSync(join(old, '.jsii'), 'utf8');
      writeFileSync(join(old, '.jsii'), assembly.replace(/"name": "forget"/, '"name": "forgotten"'));
      expect(readFileSync(join(old, '.jsii'), 'utf8')).not.toBe(assembly);
      expect(compare()).toBe(1);
    },
    MINUTES,
  );

  test(
    'the null engine: in cdktf by an optional package, in cdktn by itself; the same for Terraform',
    () => {
      const without = projectWith('npm', 'cdktf');
      expect(failure(without, 'main.cjs', 'null', 'NULL_RESOURCE')).toBe(
        `1: [vpn/vpn1] engine "null_resource" needs the package ${NULL_PROVIDER}, which is not installed. Add it to your dependencies.`,
      );
      const stacks = [
        ['yarn', projectWith('yarn', 'cdktf', [NULL_PROVIDER])] as const,
        ['npm', projectWith('npm', 'cdktn')] as const,
      ].map(([manager, project]) => {
        const [command, ...args] = MANAGERS[manager].node;
        project.run(command, [...args, 'main.cjs', 'null', 'NULL_RESOURCE'], { env: yarnEnvironment(project) });
        return synthesized(project, 'null');
      });
      const [first, second] = stacks;
      expect(Object.keys(first.resource)).toEqual(['null_resource']);
      expect(second).toEqual(first);
    },
    2 * MINUTES,
  );

  test.each([
    ['cdktf', 'cdktn'],
    ['cdktn', 'cdktf'],
  ] as const)(
    '%s-source-routing with an App of %s: one line says which package to use',
    (library, app) => {
      const project = projectWith('npm', library, [app]);
      writePrograms(project, library, app);
      expect(failure(project, 'main.mjs', 'out')).toBe(
        `1: [vpn/vpn1] the TerraformStack is of the package ${app}, but this is ${library}-source-routing. ` +
          `Use ${app}-source-routing.`,
      );
    },
    MINUTES,
  );

  test(
    'moving from one to the other plans no change',
    () => {
      const [from, to] = FRAMEWORKS.map((framework) => projectWith('npm', framework));
      [from, to].forEach((project) => project.run('node', ['main.cjs', 'moved']));
      const terraform = (...args: string[]): string => from.run('terraform', args, { cwd: 'moved/stacks/vpn' });
      // There is no machine: provisioners go, and they are in no state.
      const stack = synthesized(from, 'moved');
      Object.values(stack.resource.terraform_data).forEach((resource) => delete resource.provisioner);
      from.write('moved/stacks/vpn/cdk.tf.json', JSON.stringify(stack));
      terraform('init', '-no-color');
      terraform('apply', '-auto-approve', '-no-color');
      from.write('moved/stacks/vpn/cdk.tf.json', JSON.stringify(synthesized(to, 'moved')));
      expect(terraform('plan', '-no-color')).toContain('No changes.');
    },
    2 * MINUTES,
  );
});
