import { execFileSync } from 'node:child_process';
import { NullProvider } from '@cdktf/provider-null/lib/provider';
import { TerraformStack, TerraformVariable } from 'cdktf';
import { Construct } from 'constructs';
import type { LinuxHostProps, NetworkInterface, SshConnection } from '../lib';
import {
  Engine,
  HostState,
  LinuxHost,
  Persistence,
  PolicyRule,
  SourceRoutingTable,
  VpnDaemon,
  VpnEgress,
  VpnUpHook,
} from '../lib';
import { bundleChecksum } from '../lib/agent/program';
import { TerraformData } from '../lib/delivery/terraform-data';
import { version } from '../package.json';
import {
  GATEWAYS,
  HOST_KEY,
  IPV4_TUNNELS,
  POOLS,
  SSH,
  bundleOf,
  environmentKeyOf,
  filesOf,
  newHost,
  newStack,
  newTable,
  resolve,
  resourceOf,
  scriptsOf,
  synthWarnings,
  synthesize,
  validationErrors,
} from './fixtures';

const CONNECTION = {
  type: 'ssh',
  agent: 'false',
  timeout: '60s',
  script_path: '.ssh/.source-routing-stack-vpn1.%RAND%.see-ssh.scriptDirectory',
};

/** The key of the clean-up, from where the state says that it is. */
const keptKey = (kept: string): string =>
  `\${can(${kept}_variable) ? ${environmentKeyOf(`${kept}_variable`)} : can(${kept}_file) ? file(pathexpand(${kept}_file)) : null}`;

/** The clean-up's connection, the same in every configuration but for its timeout. */
const DESTROY_CONNECTION = (from: string, timeout = '60s'): object => ({
  type: 'ssh',
  timeout,
  script_path: `\${try(${from}.script_directory, ".ssh")}/.source-routing-\${${from}.owner}.%RAND%.see-ssh.scriptDirectory`,
  host: `\${${from}.host}`,
  user: `\${${from}.user}`,
  port: `\${${from}.port}`,
  agent: `\${${from}.agent}`,
  private_key: keptKey(`${from}.key`),
  certificate: `\${can(${from}.certificate_file) ? file(pathexpand(${from}.certificate_file)) : null}`,
  host_key: `\${try(${from}.host_key, null)}`,
  bastion_host: `\${try(${from}.bastion_host, null)}`,
  bastion_port: `\${try(${from}.bastion_port, null)}`,
  bastion_user: `\${try(${from}.bastion_user, null)}`,
  bastion_private_key: keptKey(`${from}.bastion_key`),
  bastion_host_key: `\${try(${from}.bastion_host_key, null)}`,
});

describe('addresses of the two resources', () => {
  test('are part of the public contract', () => {
    const stack = newStack();
    newHost(stack);
    new LinuxHost(new Construct(stack, 'region'), 'vpn1', { ssh: SSH });
    expect(Object.keys(synthesize(stack).resource.terraform_data ?? {}).sort()).toEqual([
      'region_vpn1_anchor_F93AB9E9',
      'region_vpn1_apply_C19D812F',
      'vpn1_anchor_6BC782AD',
      'vpn1_apply_DFDC6F98',
    ]);
  });

  test('dependsOn takes any of our constructs', () => {
    const stack = newStack();
    const host = newHost(stack);
    const egress = new VpnEgress(stack, 'egress', {
      host,
      device: 'eth1',
      tableId: 200,
      clients: POOLS,
      gateways: GATEWAYS,
    });
    const route = egress.table.addRoute('lan', { destination: '10.0.0.0/8', device: 'eth1' });
    const rule = new PolicyRule(stack, 'rule', { table: egress.table, source: '10.9.0.0/16', priority: 11000 });
    const hook = new VpnUpHook(stack, 'hook', { table: egress.table });
    const constructs = [host, egress, egress.table, route, rule, hook];
    constructs.forEach((construct, index) => new TerraformData(stack, `after-${index}`, { dependsOn: [construct] }));
    const data = synthesize(stack).resource.terraform_data ?? {};
    const address = resolve(stack, host.fqn) as string;
    constructs.forEach((_, index) => {
      expect(data[`after-${index}`]?.depends_on).toEqual([address.replace(/^\$\{|\}$/g, '')]);
    });
  });

  test('dependsOn of the host makes the anchor wait', () => {
    const stack = newStack();
    const firewall = new TerraformData(stack, 'firewall', {});
    newHost(stack, { dependsOn: [firewall] });
    expect(resourceOf(stack, 'anchor').depends_on).toEqual(['terraform_data.firewall']);
  });
});

