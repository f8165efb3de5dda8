import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { TERRAFORM_ENV } from '../e2e/terraform';

const ROOT = resolve(__dirname, '../..');
const PACKAGE = 'cdktf-source-routing';

interface Lock {
  readonly packages: Record<string, { readonly version: string }>;
}

/** A folder to build packages in: the compiler finds the other packages above it. */
export function newDist(): string {
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  return mkdtempSync(join(ROOT, 'dist/test-'));
}

function readLock(): Lock {
  return JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
}

/** The version of a package in the repository's lock file. */
export function lockedVersion(name: string): string {
  const found = readLock().packages[`node_modules/${name}`]?.version;
  if (found === undefined) {
    throw new Error(`package-lock.json has no ${name}`);
  }
  return found;
}

/**
 * A folder of somebody who uses the package: what `npm pack` makes is installed there, and nothing of the repository
 * is in reach. The other packages come in the versions of the repository's lock file, so that npm has them already.
 */
export class Project {
  public readonly directory = mkdtempSync(join(tmpdir(), 'project-'));

  /**
   * Installs packages.
   *
   * @param names - the packages
   * @param archive - what `npm pack` made of `cdktf-source-routing`, if that is one of them
   */
  public install(names: readonly string[], archive: string): void {
    const lock = readLock();
    const others = names.filter((name) => name !== PACKAGE);
    const root = {
      name: 'project',
      version: '1.0.0',
      dependencies: Object.fromEntries(others.map((name) => [name, lockedVersion(name)])),
    };
    this.write('package.json', JSON.stringify(root));
    this.write('package-lock.json', JSON.stringify({ ...lock, ...root, packages: { ...lock.packages, '': root } }));
    const packed = names.includes(PACKAGE) ? [archive] : [];
    this.run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', ...packed]);
  }

  public write(name: string, text: string): void {
    writeFileSync(join(this.directory, name), text);
  }

  /** Copies a folder of the repository into this one. */
  public copy(from: string, to: string): void {
    cpSync(join(ROOT, from), join(this.directory, to), { recursive: true });
  }

  /** Runs a command in the folder, or in one below it; what it printed. */
  public run(command: string, args: readonly string[], { cwd = '.', env = {} } = {}): string {
    return execFileSync(command, args, {
      cwd: join(this.directory, cwd),
      encoding: 'utf8',
      env: { ...process.env, ...TERRAFORM_ENV, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  public read(path: string): string {
    return readFileSync(join(this.directory, path), 'utf8');
  }

  public remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
