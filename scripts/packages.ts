/**
 * `npm run packages`: one source, two packages. Writes `dist/cdktf-source-routing` and `dist/cdktn-source-routing`, with
 * the archives that npm publishes beside them. The package for cdktn imports `cdktn` where the sources say `cdktf`.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Embedded } from '../lib/agent/texts';

export const ROOT = resolve(__dirname, '..');
const DIST = join(ROOT, 'dist');
/** One of these files of `lib/` becomes the other in the package for cdktn. */
const NULL_PROVIDER = 'delivery/null-provider.ts';
const NULL_PROVIDER_OF_CDKTN = 'delivery/null-provider.cdktn.ts';
/** cdktn itself refuses other versions of constructs. Its minor versions need no new release of ours. */
const PEERS_OF_CDKTN = { cdktn: '>=0.24.0 <1.0.0', constructs: '>=10.6.0 <10.8.0' };

export type Framework = 'cdktf' | 'cdktn';
export const FRAMEWORKS: readonly Framework[] = ['cdktf', 'cdktn'];

interface Manifest {
  readonly version: string;
  readonly peerDependencies: Record<string, string>;
  readonly peerDependenciesMeta?: Record<string, { readonly optional: boolean }>;
  readonly devDependencies: Record<string, string>;
  readonly bundleDependencies: readonly string[];
  readonly [name: string]: unknown;
}

/**
 * Writes a package and compiles it.
 *
 * @param parent - a folder inside the repository, since the compiler finds the other packages above it
 * @returns the folder of the package
 */
export function buildPackage(framework: Framework, parent = DIST): string {
  const directory = join(parent, `${framework}-source-routing`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  const manifest = manifestOf(framework);
  writeSources(framework, directory, manifest.version);
  for (const name of manifest.bundleDependencies) {
    cpSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name), { recursive: true });
  }
  // jsii-docgen finds the peers only here.
  for (const name of Object.keys(withoutOptionalPeers(manifest).peerDependencies)) {
    symlinkSync(join(ROOT, 'node_modules', name), join(directory, 'node_modules', name));
  }
  for (const name of ['LICENSE', 'CHANGELOG.md']) {
    cpSync(join(ROOT, name), join(directory, name));
  }
  cpSync(join(ROOT, 'rosetta'), join(directory, 'rosetta'), { recursive: true });
  for (const name of ['README.md', 'rosetta/default.ts-fixture']) {
    writeFileSync(join(directory, name), ofFramework(framework, readFileSync(join(ROOT, name), 'utf8')));
  }
  // jsii would make a dependency of an optional peer, in each language.
  writeManifest(directory, withoutOptionalPeers(manifest));
  execFileSync(join(ROOT, 'node_modules/.bin/jsii'), ['--fail-on-warnings', '--generate-tsconfig', 'tsconfig.json'], {
    cwd: directory,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  writeManifest(directory, manifest);
  return directory;
}

/**
 * Makes the archive that npm publishes.
 *
 * @returns its path
 */
export function packPackage(directory: string, destination: string): string {
  const args = ['pack', '--json', '--pack-destination', destination];
  const [{ filename }] = JSON.parse(execFileSync('npm', args, { cwd: directory, encoding: 'utf8' })) as [
    { filename: string },
  ];
  return join(destination, filename);
}

function manifestOf(framework: Framework): Manifest {
  const root = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
  const manifest = {
    ...without(root, ['scripts', 'private', 'overrides']),
    // What jsii asks for: the peers, in the versions that it compiles with.
    devDependencies: pick(root.devDependencies, [framework, 'constructs']),
  };
  if (framework === 'cdktf') {
    return manifest;
  }
  return {
    ...(JSON.parse(ofFramework(framework, JSON.stringify(without(manifest, ['peerDependenciesMeta'])))) as Manifest),
    author: root.author,
    peerDependencies: PEERS_OF_CDKTN,
  };
}

/**
 * Writes the names of the framework, and the names that are made of it. The repository, `cdktf.json` and `cdktf.out`
 * have one name for both.
 */
function ofFramework(framework: Framework, text: string): string {
  return text.replace(
    /(github(?:usercontent)?\.com\/[\w-]+(?:\/cdktf-source-routing(?!-))?)|\b(cdkt)f(?!\.(?:json|out)\b)(?=\b|_|source)|\b(Cdkt)f(?=[A-Z])/g,
    (_, url: string | undefined, lower = '', upper = '') => url ?? `${lower}${upper}${framework.slice('cdkt'.length)}`,
  );
}

function withoutOptionalPeers(manifest: Manifest): Manifest {
  const optional = Object.keys(manifest.peerDependenciesMeta ?? {});
  return {
    ...without(manifest, ['peerDependenciesMeta']),
    peerDependencies: without(manifest.peerDependencies, optional),
  };
}

function without<T extends object>(values: T, names: readonly string[]): T {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !names.includes(name))) as T;
}

function pick<T extends object>(values: T, names: readonly string[]): T {
  return Object.fromEntries(Object.entries(values).filter(([name]) => names.includes(name))) as T;
}

function writeManifest(directory: string, manifest: Manifest): void {
  writeFileSync(join(directory, 'package.json'), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

function writeSources(framework: Framework, directory: string, version: string): void {
  const files = readdirSync(join(ROOT, 'lib'), { recursive: true, encoding: 'utf8' }).sort();
  const read = (file: string): string => readFileSync(join(ROOT, 'lib', file), 'utf8');
  const texts = Object.fromEntries(
    files.filter((file) => /\.(sh|awk)$/.test(file)).map((file) => [file, read(file)] as const),
  );
  const embedded: Embedded = { name: `${framework}-source-routing`, version, texts };
  for (const file of files.filter((each) => each.endsWith('.ts') && !each.endsWith('.d.ts'))) {
    if (file === NULL_PROVIDER_OF_CDKTN) {
      continue;
    }
    const target = join(directory, 'lib', file);
    mkdirSync(dirname(target), { recursive: true });
    const source = file === NULL_PROVIDER && framework === 'cdktn' ? NULL_PROVIDER_OF_CDKTN : file;
    const text = file === 'agent/embedded.ts' ? embeddedSource(embedded) : imports(framework, read(source));
    writeFileSync(target, text);
  }
}

function embeddedSource(embedded: Embedded): string {
  return `import type { Embedded } from './texts';\n\nexport const EMBEDDED: Embedded | undefined = ${JSON.stringify(embedded)};\n`;
}

/** What the sources and the examples in their docstrings import. */
function imports(framework: Framework, source: string): string {
  return source.replace(/(from |import\(|require\()'cdktf(?=['/-])/g, `$1'${framework}`);
}

if (require.main === module) {
  for (const framework of FRAMEWORKS) {
    console.log(packPackage(buildPackage(framework), DIST));
  }
}