describe('anchor', () => {
  test('is replaced by a new identity only, and cleans up with nothing but its own values', () => {
    const stack = newStack();
    newHost(stack);
    const anchor = resourceOf(stack, 'anchor');
    expect(anchor.triggers_replace).toEqual({ host: '192.168.178.2', port: '22', owner: 'stack-vpn1' });
    expect(anchor.input).toEqual({
      host: '192.168.178.2',
      port: '22',
      user: 'root',
      agent: 'false',
      key_file: '~/.ssh/id',
      host_key: HOST_KEY,
      owner: 'stack-vpn1',
    });
    // Terraform reads the connection of a resource for every provisioner, and the note needs no key file.
    expect(anchor.connection).toBeUndefined();
    const [note, probe, cleanUp, confirm] = anchor.provisioner;
    expect(anchor.provisioner).toHaveLength(4);
    expect(note).toEqual({
      'local-exec': {
        command:
          'echo source-routing: putting the machine back. If it is gone for good, have Terraform forget it: terraform state rm terraform_data.vpn1_anchor_6BC782AD terraform_data.vpn1_apply_DFDC6F98',
        when: 'destroy',
        quiet: true,
        on_failure: 'continue',
      },
    });
    // No on_failure: nothing else is uploaded where its directory is missing.
    expect(probe).toEqual({
      file: {
        content: 'nothing\n',
        destination:
          '${try(self.input.script_directory, ".ssh")}/.source-routing-${self.input.owner}.${self.id}.bundle.see-ssh.scriptDirectory/bundle',
        when: 'destroy',
        connection: DESTROY_CONNECTION('self.input'),
      },
    });
    expect(cleanUp).toEqual({
      'remote-exec': {
        inline: [
          expect.stringMatching(
            /^#!\/bin\/sh\nowner='\$\{self\.input\.owner\}'\ngeneration='\$\{self\.id\}'\nanchor='\$\{self\.id\}'\nconfirm_timeout='60'\n\$\{file\("\$\{path\.module\}\/source-routing\/clean-up\.[0-9a-f]{16}\.sh"\)\}$/,
          ),
        ],
        when: 'destroy',
        on_failure: 'continue',
        // Every key, whether it was kept or not: the values are those of an older configuration.
        connection: DESTROY_CONNECTION('self.input'),
      },
    });
    // Its failure is the destroy's, or Terraform would forget a machine that is not clean.
    expect(confirm).toEqual({
      'remote-exec': {
        inline: [
          expect.stringMatching(
            /^#!\/bin\/sh\nowner='\$\{self\.input\.owner\}'\ngeneration='\$\{self\.id\}'\nanchor='\$\{self\.id\}'\nremoval='--removal'\n\$\{file\("\$\{path\.module\}\/source-routing\/confirm\.[0-9a-f]{16}\.sh"\)\}$/,
          ),
        ],
        when: 'destroy',
        connection: DESTROY_CONNECTION('self.input', '100s'),
      },
    });
  });

  test('names nothing but itself, as Terraform demands of what runs at destroy', () => {
    const stack = newStack();
    const variable = (name: string): string => new TerraformVariable(stack, name, {}).stringValue;
    newHost(stack, {
      ssh: { host: variable('host'), user: variable('user'), privateKeyFile: variable('file'), hostKey: HOST_KEY },
    });
    const text = JSON.stringify(resourceOf(stack, 'anchor').provisioner).replace(/\$\{path\.module\}/g, '');
    const templates = text.match(/\$\{[^}]*\}/g) ?? [];
    expect(templates.filter((each) => !/self\.|^\$\{file\(\\"\/source-routing\/[\w.-]+\\"\)\}$/.test(each))).toEqual(
      [],
    );
    expect(text).not.toMatch(/\b(var|local|data|terraform_data\.[\w-]+\.\w+)\./);
  });

  test('the note means nothing to sh or cmd but its words', () => {
    const stack = newStack();
    newHost(stack);
    const { command } = resourceOf(stack, 'anchor').provisioner[0]?.['local-exec'] as { command: string };
    expect(command).toMatch(/^echo [A-Za-z0-9 .,:_-]+$/);
    expect(execFileSync('sh', ['-c', command], { encoding: 'utf8' })).toBe(`${command.slice(5)}\n`);
  });
});

