import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parse } from 'yaml';
import { describeUnless } from '../lab/describe-unless';
import { ensureRequirements, recipeTestRequirements } from '../lab/requirements';

const ROOT = resolve(__dirname, '../..');
const BIN = join(ROOT, 'node_modules/.bin');
const MINUTE = 60_000;
const MARK = '<!-- source-routing diff -->';

interface Step {
  readonly name?: string;
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Record<string, unknown>;
  readonly env?: Record<string, string>;
}

interface Workflow {
  readonly permissions: Record<string, string>;
  readonly jobs: Record<string, { readonly steps: Step[] }>;
}

/** The files that docs/ci.md tells to save, by their names. */
const FILES = new Map(
  [...readFileSync(join(ROOT, 'docs/ci.md'), 'utf8').matchAll(/^`([^`\n]+)`[^\n]*:\n\n```yaml\n([^]*?)^```$/gm)].map(
    ([, name, text]) => [name, parse(text) as unknown] as const,
  ),
);

function stepsOf(file: string): Step[] {
  return Object.values((FILES.get(file) as Workflow).jobs).flatMap(({ steps }) => steps);
}

interface Ran {
  readonly status: number;
  readonly output: string;
}

/** Runs a step as both forges do: lines of one bash that ends at the first failure. */
function bash(script: string, cwd: string, env: NodeJS.ProcessEnv): Promise<Ran> {
  return new Promise((done) => {
    execFile(
      'bash',
      ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script],
      { cwd, env },
      (error, stdout, stderr) => {
        done({ status: error ? Number(error.code) : 0, output: `${stdout}${stderr}` });
      },
    );
  });
}

const PROGRAM = (gateway: string, uplink: string): string => `
import { App, TerraformStack } from ${JSON.stringify(join(ROOT, 'node_modules/cdktf'))};
import { LinuxHost, VpnEgress } from ${JSON.stringify(join(ROOT, 'lib'))};
const app = new App();
const stack = new TerraformStack(app, 'vpn');
const host = new LinuxHost(stack, 'vpn1', {
  ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id' },
  interfaces: [
    { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['${uplink}'] },
    { name: 'eth1', addresses: ['192.168.1.100/24', 'fd00:1010:1010:1010::100/64'] },
    { name: 'tun0', addresses: ['10.10.10.1/24', 'fd00:4242:4242:4242::1/64'] },
  ],
});
new VpnEgress(stack, 'egress', {
  host,
  device: 'eth1',
  tableId: 200,
  clients: ['10.10.10.0/24', 'fd00:4242:4242:4242::/64'],
  gateways: ['${gateway}', 'fd00:1010:1010:1010::1'],
});
app.synth();
`;

/** npm and npx of a project that has everything installed. They synthesize the same program only once. */
const NPM = `#!/bin/sh
[ "$*" = ci ] && mkdir -p node_modules/.bin && cp "$RUNNER_TEMP/cdktf-source-routing" node_modules/.bin/
`;
const COMMAND = `#!/bin/sh
exec "${BIN}/tsx" "${ROOT}/lib/cli/main.ts" "$@"
`;
const NPX = `#!/bin/sh
[ "$1 $2 $3" = "cdktf synth --output" ] || exit 127
made=$RUNNER_TEMP/made-$(cksum <main.ts | tr ' ' -)
[ -d "$made" ] || "${BIN}/cdktf" synth --output "$made" || exit
rm -rf "$4" && cp -r "$made" "$4"
`;

/** A stand-in for gh, over a file: pull requests, and comments by their number. */
const GH = `#!/usr/bin/env node
const fs = require('node:fs');
const { execFileSync } = require('node:child_process');
const { parseArgs } = require('node:util');
const { values, positionals: [api, path] } = parseArgs({
  allowPositionals: true,
  options: {
    method: { type: 'string', default: 'GET' }, paginate: { type: 'boolean' }, silent: { type: 'boolean' }, jq: { type: 'string' },
    'raw-field': { type: 'string', short: 'f', multiple: true, default: [] }, field: { type: 'string', multiple: true, default: [] },
  },
});
const fields = Object.fromEntries([...values['raw-field'], ...values.field].map((each) => {
  const [, name, value] = /^([^=]*)=([^]*)$/.exec(each);
  return [name, value.startsWith('@') ? fs.readFileSync(value.slice(1), 'utf8') : value];
}));
const store = JSON.parse(fs.readFileSync(process.env.STORE, 'utf8'));
const [, number] = /issues\\/(\\d+)\\/comments$/.exec(path) ?? [];
const [, id] = /issues\\/comments\\/(\\d+)$/.exec(path) ?? [];
if (api !== 'api' || process.env.GH_TOKEN !== 'token' || !path.startsWith('repos/owner/vpn/')) throw new Error('refused');
let answer = {};
if (values.method === 'GET' && path.endsWith('/pulls')) {
  answer = store.pulls.filter(({ state, head }) => state === fields.state && head.label === fields.head);
} else if (values.method === 'GET' && number) {
  answer = store.comments.filter((each) => each.on === number);
} else if (values.method === 'POST' && number) {
  store.comments.push({ id: store.comments.length + 1, on: number, user: { type: 'Bot' }, ...fields });
} else if (values.method === 'PATCH' && id) {
  Object.assign(store.comments.find((each) => each.id === Number(id)), fields);
} else throw new Error('no such thing');
fs.writeFileSync(process.env.STORE, JSON.stringify(store));
if (!values.silent) process.stdout.write(execFileSync('jq', ['-r', values.jq], { input: JSON.stringify(answer) }));
`;

interface Comment {
  readonly id: number;
  readonly body: string;
}

describeUnless(ensureRequirements(recipeTestRequirements), 'the recipes of docs/ci.md', () => {
  const directory = mkdtempSync(join(tmpdir(), 'recipes-'));
  const [bin, repository, temp] = ['bin', 'repository', 'temp'].map((name) => join(directory, name));
  const env = {
    ...process.env,
    PATH: `${bin}:${process.env.PATH}`,
    CHECKPOINT_DISABLE: '1',
    CI: 'true',
    RUNNER_TEMP: temp,
    GITHUB_STEP_SUMMARY: join(temp, 'summary'),
    GITHUB_REPOSITORY: 'owner/vpn',
    STORE: join(temp, 'store'),
  };

  function git(...args: string[]): string {
    const identity = ['-c', 'user.name=test', '-c', 'user.email=test@example.org', '-c', 'init.defaultBranch=main'];
    return execFileSync('git', [...identity, ...args], { cwd: repository, encoding: 'utf8' }).trim();
  }

  function commit(gateway: string, uplink = '192.168.178.1'): string {
    writeFileSync(join(repository, 'main.ts'), PROGRAM(gateway, uplink));
    git('add', '.');
    git('commit', '--quiet', '--message', gateway);
    return git('rev-parse', 'HEAD');
  }

  let base: string;
  let target: string;
  beforeAll(() => {
    [bin, repository, temp].forEach((path) => mkdirSync(path));
    Object.entries({ npm: NPM, npx: NPX, gh: GH }).forEach(([name, text]) =>
      writeFileSync(join(bin, name), text, { mode: 0o755 }),
    );
    writeFileSync(join(temp, 'cdktf-source-routing'), COMMAND, { mode: 0o755 });
    git('init', '--quiet');
    const app = `${join(BIN, 'tsx')} main.ts`;
    writeFileSync(
      join(repository, 'cdktf.json'),
      JSON.stringify({ language: 'typescript', app, projectId: 'x', sendCrashReports: 'false' }),
    );
    writeFileSync(join(repository, '.gitignore'), 'node_modules\ncdktf.out\ncomment.md\n.base\n.before\n.after\n');
    base = commit('192.168.1.1');
    git('checkout', '--quiet', '-b', 'change');
    commit('192.168.1.2');
    git('checkout', '--quiet', 'main');
    // What the other branch got meanwhile is in both, so it is no change.
    target = commit('192.168.1.1', '192.168.178.9');
    // As GitHub checks out a pull request.
    git('checkout', '--quiet', '--detach');
    git('merge', '--quiet', '--no-ff', '--message', 'merge', 'change');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  test('are all there', () => {
    expect([...FILES.keys()]).toEqual([
      '.github/workflows/routes.yml',
      '.github/workflows/routes-comment.yml',
      '.gitlab-ci.yml',
    ]);
  });

  test('GitHub: only the workflow that runs none of the code of a change may write', () => {
    const [routes, comment] = [...FILES.values()].slice(0, 2) as Workflow[];
    expect(routes.permissions).toEqual({ contents: 'read' });
    expect(comment.permissions).toEqual({ 'actions': 'read', 'pull-requests': 'write' });
    const steps = stepsOf('.github/workflows/routes-comment.yml');
    expect(steps.map(({ uses }) => uses?.split('@')[0])).toEqual(['actions/download-artifact', undefined]);
    // What others chose reaches the shell as a variable, never as a part of the script.
    const scripts = [...steps, ...stepsOf('.github/workflows/routes.yml')].flatMap(({ run }) => run ?? []);
    expect(scripts.filter((script) => script.includes('${{'))).toEqual([]);
  });

  test(
    'GitHub: each step of the first workflow, up to the artifact',
    async () => {
      for (const { run } of stepsOf('.github/workflows/routes.yml').filter((step) => step.run !== undefined)) {
        const { status, output } = await bash(run ?? '', repository, env);
        expect([status, status === 0 ? '' : output]).toEqual([0, '']);
      }
      const comment = readFileSync(join(repository, 'comment.md'), 'utf8');
      expect(comment).toContain('| `via 192.168.1.1 dev eth1 (table 200)` | `via 192.168.1.2 dev eth1 (table 200)` |');
      expect(comment).not.toContain('192.168.178.9');
      expect(readFileSync(env.GITHUB_STEP_SUMMARY, 'utf8')).toBe(comment);
    },
    2 * MINUTE,
  );

  describe('GitHub: the second workflow', () => {
    const [, comment] = stepsOf('.github/workflows/routes-comment.yml');
    // Branches have such names.
    const HEAD = { label: 'stranger:fix/a&b=c#1', sha: 'abc' };
    const pull = { number: 7, state: 'open', head: HEAD };
    const others: object[] = [
      { id: 1, on: '7', user: { type: 'User' }, body: `${MARK} of a person` },
      { id: 2, on: '8', user: { type: 'Bot' }, body: `${MARK} of another pull request` },
    ];

    async function run(pulls: readonly object[], comments: readonly object[], body: string): Promise<Comment[]> {
      writeFileSync(env.STORE, JSON.stringify({ pulls, comments }));
      writeFileSync(join(temp, 'comment.md'), body);
      const values: Record<string, string> = {
        'github.token': 'token',
        'github.event.workflow_run.head_repository.owner.login': 'stranger',
        'github.event.workflow_run.head_branch': 'fix/a&b=c#1',
        'github.event.workflow_run.head_sha': 'abc',
      };
      const own = Object.entries(comment.env ?? {}).map<[string, string]>(([name, text]) => [
        name,
        text.replace(/\$\{\{ (.*?) \}\}/g, (_, expression: string) => values[expression]),
      ]);
      const { status, output } = await bash(comment.run ?? '', temp, { ...env, ...Object.fromEntries(own) });
      expect([status, status === 0 ? '' : output]).toEqual([0, '']);
      return (JSON.parse(readFileSync(env.STORE, 'utf8')) as { comments: Comment[] }).comments;
    }

    test('writes a comment, and updates it after the next push', async () => {
      const first = await run([pull], others, `${MARK}\n\none`);
      expect(first).toEqual([...others, { id: 3, on: '7', user: { type: 'Bot' }, body: `${MARK}\n\none` }]);
      const second = await run([pull], first, `${MARK}\n\ntwo`);
      expect(second).toEqual([...others, { id: 3, on: '7', user: { type: 'Bot' }, body: `${MARK}\n\ntwo` }]);
    });

    test.each([
      ['there was another push', { ...pull, head: { ...HEAD, sha: 'def' } }],
      ['the pull request is closed', { ...pull, state: 'closed' }],
      ['the branch is that of somebody else', { ...pull, head: { ...HEAD, label: 'owner:fix/a&b=c#1' } }],
    ])('writes nothing if %s', async (_, other) => {
      expect(await run([other], others, MARK)).toEqual(others);
    });
  });

  describe('GitLab: the job', () => {
    const { routes } = FILES.get('.gitlab-ci.yml') as { routes: { script: string[] } };
    const notes: Array<{ id: number; author: { id: number }; body: string }> = [];
    const asked: string[] = [];
    let server: Server;
    let fails = false;

    beforeAll(async () => {
      server = createServer((request, response) => {
        let text = '';
        request.on('data', (chunk) => (text += String(chunk)));
        request.on('end', () => {
          const { pathname } = new URL(request.url ?? '', 'http://localhost');
          asked.push(`${request.method} ${pathname}`);
          const isNotes = pathname.startsWith('/api/v4/projects/5/merge_requests/9/notes');
          if (fails || request.headers['private-token'] !== 'secret' || !(isNotes || pathname === '/api/v4/user')) {
            response.writeHead(403).end();
            return;
          }
          const body = new URLSearchParams(text).get('body') ?? '';
          const id = Number(pathname.split('/').pop());
          if (request.method === 'POST') notes.push({ id: notes.length + 1, author: { id: 42 }, body });
          if (request.method === 'PUT') Object.assign(notes.find((note) => note.id === id) ?? {}, { body });
          response.end(JSON.stringify(pathname === '/api/v4/user' ? { id: 42 } : notes));
        });
      });
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    });
    afterAll(() => new Promise((done) => server.close(done)));
    beforeEach(() => {
      notes.splice(0, notes.length, { id: 1, author: { id: 3 }, body: `${MARK} of a person` });
      asked.splice(0);
      fails = false;
    });

    /** @param more - what the pipeline has besides */
    function run(token?: string, more: NodeJS.ProcessEnv = {}): Promise<Ran> {
      return bash(routes.script.join('\n'), repository, {
        ...env,
        CI_PROJECT_DIR: repository,
        CI_MERGE_REQUEST_DIFF_BASE_SHA: base,
        CI_API_V4_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v4`,
        CI_MERGE_REQUEST_PROJECT_ID: '5',
        CI_MERGE_REQUEST_IID: '9',
        ROUTES_TOKEN: token,
        no_proxy: '127.0.0.1',
        ...more,
      });
    }

    test(
      'writes a comment, and updates it after the next push',
      async () => {
        expect(await run('secret')).toMatchObject({ status: 0 });
        expect(notes).toHaveLength(2);
        expect(notes[1].body).toBe(readFileSync(join(repository, 'comment.md'), 'utf8'));
        expect(notes[1].body).toContain('`via 192.168.1.2 dev eth1 (table 200)`');
        notes[1] = { ...notes[1], body: `${MARK} of the push before` };
        rmSync(join(repository, '.base'), { recursive: true });
        expect(await run('secret')).toMatchObject({ status: 0 });
        expect(notes.map(({ body }) => body)).toEqual([
          `${MARK} of a person`,
          readFileSync(join(repository, 'comment.md'), 'utf8'),
        ]);
        expect(asked.slice(-1)).toEqual(['PUT /api/v4/projects/5/merge_requests/9/notes/2']);
      },
      2 * MINUTE,
    );

    test(
      'from a fork, without the token, shows the comment in its log only',
      async () => {
        rmSync(join(repository, '.base'), { recursive: true, force: true });
        const { status, output } = await run();
        expect(status).toBe(0);
        expect(output).toContain('`via 192.168.1.2 dev eth1 (table 200)`');
        expect(asked).toEqual([]);
      },
      MINUTE,
    );

    test(
      'of merged results shows what the change does, and nothing of others',
      async () => {
        rmSync(join(repository, '.base'), { recursive: true, force: true });
        const { status, output } = await run(undefined, { CI_MERGE_REQUEST_TARGET_BRANCH_SHA: target });
        expect(status).toBe(0);
        expect(output).toContain('`via 192.168.1.2 dev eth1 (table 200)`');
        expect(output).not.toContain('192.168.178.9');
      },
      MINUTE,
    );

    test(
      'fails if the forge refuses',
      async () => {
        rmSync(join(repository, '.base'), { recursive: true, force: true });
        fails = true;
        expect((await run('secret')).status).not.toBe(0);
      },
      MINUTE,
    );
  });
});
