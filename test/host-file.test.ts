import { mkdtempSync, readFileSync, readdirSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App, TerraformStack, TerraformVariable, Testing } from 'cdktf';
import { HostState, LinuxHost, PolicyRule, RuleAction, VpnEgress } from '../lib';
import { findHost, readHosts, stackDirectories } from '../lib/cli/output';
import { hostFileName, parseHostFile } from '../lib/model/host-file';
import { ALL_INTERFACES, GATEWAYS, HOST_KEY, POOLS, SSH, newHost, newStack } from './fixtures';

/** What a synth of the how-to writes, with all that must not be in a file for all to read. */
function synth(): string {
  const stack = newStack();
  const pool = new TerraformVariable(stack, 'pool', { type: 'string' });
  const other = new TerraformVariable(stack, 'other-pool', { type: 'string' });
  const key = new TerraformVariable(stack, 'key', { type: 'string', sensitive: true });
  const host = newHost(stack, { interfaces: ALL_INTERFACES, ssh: { ...SSH, privateKey: key.stringValue } });
  new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
  const more = pool.stringValue;
  const sources = { more, same: more, other: other.stringValue };
  Object.entries(sources).forEach(([id, source], index) => {
    new PolicyRule(stack, id, { host, source, action: RuleAction.prohibit(), priority: 10100 + index });
  });
  return Testing.fullSynth(stack);
}

function fileOf(outdir: string): string {
  return readFileSync(join(outdir, 'stacks/stack/source-routing/stack.vpn1.json'), 'utf8');
}

test('each synth writes what is declared for a host, and it can be read', () => {
  const outdir = synth();
  const host = findHost(readHosts(outdir).values(), 'vpn1');
  expect(host).toMatchObject({
    path: 'stack/vpn1',
    owner: 'stack-vpn1',
    management: {
      ...{ host: '192.168.178.2', hostKeyPinned: true, bastion: false },
      endpoint: { host: '192.168.178.2', port: 22 },
    },
    tables: [{ id: 200, failClosed: true }],
  });
  expect(host.interfaces).toHaveLength(3);
  expect(host.routes.map(({ tableId }) => tableId)).toEqual([200, 200]);
  expect(host.rules.filter(({ priority }) => priority < 10100).flatMap(({ source }) => source?.text ?? [])).toEqual(
    POOLS,
  );
});