describe('apply', () => {
  const HEAD = "#!/bin/sh\nowner='stack-vpn1'\ngeneration='${self.id}'\n";
  const ANCHOR = "anchor='${terraform_data.vpn1_anchor_6BC782AD.id}'\n";
  const script = (parameters: string): unknown => [
    expect.stringContaining(`${HEAD}${parameters}\n\${file("\${path.module}/source-routing/`),
  ];

  test('uploads one bundle, has it put on trial, and confirms it over another connection', () => {
    const stack = newStack();
    newHost(stack);
    const apply = resourceOf(stack, 'apply');
    expect(apply.provisioner).toEqual([
      {
        file: {
          destination: '.ssh/.source-routing-stack-vpn1.${self.id}.bundle.see-ssh.scriptDirectory/bundle',
          content: expect.stringMatching(
            /^\$\{file\("\$\{path\.module\}\/source-routing\/agent\.[0-9a-f]{16}\.sh"\)\}#--- bundle\nbundle 1 \S+\nowner stack-vpn1\n\$\{file\("\$\{path\.module\}\/source-routing\/stack\.vpn1\.[0-9a-f]{16}\.bundle"\)\}$/,
          ),
        },
      },
      {
        'remote-exec': {
          inline: script(`${ANCHOR}confirm_timeout='60'\nallow_management_path_change=''`),
          on_failure: 'continue',
        },
      },
      // No on_failure: its failure is the apply's. The rest of its connection is the resource's.
      { 'remote-exec': { inline: script("anchor=''\nremoval=''"), connection: { timeout: '100s' } } },
    ]);
    expect(apply.connection).toEqual({
      ...CONNECTION,
      host: '192.168.178.2',
      user: 'root',
      private_key: '${fileexists(pathexpand("~/.ssh/id")) ? file(pathexpand("~/.ssh/id")) : null}',
      host_key: HOST_KEY,
    });
  });

  test.each<[number | undefined, number | undefined, string]>([
    [undefined, undefined, '100s'],
    [10, undefined, '60s'],
    [21, undefined, '61s'],
    [90, undefined, '130s'],
    [90, 131, '131s'],
    [undefined, 20, '100s'],
  ])(
    'confirmTimeoutSeconds %s, timeoutSeconds %s: waits %s to confirm',
    (confirmTimeoutSeconds, timeoutSeconds, timeout) => {
      const stack = newStack();
      newHost(stack, { confirmTimeoutSeconds, ssh: { ...SSH, timeoutSeconds } });
      const remote = (kind: 'anchor' | 'apply', index: number): unknown =>
        resourceOf(stack, kind).provisioner[index]?.['remote-exec'];
      const seconds = `confirm_timeout='${confirmTimeoutSeconds ?? 60}'\n`;
      expect(remote('apply', 1)).toMatchObject({ inline: [expect.stringContaining(seconds)] });
      expect(remote('apply', 2)).toMatchObject({ connection: { timeout } });
      expect(remote('anchor', 2)).toMatchObject({
        inline: [expect.stringContaining(seconds)],
        connection: { timeout: `${timeoutSeconds ?? 60}s` },
      });
      expect(remote('anchor', 3)).toMatchObject({ connection: { timeout } });
    },
  );

  test('allowManagementPathChange is told to the machine', () => {
    const stack = newStack();
    newHost(stack, { allowManagementPathChange: true });
    expect(resourceOf(stack, 'apply').provisioner[1]?.['remote-exec']?.inline).toEqual(
      script(`${ANCHOR}confirm_timeout='60'\nallow_management_path_change='yes'`),
    );
  });

  test('how it is confirmed is no change', () => {
    const triggers = (props: Partial<LinuxHostProps>): object => {
      const stack = newStack();
      newTable(newHost(stack, props));
      const { triggers_replace, input } = resourceOf(stack, 'anchor');
      return { triggers_replace, input, apply: resourceOf(stack, 'apply').triggers_replace };
    };
    const before = triggers({});
    expect(triggers({ confirmTimeoutSeconds: 10 })).toEqual(before);
    expect(triggers({ allowManagementPathChange: true })).toEqual(before);
    expect(triggers({ ensure: HostState.PRESENT })).toEqual(before);
    // Or this test would show nothing.
    expect(triggers({ owner: 'other' })).not.toEqual(before);
  });

  test('is keyed by table, route, rule and hook', () => {
    const stack = newStack();
    const host = newHost(stack, { persistence: Persistence.networkScripts() });
    const table = new SourceRoutingTable(stack, 'vpn', { host, tableId: 200, tableName: 'vpn' });
    table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
    new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
    new VpnUpHook(stack, 'hook', { table });
    expect(resourceOf(stack, 'apply').triggers_replace).toEqual({
      'anchor': expect.stringMatching(/^\$\{terraform_data\.vpn1_anchor_.*\.id\}$/) as string,
      'agent': expect.stringMatching(/^sha256:[0-9a-f]{16}$/) as string,
      'persistence': 'network-scripts',
      'files': expect.stringMatching(/^sha256:[0-9a-f]{16}$/) as string,
      'table 200': 'vpn',
      'rule ipv4 10010': 'from 10.10.10.0/24 lookup 200',
      'guard ipv4 20010': 'from 10.10.10.0/24 unreachable',
      'guard ipv4 20011': 'iif tun0 blackhole',
      'guard ipv6 20011': 'iif tun0 blackhole',
      'kill switch ipv4 from 10.10.10.0/24': 'eth1, tun0',
      'route ipv4 200 default': 'via 192.168.1.1 dev eth1',
      'route ipv4 200 default metric 4278198272': 'type unreachable',
      'hook /etc/openvpn/up': 'openvpn, table 200',
    });
  });

  test('is keyed by what is taken over, and the machine is told', () => {
    const stack = newStack();
    const host = newHost(stack, { adopt: { files: ['/etc/openvpn/up'] } });
    const table = newTable(host);
    new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
      adopt: 'rules and routes made by hand, /etc/openvpn/up',
    });
    expect(bundleOf(stack).filter((line) => line.startsWith('adopt'))).toEqual(['adopt', 'adopt /etc/openvpn/up']);
  });

  test('takes nothing over where nobody says so, or nothing is to be there', () => {
    const none = (props: Partial<LinuxHostProps>): void => {
      const stack = newStack();
      const host = newHost(stack, props);
      const table = newTable(host);
      new PolicyRule(stack, 'clients4', { table, source: '10.10.10.0/24', priority: 10010 });
      expect(JSON.stringify(synthesize(stack))).not.toContain('adopt /etc');
      expect(resourceOf(stack, 'apply').triggers_replace).not.toHaveProperty('adopt');
    };
    none({});
    none({ ensure: HostState.ABSENT, adopt: { files: ['/etc/openvpn/up'] } });
  });

  test('takes nothing over without a table', () => {
    const stack = newStack();
    newHost(stack, { adopt: {} });
    expect(validationErrors(stack)).toEqual([
      '[stack/vpn1] adopt has no table to take over. Declare a SourceRoutingTable or VpnEgress, or leave out adopt.',
    ]);
  });

  test('never has create_before_destroy', () => {
    const stack = newStack();
    newHost(stack);
    expect(JSON.stringify(synthesize(stack))).not.toContain('create_before_destroy');
  });
});

