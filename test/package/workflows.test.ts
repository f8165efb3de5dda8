import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';

const ROOT = resolve(__dirname, '../..');
const WORKFLOWS = join(ROOT, '.github/workflows');

interface Job {
  readonly permissions?: Record<string, string>;
  readonly strategy?: { readonly matrix: Record<string, unknown[]> };
  readonly steps: ReadonlyArray<{ readonly name?: string; readonly run?: string }>;
}

interface Workflow {
  readonly permissions: Record<string, string>;
  readonly jobs: Record<string, Job>;
}

function workflow(name: string): Workflow {
  return parse(readFileSync(join(WORKFLOWS, name), 'utf8')) as Workflow;
}

test.each(readdirSync(WORKFLOWS))('%s may only read, and no script has values of others in it', (name) => {
  const { permissions, jobs } = workflow(name);
  expect(permissions).toEqual({ contents: 'read' });
  const scripts = Object.values(jobs).flatMap(({ steps }) => steps.flatMap(({ run }) => run ?? []));
  expect(scripts.filter((script) => script.includes('${{'))).toEqual([]);
});

test('CI runs everything, and with each version of Node.js all scripts that it names', () => {
  const { everything, node } = workflow('ci.yml').jobs;
  expect(everything.steps.map(({ run }) => run)).toContain('sudo env "PATH=$PATH" .ci/run');
  expect(node.strategy?.matrix).toEqual({ node: [20, 22, 24] });
  const { scripts, engines } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
    engines: { node: string };
  };
  expect(engines.node).toMatch(/^>= 20\./);
  const named = node.steps.flatMap(({ run }) => /^npm run (\S+)$/.exec(run ?? '')?.slice(1) ?? []);
  expect(named.length).toBeGreaterThan(2);
  expect(named.filter((name) => !(name in scripts))).toEqual([]);
});

const FORMS = join(ROOT, '.github/ISSUE_TEMPLATE');

test.each(readdirSync(FORMS).filter((name) => name !== 'config.yml'))('%s is a form as GitHub wants it', (name) => {
  const form = parse(readFileSync(join(FORMS, name), 'utf8')) as {
    readonly body: ReadonlyArray<{
      readonly type: string;
      readonly id: string;
      readonly attributes: { readonly label: string };
    }>;
  };
  expect(Object.keys(form).sort()).toEqual(['body', 'description', 'labels', 'name']);
  expect(form.body.map(({ type }) => type).filter((type) => !['textarea', 'input', 'dropdown'].includes(type))).toEqual(
    [],
  );
  for (const of of [(each: (typeof form.body)[0]) => each.id, (each: (typeof form.body)[0]) => each.attributes.label]) {
    const values = form.body.map(of);
    expect([...new Set(values)]).toEqual(values);
    expect(values.every((value) => typeof value === 'string')).toBe(true);
  }
});

describe('a release', () => {
  const { steps, permissions } = workflow('release.yml').jobs.npm;
  const directory = mkdtempSync(join(tmpdir(), 'release-'));
  const bin = join(directory, 'bin');
  beforeAll(() => {
    mkdirSync(bin);
    mkdirSync(join(directory, 'dist'));
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ version: '0.2.1' }));
    writeFileSync(join(directory, 'CHANGELOG.md'), '# Changelog\n\n## 0.2.1\n');
    ['a.tgz', 'b.tgz'].forEach((name) => writeFileSync(join(directory, 'dist', name), ''));
    // Each writes down what it was asked.
    const npm = `#!/bin/sh
echo "npm $*" >>asked
[ "$1" != view ] || [ -n "$PUBLISHED" ] && echo "$PUBLISHED" && exit
echo "npm error code $CODE" >&2
exit 1
`;
    writeFileSync(join(bin, 'npm'), npm, { mode: 0o755 });
    writeFileSync(join(bin, 'npx'), '#!/bin/sh\necho "npx $*" >>asked\nexit "${DIFFERS:-0}"\n', { mode: 0o755 });
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  function run(name: string, env: Record<string, string> = {}): { status: number | null; asked: string[] } {
    const script = steps.find((step) => step.name === name)?.run ?? 'exit 99';
    writeFileSync(join(directory, 'asked'), '');
    const { status } = spawnSync('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], {
      cwd: directory,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}`, GITHUB_REF_NAME: 'v0.2.1', ...env },
    });
    return { status, asked: readFileSync(join(directory, 'asked'), 'utf8').trim().split('\n') };
  }

  test.each([
    ['v0.2.1', 0],
    ['v0.2.2', 1],
    ['0.2.1', 1],
    ['v0.2', 1],
  ])('has the tag %s: %d', (tag, status) => {
    expect(run('Check the tag', { GITHUB_REF_NAME: tag }).status).toBe(status);
  });

  const COMPARE = 'Compare the API with what is published';
  const NAMES = ['cdktf-source-routing', 'cdktn-source-routing'];

  test.each([
    ['a patch breaks nothing', '0.2.0', 'all'],
    ['a minor release before 1.0 may', '0.1.9', 'prod'],
    ['so may a major one', '1.2.1', 'prod'],
  ])('compares the API: %s', (_, published, on) => {
    expect(run(COMPARE, { PUBLISHED: published })).toEqual({
      status: 0,
      asked: NAMES.flatMap((name) => [
        `npm view ${name} version`,
        `npx --no -- jsii-diff --error-on ${on} npm:${name}@${published} dist/${name}`,
      ]),
    });
  });

  test('ends where the API differs or npm does not answer, and compares nothing the first time', () => {
    expect(run(COMPARE, { PUBLISHED: '0.2.0', DIFFERS: '1' }).status).toBe(1);
    const asked = NAMES.map((name) => `npm view ${name} version`);
    expect(run(COMPARE, { CODE: 'E404' })).toEqual({ status: 0, asked });
    expect(run(COMPARE, { CODE: 'ETIMEDOUT' })).toEqual({ status: 1, asked: asked.slice(0, 1) });
  });

  test('is published with provenance, without a token', () => {
    expect(permissions).toEqual({ 'contents': 'write', 'id-token': 'write' });
    expect(run('Publish')).toEqual({
      status: 0,
      asked: ['a', 'b'].map((name) => `npm publish ./dist/${name}.tgz --provenance --access public`),
    });
    expect(readFileSync(join(WORKFLOWS, 'release.yml'), 'utf8')).not.toMatch(
      /secrets\.|TOKEN: (?!\$\{\{ github\.token)/,
    );
  });
});
