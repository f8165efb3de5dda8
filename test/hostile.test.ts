import { TerraformVariable, Testing } from 'cdktf';
import type { TerraformStack } from 'cdktf';
import fc from 'fast-check';
import type { SshConnection } from '../lib';
import {
  Errors,
  LinuxHost,
  Persistence,
  PolicyRule,
  RemovedLinuxHost,
  RuleAction,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
  VpnUpHook,
} from '../lib';
import { GATEWAYS, POOLS, SSH, newHost, newStack, newTable } from './fixtures';
import { cases } from './random';

const MARK = 'OWNED';
const RUNS = cases(15);

/** Text that tries to get out of a shell word, a template, a line or a quoted string. */
const hostile = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        `\${${MARK}}`,
        `%{if ${MARK}}`,
        `$(${MARK})`,
        `\`${MARK}\``,
        `;${MARK}`,
        `"${MARK}`,
        `'${MARK}`,
        `\n${MARK}`,
        ` ${MARK}`,
        `@1@`,
        '\\',
        '/',
        '..',
        '~',
        '\u001b[31m',
        '\u202e',
        '##[error]',
      ),
      fc.string({ maxLength: 3 }),
    ),
    { minLength: 1, maxLength: 5 },
  )
  .map((parts) => parts.join(''));

const ssh = (property: keyof SshConnection) => (stack: TerraformStack, text: string) =>
  void newHost(stack, { ssh: { ...SSH, [property]: text } });
const bastion = (property: string) => (stack: TerraformStack, text: string) =>
  void newHost(stack, { ssh: { ...SSH, bastion: { host: 'b', [property]: text } } });

/** Every string that a user can give, and where. */
const STRINGS: Record<string, (stack: TerraformStack, text: string) => void> = {
  'ssh.host': ssh('host'),
  'ssh.user': ssh('user'),
  'ssh.hostKey': ssh('hostKey'),
  'ssh.privateKey': ssh('privateKey'),
  'ssh.privateKeyFile': ssh('privateKeyFile'),
  'ssh.privateKeyEnvironmentVariable': (stack, privateKeyEnvironmentVariable) =>
    void newHost(stack, { ssh: { ...SSH, privateKeyFile: undefined, privateKeyEnvironmentVariable } }),
  'ssh.certificateFile': ssh('certificateFile'),
  'ssh.bastion.host': bastion('host'),
  'ssh.bastion.user': bastion('user'),
  'ssh.bastion.hostKey': bastion('hostKey'),
  'ssh.bastion.privateKeyFile': bastion('privateKeyFile'),
  'ssh.bastion.privateKeyEnvironmentVariable': bastion('privateKeyEnvironmentVariable'),
  'owner': (stack, owner) => void newHost(stack, { owner }),
  'interface name': (stack, name) => void newHost(stack, { interfaces: [{ name }] }),
  'interface address': (stack, address) =>
    void newHost(stack, { interfaces: [{ name: 'eth1', addresses: [address] }] }),
  'tableName': (stack, tableName) =>
    void new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200, tableName }),
  'route destination': (stack, destination) =>
    void newTable(newHost(stack)).addRoute('r', { destination, device: 'eth1' }),
  'route via': (stack, via) => void newTable(newHost(stack)).addRoute('r', { destination: 'default', via }),
  'route device': (stack, device) => void newTable(newHost(stack)).addRoute('r', { destination: '10.0.0.0/8', device }),
  'route preferredSource': (stack, preferredSource) =>
    void newTable(newHost(stack)).addRoute('r', { destination: '10.0.0.0/8', device: 'eth1', preferredSource }),
  'next hop via': (stack, via) =>
    void newTable(newHost(stack)).addRoute('r', { destination: '10.0.0.0/8', nextHops: [{ via }] }),
  'rule source': (stack, source) =>
    void new PolicyRule(stack, 'r', { table: newTable(newHost(stack)), source, priority: 10010 }),
  'rule destination': (stack, destination) =>
    void new PolicyRule(stack, 'r', { table: newTable(newHost(stack)), destination, priority: 10010 }),
  'rule inputInterface': (stack, inputInterface) =>
    void new PolicyRule(stack, 'r', { table: newTable(newHost(stack)), inputInterface, priority: 10010 }),
  'rule outputInterface': (stack, outputInterface) =>
    void new PolicyRule(stack, 'r', { table: newTable(newHost(stack)), outputInterface, priority: 10010 }),
  'upHook': (stack, upHook) =>
    void new VpnUpHook(stack, 'h', { table: newTable(newHost(stack)), daemon: VpnDaemon.openVpn({ upHook }) }),
  'egress device': (stack, device) =>
    void new VpnEgress(stack, 'e', { host: newHost(stack), device, tableId: 200, clients: POOLS, gateways: GATEWAYS }),
  'egress client': (stack, client) =>
    void new VpnEgress(stack, 'e', {
      host: newHost(stack),
      device: 'eth1',
      tableId: 200,
      clients: [client],
      gateways: ['192.168.1.1'],
    }),
  'egress gateway': (stack, gateway) =>
    void new VpnEgress(stack, 'e', {
      host: newHost(stack),
      device: 'eth1',
      tableId: 200,
      clients: ['10.0.0.0/8'],
      gateways: [gateway],
    }),
  'networkScripts device': (stack, device) => {
    const host = newHost(stack, { persistence: Persistence.networkScripts({ device }) });
    new PolicyRule(stack, 'r', { host, source: '10.0.0.0/8', priority: 10010, action: RuleAction.prohibit() });
  },
  'host id': (stack, id) => {
    const host = new LinuxHost(stack, id, { ssh: SSH, owner: 'vpn' });
    const table = new SourceRoutingTable(host, id, { host, tableId: 200 });
    // Its family is known at apply only, so the plan names it by its path.
    const via = new TerraformVariable(stack, 'gateway', {}).stringValue;
    table.addRoute(id, { destination: 'default', via, device: 'eth1' });
  },
  'removed host privateKeyEnvironmentVariable': (stack, privateKeyEnvironmentVariable) =>
    void new RemovedLinuxHost(stack, 'vpn1', { privateKeyEnvironmentVariable }),
  'removed host id': (stack, id) => void new RemovedLinuxHost(stack, id),
};