describe('connection', () => {
  function connections(ssh: SshConnection): { create: object; destroy: object; input: object } {
    const stack = newStack();
    newHost(stack, { ssh });
    const anchor = resourceOf(stack, 'anchor');
    return {
      create: resourceOf(stack, 'apply').connection ?? {},
      destroy: anchor.provisioner[2]?.['remote-exec']?.connection as object,
      input: anchor.input ?? {},
    };
  }

  test('agent', () => {
    const { create, destroy, input } = connections({
      host: 'vpn.example.org',
      hostKey: HOST_KEY,
      user: 'debian',
      port: 2222,
      timeoutSeconds: 90,
    });
    expect(create).toMatchObject({ agent: 'true', user: 'debian', port: 2222, timeout: '90s' });
    expect(create).not.toHaveProperty('private_key');
    expect(destroy).toEqual({ ...DESTROY_CONNECTION('self.input'), timeout: '90s' });
    expect(input).toEqual({
      host: 'vpn.example.org',
      port: '2222',
      user: 'debian',
      agent: 'true',
      host_key: HOST_KEY,
      owner: 'stack-vpn1',
    });
  });

  test('key and certificate files', () => {
    const { create, destroy, input } = connections({ host: 'h', privateKeyFile: '/k', certificateFile: '/c' });
    expect(create).toMatchObject({ certificate: '${fileexists(pathexpand("/c")) ? file(pathexpand("/c")) : null}' });
    expect(input).toMatchObject({ agent: 'false', key_file: '/k', certificate_file: '/c' });
    expect(destroy).toEqual(DESTROY_CONNECTION('self.input'));
  });

  test('a path cannot break out of its expression', () => {
    const { create, input } = connections({ host: 'h', privateKeyFile: '/a"b${x}\\' });
    expect(create).toMatchObject({ private_key: expect.stringContaining('pathexpand("/a\\"b$${x}\\\\")') as string });
    expect(input).toMatchObject({ key_file: '/a"b$${x}\\' });
  });

  test('a private key is a token, never kept, and not used at destroy', () => {
    const stack = newStack();
    const key = new TerraformVariable(stack, 'key', { sensitive: true }).stringValue;
    newHost(stack, { ssh: { host: 'h', privateKey: key, hostKey: HOST_KEY } });
    expect(resourceOf(stack, 'apply').connection).toMatchObject({ private_key: '${var.key}', agent: 'false' });
    const anchor = resourceOf(stack, 'anchor');
    expect(JSON.stringify(anchor)).not.toContain('var.key');
    expect(anchor.input).toMatchObject({ agent: 'true' });
    expect(synthWarnings(stack)).toEqual([
      '[stack/vpn1] ssh.privateKey is not kept in the state, so the clean-up at destroy logs in with the SSH agent. Set privateKeyEnvironmentVariable if the key is in the environment of Terraform, privateKeyFile to use a key file, or agent: true to use the agent without this warning.',
    ]);
  });

  test('bastion', () => {
    const { create, destroy, input } = connections({
      host: 'h',
      privateKeyFile: '/k',
      bastion: { host: 'b', port: 2222, user: 'jump', privateKeyFile: '/bk', hostKey: HOST_KEY },
    });
    expect(create).toMatchObject({
      bastion_host: 'b',
      bastion_port: 2222,
      bastion_user: 'jump',
      bastion_host_key: HOST_KEY,
      bastion_private_key: '${fileexists(pathexpand("/bk")) ? file(pathexpand("/bk")) : null}',
    });
    expect(input).toMatchObject({
      bastion_host: 'b',
      bastion_port: '2222',
      bastion_user: 'jump',
      bastion_key_file: '/bk',
      bastion_host_key: HOST_KEY,
    });
    expect(destroy).toEqual(DESTROY_CONNECTION('self.input'));
  });

  test('a host that is known at apply only', () => {
    const stack = newStack();
    const host = new TerraformVariable(stack, 'host', {}).stringValue;
    newHost(stack, { ssh: { ...SSH, host } });
    expect(resourceOf(stack, 'anchor').triggers_replace).toMatchObject({ host: '${var.host}' });
    expect(resourceOf(stack, 'apply').connection).toMatchObject({ host: '${var.host}' });
  });

  const literalKey = '-----BEGIN OPENSSH PRIVATE KEY-----';
  test.each<[string, Partial<SshConnection>, string]>([
    [
      'host, an international name',
      { host: 'bücher.example' },
      'ssh.host "bücher.example" has letters that names in DNS do not have. Did you mean "xn--bcher-kva.example"?',
    ],
    ['host', { host: 'h; reboot' }, 'ssh.host "h; reboot" is not a host name or an IP address.'],
    ['user', { user: '${x}' }, 'ssh.user "${x}" is not a user name.'],
    ['port', { port: 0 }, 'ssh.port 0 is not an integer from 1 to 65535.'],
    ['timeout', { timeoutSeconds: 0 }, 'ssh.timeoutSeconds 0 is not an integer from 1 to 3600.'],
    [
      'private key in the program',
      { privateKey: literalKey },
      'ssh.privateKey is written in the program, so cdk.tf.json would show it to everybody. Use privateKeyFile, or a TerraformVariable that is ephemeral or sensitive.',
    ],
    [
      'fingerprint as host key',
      { hostKey: 'SHA256:abc' },
      'ssh.hostKey "SHA256:abc" is not a public key such as "ecdsa-sha2-nistp256 AAAA...". Take the output of: ssh-keyscan -t ecdsa HOST | cut -d " " -f 2-',
    ],
    [
      'host key with another line',
      { hostKey: `${HOST_KEY}\n@cert-authority * ssh-rsa AAAA` },
      `ssh.hostKey ${JSON.stringify(`${HOST_KEY}\n@cert-authority * ssh-rsa AAAA`)} is not a public key such as "ecdsa-sha2-nistp256 AAAA...". Take the output of: ssh-keyscan -t ecdsa HOST | cut -d " " -f 2-`,
    ],
    ['bastion', { bastion: { host: 'a b' } }, 'ssh.bastion.host "a b" is not a host name or an IP address.'],
  ])('%s is refused', (_, ssh, message) => {
    const stack = newStack();
    expect(() => newHost(stack, { ssh: { ...SSH, ...ssh } })).toThrow(new Error(`[stack/vpn1] ${message}`));
  });
});