test('each synth writes a report on where its packets go, without tokens', () => {
  const report = readFileSync(join(synth(), 'stacks/stack/source-routing/stack.vpn1.md'), 'utf8');
  expect(report).toContain('# Where packets go: `stack/vpn1`');
  expect(report).toContain('`<more:source>`');
  expect(report).not.toMatch(/TfToken|\$\{/);
});

test('a value that is known at apply only is named instead of its token, and no key is in the file', () => {
  const text = fileOf(synth());
  const { rules } = parseHostFile(text, 'x');
  expect(rules.slice(-3).map(({ source }) => source)).toEqual([
    { kind: 'prefix', text: '<1>', deferredFor: 'stack/more:source' },
    { kind: 'prefix', text: '<1>', deferredFor: 'stack/same:source' },
    { kind: 'prefix', text: '<2>', deferredFor: 'stack/other:source' },
  ]);
  expect(text).not.toMatch(/TfToken|\$\{|privateKey|\.ssh/);
  expect(text).not.toContain(HOST_KEY.split(' ')[1]);
});

test('the same program writes the same file', () => {
  expect(fileOf(synth())).toBe(fileOf(synth()));
});

test('nothing is declared for a host that is to be absent', () => {
  const stack = newStack();
  const host = newHost(stack, { ensure: HostState.ABSENT });
  new PolicyRule(stack, 'rule', { host, source: POOLS[0], action: RuleAction.prohibit(), priority: 10100 });
  const [model] = readHosts(Testing.fullSynth(stack)).values();
  expect(model).toMatchObject({ path: 'stack/vpn1', tables: [], rules: [], routes: [], hooks: [] });
});

/** A file system takes no name of more than 255 bytes. */
const LONG = ['vpn1', 'vpn2'].map((id) => `stack/${'ü'.repeat(100)}/${id}`);

test('every path has a file of its own, with a name that any file system takes', () => {
  const names = ['a/b', 'a.b', 'a/b.c', 'a.b/c', 'a%2Eb', 'ä b', '..', 'a*?"<>|\\:', ...LONG].map(hostFileName);
  expect(new Set(names).size).toBe(names.length);
  expect(names.every((name) => /^[A-Za-z0-9%_.-]+\.json$/.test(name))).toBe(true);
  expect(names[6]).toBe('%2E%2E.json');
  expect(names.every((name) => name.length < 230)).toBe(true);
});

describe('an app', () => {
  let outdir: string;
  beforeEach(() => (outdir = mkdtempSync(join(tmpdir(), 'out-'))));
  afterEach(() => rmSync(outdir, { recursive: true }));

  function app(...paths: string[]): void {
    const root = new App({ outdir });
    const stacks = new Map<string, TerraformStack>();
    for (const path of paths) {
      const [stack, id] = path.split('/');
      stacks.set(stack, stacks.get(stack) ?? new TerraformStack(root, stack));
      new LinuxHost(stacks.get(stack)!, id, { ssh: { ...SSH, host: `192.0.2.${paths.indexOf(path) + 1}` } });
    }
    root.synth();
  }

  test('has its hosts by path, by the end of the path or by owner', () => {
    app('one/vpn', 'two/vpn', 'two/nat');
    const hosts = readHosts(outdir);
    expect([...hosts.keys()]).toEqual(['one/vpn', 'two/nat', 'two/vpn']);
    expect(['nat', 'two/nat', 'two-nat'].map((id) => findHost(hosts.values(), id).path)).toEqual(
      Array(3).fill('two/nat'),
    );
    expect(() => findHost(hosts.values(), 'vpn')).toThrow(
      '"vpn" is ambiguous: one/vpn or two/vpn. Give the whole path.',
    );
    expect(() => findHost(hosts.values(), 'vpn1')).toThrow(
      'there is no host "vpn1". Hosts: one/vpn, two/nat, two/vpn.',
    );
    expect(() => findHost([], 'vpn1')).toThrow('there is no host "vpn1". There is none.');
  });

  test('has no host any more that was there at an earlier synth', () => {
    app('one/vpn', 'one/nat');
    app('one/nat');
    const files = readdirSync(join(outdir, 'stacks/one/source-routing'));
    expect(files.filter((name) => name.startsWith('one.vpn.'))).toHaveLength(3);
    expect([...readHosts(outdir).keys()]).toEqual(['one/nat']);
  });

  test('has directories, each with the number of its hosts', () => {
    app('one/vpn', 'one/nat', 'one/a.b%c', 'two/vpn');
    app('one/vpn', 'one/a.b%c');
    const one = { directory: join(realpathSync(outdir), 'stacks/one'), hosts: 2 };
    expect(stackDirectories(outdir)).toEqual([one]);
    expect(stackDirectories(one.directory)).toEqual([one]);
    expect(stackDirectories('/nowhere')).toEqual([{ directory: '/nowhere', hosts: 0 }]);
  });

  test('has its hosts also beside long texts full of quotes, at once', () => {
    app('one/vpn');
    const file = join(outdir, 'stacks/one/cdk.tf.json');
    const json = JSON.parse(readFileSync(file, 'utf8')) as object;
    const quotes = '"'.repeat(100_000);
    const texts = [JSON.stringify({ ...json, locals: { quotes } }), `${readFileSync(file, 'utf8')}"${quotes}\\`];
    for (const text of texts) {
      writeFileSync(file, text);
      const start = process.cpuUsage();
      expect([...readHosts(outdir).keys()]).toEqual(['one/vpn']);
      // A look at each quote to the end of its text takes a minute.
      expect(process.cpuUsage(start).user).toBeLessThan(5_000_000);
    }
  });

  test('that is none, or of another version, is said to be', () => {
    expect(() => readHosts(outdir)).toThrow(/is not what "cdktf synth" writes: .* Give a cdktf.out directory/);
    app('one/vpn');
    const file = join(outdir, 'stacks/one/source-routing/one.vpn.json');
    const text = readFileSync(file, 'utf8');
    const reading = (content: string): (() => unknown) => {
      writeFileSync(file, content);
      return () => readHosts(outdir);
    };
    expect(reading(text.replace('"format": 1', '"format": 2'))).toThrow(/one.vpn.json has format 2, .* reads format 1/);
    expect(reading('{')).toThrow(/one.vpn.json is not JSON/);
    expect(reading('[]')).toThrow(/has format undefined/);
    expect(reading(text.replace('"rules": []', '"rules": [{"path": "x"}]'))).toThrow(
      /is damaged: host.rules\[0\].family is not one of 4, 6, auto. Synthesize again/,
    );
    expect(reading(text.replace('"routes": []', '"routes": {}'))).toThrow(/host.routes is not a list/);
  });
});