/** Every string of the configuration, with where it stands. */
function strings(node: unknown, path: string): Array<[string, string]> {
  if (typeof node === 'string') {
    return [[path, node]];
  }
  return typeof node === 'object' && node !== null
    ? Object.entries(node).flatMap(([key, value]) => [
        [`${path} key`, key] as [string, string],
        ...strings(value, `${path}.${key}`),
      ])
    : [];
}

/** Takes away what Terraform reads as text, and references to our own resources; what is left would be run. */
function templates(text: string): string[] {
  return text.replace(/\$\$\{|%%\{|\$\{terraform_data\.[\w-]+\.id\}/g, '').match(/[$%]\{[^}]*/g) ?? [];
}

describe('a hostile string is refused or used as plain data', () => {
  test.each(Object.keys(STRINGS))(
    '%s',
    (name) => {
      let used = 0;
      fc.assert(
        fc.property(hostile, (text) => {
          const stack = newStack();
          let json: string;
          try {
            STRINGS[name]?.(stack, text);
            json = Testing.synth(stack);
          } catch (error) {
            if (Errors.isValidationError(error)) {
              expect((error as Error).message).toMatch(/^\[[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$/u);
              expect((error as Error).message).not.toContain('##[');
            }
            // Ids are cdktf's to refuse, and a persistence is made before there is a construct to name.
            expect(
              name.endsWith('host id') ||
                (name === 'networkScripts device' && (error as Error).message.includes('networkScripts() device')) ||
                Errors.isValidationError(error),
            ).toBe(true);
            return;
          }
          used += 1;
          const { resource, removed } = JSON.parse(json) as { resource?: object; removed?: object[] };
          for (const [path, value] of strings({ resource, removed }, 'stack')) {
            for (const template of templates(value)) {
              // In an expression our text stands in quotes, with its own escaped.
              expect({ path, template: template.replace(/"(\\.|[^"\\])*("|$)/g, '""') }).not.toEqual(
                expect.objectContaining({ template: expect.stringContaining(MARK) }),
              );
            }
            if (path.endsWith('.content') || path.includes('.inline')) {
              const label = new RegExp(`^value .*${MARK}`, 'm');
              // The name of a file has the id of the host, in the characters that every file system takes.
              const file = /\$\{file\("\$\{path\.module\}\/source-routing\/[A-Za-z0-9%_.-]+"\)\}/g;
              // cdktf makes the address of a resource of it.
              const anchor = /^anchor='\$\{terraform_data\.[A-Za-z0-9_-]+\.id\}'$/m;
              expect(value.replace(label, '').replace(file, '').replace(anchor, '')).not.toContain(MARK);
            }
            if (path.endsWith('.command')) {
              // Run by a shell on the machine of whoever runs Terraform; only the note has addresses in it.
              expect(value).toMatch(
                /^(echo [A-Za-z0-9 .,:_-]+|test -z "\$problem" \|\| \{ echo "\$problem"; exit 1; \})$/,
              );
            }
          }
        }),
        { numRuns: RUNS },
      );
      // Those that are free text must not be refused all the time, or this test would show nothing.
      if (/File$|host id$/.test(name)) {
        expect(used).toBeGreaterThan(0);
      }
    },
    300_000,
  );
});