describe('arguments', () => {
  test.each<[string, Partial<LinuxHostProps>, string]>([
    [
      'owner',
      { owner: 'VPN 1' },
      'owner "VPN 1" is not lower-case letters, digits and "-" (at most 31, a letter first).',
    ],
    [
      'interface name',
      { interfaces: [{ name: 'eth 0' }] },
      'interfaces[0].name "eth 0" is not an interface name: 1 to 15 letters, digits and _ . -, as "ip link" shows it.',
    ],
    [
      'interface address',
      { interfaces: [{ name: 'eth0', addresses: ['192.168.1.1'] }] },
      'interfaces "eth0" address "192.168.1.1" has no prefix length. Give it as on the machine, for example "192.168.1.1/24".',
    ],
    [
      'interface twice',
      { interfaces: [{ name: 'eth0' }, { name: 'eth1' }, { name: 'eth0', addresses: ['192.168.1.1/24'] }] },
      'interfaces has "eth0" twice. Put all its addresses into one entry.',
    ],
    [
      'a relative path to adopt',
      { adopt: { files: ['/etc/openvpn/up', 'up'] } },
      'adopt.files[1] "up" is not an absolute path of letters, digits and . _ @ + -.',
    ],
    [
      'a file to adopt twice',
      { adopt: { files: ['/etc/openvpn/up', '/etc/openvpn/up'] } },
      'adopt.files[1] "/etc/openvpn/up" is there twice. Leave one out.',
    ],
    ...['/etc/iproute2/rt_tables', '/etc/iproute2/rt_tables.d/vpn.conf'].map(
      (file): [string, Partial<LinuxHostProps>, string] => [
        `${file} to adopt`,
        { adopt: { files: [file] } },
        `adopt.files[0] "${file}" holds the names of tables, which the machine takes over line by line. Leave it out.`,
      ],
    ),
    ...['/usr/share/iproute2/rt_tables', '/var/spool/cron/root'].map(
      (file): [string, Partial<LinuxHostProps>, string] => [
        `${file} to adopt`,
        { adopt: { files: [file] } },
        `adopt.files[0] "${file}" is not a file that administrators write. Leave it out, and name files below /etc or /usr/local.`,
      ],
    ),
    ...[
      '/etc/network/interfaces',
      '/etc/network/interfaces.d/vpn',
      '/etc/sysconfig/network-scripts/ifcfg-eth1',
      '/etc/systemd/network/10-eth1.network',
      '/etc/netplan/50-cloud-init.yaml',
      '/etc/NetworkManager/system-connections/eth1.nmconnection',
      '/etc/wireguard/wg0.conf',
      '/etc/rc.local',
      '/etc/crontab',
    ].map((file): [string, Partial<LinuxHostProps>, string] => [
      `${file} to adopt`,
      { adopt: { files: [file] } },
      `adopt.files[0] "${file}" holds more than rules and routes, and would be removed. Leave it out, and remove its lines about the table yourself after the apply. This changes nothing until the next boot.`,
    ]),
    ...[9, 91, 60.5, NaN].map((confirmTimeoutSeconds): [string, Partial<LinuxHostProps>, string] => [
      `confirmTimeoutSeconds ${confirmTimeoutSeconds}`,
      { confirmTimeoutSeconds },
      `confirmTimeoutSeconds ${confirmTimeoutSeconds} is not an integer from 10 to 90. A slow login takes up to 10 seconds. Terraform gives up a silent connection after 120 seconds, so with more than 90 it would not learn what happened on the machine.`,
    ]),
  ])('%s', (_, props, message) => {
    const stack = newStack();
    expect(() => newHost(stack, props)).toThrow(new Error(`[stack/vpn1] ${message}`));
  });

  const KNOWN_AT_APPLY = 'is known at apply only, but must be known at synth. Give it literally.';
  const LIST = 'is a list that is known at apply only, but its length must be known at synth. Give';
  const ELEMENTS = `${LIST} its elements, for example Fn.element(list, 0).`;
  test.each<[string, (variable: TerraformVariable) => Partial<LinuxHostProps>, string]>([
    ['owner', (variable) => ({ owner: variable.stringValue }), `owner ${KNOWN_AT_APPLY}`],
    [
      'confirmTimeoutSeconds',
      (variable) => ({ confirmTimeoutSeconds: variable.numberValue }),
      'confirmTimeoutSeconds is known at apply only, but must be known at synth. Give a number.',
    ],
    [
      'name of an interface',
      (variable) => ({ interfaces: [{ name: variable.stringValue }] }),
      `interfaces[0].name ${KNOWN_AT_APPLY}`,
    ],
    [
      'addresses of an interface',
      (variable) => ({ interfaces: [{ name: 'eth1', addresses: variable.listValue }] }),
      `interfaces[0].addresses ${ELEMENTS}`,
    ],
    [
      'interfaces',
      (variable) => ({ interfaces: variable.listValue as unknown as NetworkInterface[] }),
      `interfaces ${LIST} a list such as [{ name: "eth1" }].`,
    ],
  ])('%s cannot be known at apply only', (_, props, message) => {
    const stack = newStack();
    const variable = new TerraformVariable(stack, 'variable', {});
    expect(() => newHost(stack, props(variable))).toThrow(new Error(`[stack/vpn1] ${message}`));
  });

  test('the default owner is made of the ids of stack and construct', () => {
    const stack = newStack();
    expect(newHost(stack, {}, 'VPN server/1').owner).toBe('stack-vpn-server-1');
  });

  test('a default owner that is too long asks for one', () => {
    const stack = newStack();
    expect(() => newHost(stack, {}, 'a-host-with-a-rather-long-name-of-its-own')).toThrow(
      '[stack/a-host-with-a-rather-long-name-of-its-own] owner "stack-a-host-with-a-rather-long-name-of-its-own", made of the ids of stack and construct, is not lower-case letters, digits and "-" (at most 31, a letter first). Set owner.',
    );
  });
});

describe('two hosts of one owner', () => {
  const address = { ...SSH, host: '192.168.178.9' };
  test.each<[string, Partial<LinuxHostProps>, boolean]>([
    ['for one machine', { ssh: SSH }, true],
    ['for one machine, its port given', { ssh: { ...SSH, port: 22 } }, true],
    ['at another port', { ssh: { ...SSH, port: 2222 } }, false],
    ['at another address', { ssh: address }, false],
    ['with another owner', { owner: 'other' }, false],
    ['behind a bastion, where another site may have this address', { ssh: { ...SSH, bastion: { host: 'b' } } }, false],
  ])('%s', (_, props, refused) => {
    const stack = newStack();
    newHost(stack, { owner: 'vpn' });
    newHost(stack, { owner: 'vpn', ...props }, 'vpn2');
    expect(validationErrors(stack)).toEqual(
      refused
        ? [
            '[stack/vpn2] owner "vpn" already declares this machine in "stack/vpn1". Use one LinuxHost for both, or give this one another owner.',
          ]
        : [],
    );
  });

  test('for a machine whose address Terraform will know', () => {
    const stack = newStack();
    const [address, other] = ['address', 'other'].map((id) => new TerraformVariable(stack, id, { type: 'string' }));
    [address, other, address].forEach((variable, index) => {
      newHost(stack, { owner: 'vpn', ssh: { ...SSH, host: variable.stringValue } }, `vpn${index}`);
    });
    expect(validationErrors(stack)).toEqual([
      '[stack/vpn2] owner "vpn" already declares this machine in "stack/vpn0". Use one LinuxHost for both, or give this one another owner.',
    ]);
  });

  test('of which one was taken out of the program again', () => {
    const stack = newStack();
    newHost(stack, { owner: 'vpn' });
    expect(stack.node.tryRemoveChild('vpn1')).toBe(true);
    newHost(stack, { owner: 'vpn' }, 'vpn2');
    expect(validationErrors(stack)).toEqual([]);
  });

  test('in two stacks', () => {
    const stack = newStack();
    newHost(stack, { owner: 'vpn' });
    const other = new TerraformStack(stack.node.root, 'other');
    newHost(other, { owner: 'vpn' });
    expect(validationErrors(other)).toEqual([
      '[other/vpn1] owner "vpn" already declares this machine in "stack/vpn1". Use one LinuxHost for both, or give this one another owner.',
    ]);
  });
});

describe('what is declared after a first synth is checked too', () => {
  test.each<[string, (stack: TerraformStack, table: SourceRoutingTable) => void, string]>([
    [
      'table',
      (stack, { host }) => new SourceRoutingTable(stack, 'late', { host, tableId: 200 }),
      '[stack/late] tableId 200 is already used by',
    ],
    [
      'rule',
      (stack, table) => new PolicyRule(stack, 'late', { table, source: '10.10.11.0/24', priority: 10010 }),
      '[stack/late] priority 10010 is already used by',
    ],
    [
      'route',
      (_stack, table) => table.addRoute('late', { destination: '10.0.0.0/8', device: 'eth9' }),
      '[stack/vpn/late] device "eth9" is not among the interfaces',
    ],
    [
      'hook',
      (stack, table) => new VpnUpHook(stack, 'late', { table, daemon: VpnDaemon.openVpn() }),
      '[stack/late] "/etc/openvpn/up" already serves table 200',
    ],
  ])('%s', (_, add, message) => {
    const stack = newStack();
    const table = newTable(newHost(stack, { interfaces: IPV4_TUNNELS }));
    new PolicyRule(stack, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
    new VpnUpHook(stack, 'hook', { table });
    expect(validationErrors(stack)).toEqual([]);
    add(stack, table);
    expect(validationErrors(stack)).toEqual([expect.stringContaining(message)]);
  });
});

describe('bundle', () => {
  test('ends with the checksum of its lines, as Terraform writes them', () => {
    const stack = newStack();
    newTable(newHost(stack));
    const lines = bundleOf(stack);
    expect(lines[0]).toBe(`bundle 1 ${version}`);
    expect(lines[1]).toBe('owner stack-vpn1');
    expect(lines.at(-1)).toBe('');
    const written = lines.slice(0, -2).map((line) => line.replace(/\$\$\{/g, '${').replace(/%%\{/g, '%{'));
    expect(lines.at(-2)).toBe(`sum ${bundleChecksum(written)}`);
  });

  test('has the table names, and the unit that the service enables', () => {
    const stack = newStack();
    new SourceRoutingTable(stack, 'vpn', { host: newHost(stack), tableId: 200, tableName: 'vpn' });
    const lines = bundleOf(stack);
    const names = lines.indexOf('file 0644 /etc/iproute2/rt_tables.d/source-routing-stack-vpn1.conf 1');
    expect(lines[names + 1]).toBe('|200 vpn');
    expect(lines).toContain('requires systemd');
    expect(lines).toContain('unit source-routing-stack-vpn1.service');
  });

  test('has a timer that verifies the machine, where that is declared', () => {
    const stack = newStack();
    newTable(newHost(stack, { verifyIntervalSeconds: 300 }));
    const lines = bundleOf(stack);
    expect(lines).toContain('unit source-routing-stack-vpn1.verify.timer systemd');
    const unit = '/etc/systemd/system/source-routing-stack-vpn1.verify';
    // Without systemd there are none.
    expect(lines.filter((line) => line.startsWith(`file 0644 ${unit}.`))).toEqual([
      `file 0644 ${unit}.service 9 systemd`,
      `file 0644 ${unit}.timer 12 systemd`,
    ]);
    expect(filesOf(stack)).toMatchObject({
      [`${unit}.service`]: [
        '# Managed by cdktf-source-routing: changes here are lost.',
        '[Unit]',
        'Description=Verify source routing (stack-vpn1)',
        '',
        '[Service]',
        'Type=oneshot',
        'ExecStart=/usr/local/sbin/source-routing verify stack-vpn1',
        // A change is under way, which is no fault.
        'SuccessExitStatus=75',
        'TimeoutStartSec=300',
      ],
      [`${unit}.timer`]: [
        '# Managed by cdktf-source-routing: changes here are lost.',
        '[Unit]',
        'Description=Verify source routing (stack-vpn1) every 300 seconds',
        '',
        '[Timer]',
        'OnActiveSec=300',
        'OnUnitInactiveSec=300',
        // A tenth, so that a fleet does not run at once.
        'RandomizedDelaySec=30',
        'AccuracySec=1',
        '',
        '[Install]',
        'WantedBy=timers.target',
      ],
    });
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({ verify: 'every 300 seconds' });
    const other = newStack();
    newTable(newHost(other));
    expect(bundleOf(other).filter((line) => line.includes('.verify.'))).toEqual([]);
    expect(() => newHost(newStack(), { verifyIntervalSeconds: 5 })).toThrow(
      '[stack/vpn1] verifyIntervalSeconds 5 is not an integer from 30 to 86400.',
    );
  });

  test('leaves a file for node_exporter, where that is declared', () => {
    const stack = newStack();
    const textfileDirectory = '/var/lib/prometheus/node-exporter';
    newTable(newHost(stack, { verifyIntervalSeconds: 60, textfileDirectory }));
    expect(bundleOf(stack)).toContain(`textfile ${textfileDirectory}`);
    expect(resourceOf(stack, 'apply').triggers_replace).toMatchObject({
      verify: `every 60 seconds, result in ${textfileDirectory}`,
    });
    expect(() => newHost(newStack(), { textfileDirectory })).toThrow(
      '[stack/vpn1] textfileDirectory is given without verifyIntervalSeconds, so nothing would write the file. Set that, too, for example to 60.',
    );
    expect(() => newHost(newStack(), { verifyIntervalSeconds: 60, textfileDirectory: 'node-exporter' })).toThrow(
      '[stack/vpn1] textfileDirectory "node-exporter" is not an absolute path of letters, digits and . _ @ + -.',
    );
  });

  test('networkScripts() writes the how-to four files', () => {
    const stack = newStack();
    const host = newHost(stack, { persistence: Persistence.networkScripts() });
    new VpnEgress(stack, 'egress', { host, device: 'eth1', tableId: 200, clients: POOLS, gateways: GATEWAYS });
    const lines = bundleOf(stack);
    const file = (path: string): string[] => {
      const head = lines.findIndex((line) => line.startsWith(`file 0644 ${path} `));
      return lines.slice(head + 1, head + 1 + Number(lines[head]?.split(' ')[3])).map((line) => line.slice(1));
    };
    const directory = '/etc/sysconfig/network-scripts';
    expect(file(`${directory}/rule-eth1`)).toEqual([
      'from 10.10.10.0/24 lookup 200 priority 10010 protocol 77',
      'to 10.10.10.0/24 lookup 254 suppress_prefixlength 23 priority 10009 protocol 77',
      'fwmark 0x530000c8 iif lo lookup 200 priority 10011 protocol 77',
    ]);
    expect(file(`${directory}/rule6-eth1`)).toEqual([
      'from fd00:4242:4242:4242::/64 lookup 200 priority 10010 protocol 77',
      'to fd00:4242:4242:4242::/64 lookup 254 suppress_prefixlength 63 priority 10009 protocol 77',
      'fwmark 0x530000c8 iif lo lookup 200 priority 10011 protocol 77',
    ]);
    expect(file(`${directory}/route-eth1`)).toEqual([
      'default via 192.168.1.1 dev eth1 table 200 proto 77',
      'unreachable default table 200 metric 4278198272 proto 77',
      'unreachable 10.10.10.0/24 table 200 metric 4278198272 proto 77',
    ]);
    expect(file(`${directory}/route6-eth1`)).toEqual([
      'default via fd00:1010:1010:1010::1 dev eth1 table 200 metric 1024 proto 77',
      'unreachable default table 200 metric 4278198272 proto 77',
      'unreachable fd00:4242:4242:4242::/64 table 200 metric 4278198272 proto 77',
    ]);
  });

  test('what is delivered and run passes shellcheck', () => {
    const stack = newStack();
    newHost(stack);
    const scripts = (['apply', 'anchor'] as const)
      .flatMap((kind) => scriptsOf(stack, kind))
      .map((script) => script.replace(/\$\$\{/g, '${').replace(/\$\{(self|terraform_data)\.\w+(\.\w+)?\}/g, 'e0b1'));
    expect(scripts).toHaveLength(4);
    // What root runs stands in quotes there.
    const inner = scripts.flatMap((script) =>
      [...script.matchAll(/as_root sh -c '\n([^']*)'/g)].map(([, text]) => text),
    );
    expect(inner).toHaveLength(3);
    for (const text of [...scripts, ...inner.map((each) => `#!/bin/sh\n${each}`)]) {
      execFileSync('shellcheck', ['-s', 'sh', '-o', 'all', '-e', 'SC2250,SC2310,SC2312', '-'], {
        input: text,
        stdio: ['pipe', 'inherit', 'inherit'],
      });
    }
  });
});

describe('ensure: HostState.ABSENT', () => {
  /** A host with a rule that the checks refuse, and that they warn of. */
  function wrong(ensure: HostState, persistence?: Persistence): TerraformStack {
    const stack = newStack();
    const table = newTable(newHost(stack, { ensure, persistence, ssh: { ...SSH, hostKey: undefined } }));
    new PolicyRule(stack, 'one', { table, source: '10.9.0.0/16', priority: 5210 });
    new PolicyRule(stack, 'two', { table, source: '10.10.0.0/16', priority: 5210 });
    return stack;
  }

  test('cleans up where it would have applied, and confirms that', () => {
    const stack = wrong(HostState.ABSENT);
    const apply = resourceOf(stack, 'apply');
    expect(apply.triggers_replace).toEqual({
      anchor: expect.stringMatching(/^\$\{terraform_data\.vpn1_anchor_.*\.id\}$/),
      ensure: 'absent',
    });
    expect(apply.provisioner).toEqual([
      {
        file: {
          content: 'nothing\n',
          destination: '.ssh/.source-routing-stack-vpn1.${self.id}.bundle.see-ssh.scriptDirectory/bundle',
        },
      },
      {
        'remote-exec': {
          inline: [expect.stringMatching(/confirm_timeout='60'\n\$\{file\(.*\/clean-up\./)],
          on_failure: 'continue',
        },
      },
      {
        'remote-exec': {
          inline: [expect.stringMatching(/removal='--removal'\n\$\{file\(.*\/confirm\./)],
          connection: { timeout: '100s' },
        },
      },
    ]);
    expect(apply.connection).toMatchObject({ host: '192.168.178.2', timeout: '60s' });
  });

  test('the anchor is the same', () => {
    expect(resourceOf(wrong(HostState.ABSENT), 'anchor')).toEqual(resourceOf(wrong(HostState.PRESENT), 'anchor'));
  });

  test.each([Persistence.service(), Persistence.networkScripts()])(
    'nothing is wrong with what is not to be there (%#)',
    (persistence) => {
      expect(validationErrors(wrong(HostState.PRESENT, persistence))).not.toEqual([]);
      expect(validationErrors(wrong(HostState.ABSENT, persistence))).toEqual([]);
      expect(synthWarnings(wrong(HostState.PRESENT, persistence)).length).toBeGreaterThan(1);
      expect(synthWarnings(wrong(HostState.ABSENT, persistence))).toEqual([
        expect.stringContaining('ssh.hostKey is not set'),
      ]);
    },
  );
});

describe('null engine', () => {
  function nullStack(): ReturnType<typeof newStack> {
    const stack = newStack();
    newTable(newHost(stack, { engine: Engine.NULL_RESOURCE }));
    return stack;
  }

  test('keeps everything in triggers', () => {
    const stack = nullStack();
    const anchor = resourceOf(stack, 'anchor', 'null_resource') as unknown as { triggers: object };
    expect(anchor.triggers).toEqual({
      host: '192.168.178.2',
      port: '22',
      user: 'root',
      agent: 'false',
      key_file: '~/.ssh/id',
      host_key: HOST_KEY,
      owner: 'stack-vpn1',
    });
    const [note, , cleanUp, confirm] = resourceOf(stack, 'anchor', 'null_resource').provisioner;
    expect(note?.['local-exec']?.command).toMatch(
      / terraform state rm null_resource\.vpn1_anchor_\w+ null_resource\.vpn1_apply_\w+$/,
    );
    expect(cleanUp?.['remote-exec']).toMatchObject({
      inline: [expect.stringContaining("owner='${self.triggers.owner}'\n")],
      when: 'destroy',
      connection: DESTROY_CONNECTION('self.triggers'),
    });
    expect(confirm?.['remote-exec']).toMatchObject({
      inline: [expect.stringContaining("owner='${self.triggers.owner}'\n")],
      when: 'destroy',
      connection: DESTROY_CONNECTION('self.triggers', '100s'),
    });
    const apply = resourceOf(stack, 'apply', 'null_resource') as unknown as { triggers: Record<string, string> };
    expect(apply.triggers.anchor).toMatch(/^\$\{null_resource\.vpn1_anchor_.*\.id\}$/);
    expect(apply.triggers['route ipv4 200 default']).toBe('via 192.168.1.1 dev eth1');
  });

  test('adds the provider once', () => {
    const stack = nullStack();
    newHost(stack, { engine: Engine.NULL_RESOURCE }, 'vpn2');
    expect(synthesize(stack).provider).toEqual({ null: [{}] });
    // Its id is part of the public contract too.
    expect(NullProvider.isTerraformProvider(stack.node.findChild('source-routing-null-provider'))).toBe(true);
  });

  test('takes the provider that is there, wherever it is declared', () => {
    const stack = nullStack();
    new NullProvider(stack, 'mine', { alias: 'mine' });
    expect(synthesize(stack).provider).toEqual({ null: [{ alias: 'mine' }] });
  });

  test('the default engine needs no provider', () => {
    const stack = newStack();
    const table = newTable(newHost(stack, { interfaces: IPV4_TUNNELS }));
    new PolicyRule(stack, 'rule', { table, source: '10.10.10.0/24', priority: 10010 });
    expect(synthesize(stack).provider).toBeUndefined();
    expect(validationErrors(stack)).toEqual([]);
  });
});
