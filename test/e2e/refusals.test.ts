import type { TerraformStack } from 'cdktf';
import { TerraformVariable } from 'cdktf';
import { LinuxHost, LocalTraffic, PolicyRule, SourceRoutingTable, VpnEgress } from '../../lib';
import { describeLab } from '../lab/describe-lab';
import type { Snapshot } from '../lab/snapshot';
import { declareEgress } from './egress';
import { Terraform, saidBy, sshOf } from './terraform';

/** Terraform breaks lines at 78 columns. */
const flat = (text: string): string => text.replace(/\s+/g, ' ');

describeLab('an apply that is refused', {}, (lab) => {
  let terraform: Terraform;
  let before: Snapshot;

  beforeEach(() => {
    terraform = new Terraform(lab());
  });
  afterEach(() => terraform.close());

  /** Applies what must be refused; gives the last line that the machine said. */
  async function refusal(build: (stack: TerraformStack) => void, args: string[] = []): Promise<string> {
    before = await lab().vpn.snapshotState();
    terraform.declare(build);
    const { code, stdout, stderr } = await terraform.run('apply', ['-auto-approve', ...args]);
    expect(code).toBe(1);
    expect(await lab().vpn.changedSince(before)).toEqual([]);
    const said = saidBy('apply', stdout);
    // By the run itself, and by the connection that came to confirm it.
    expect(said.filter((line) => line === said.at(-1))).toHaveLength(2);
    return said.at(-1) ?? stderr;
  }

  /** What was applied in vain is cleaned up without complaint. */
  async function destroyInVain(): Promise<void> {
    await terraform.destroy();
    expect(await lab().vpn.changedSince(before)).toEqual([]);
  }

  test('unknown egress device', async () => {
    expect(
      await refusal((stack) => void declareEgress(stack, lab(), { device: 'eth7' }, { interfaces: undefined })),
    ).toMatch(/device eth7 does not exist/);
    await destroyInVain();
  });

  test('foreign rule at our priority', async () => {
    await lab().vpn.exec('ip rule add from 10.99.0.0/16 lookup 99 priority 10010');
    const last = await refusal((stack) => void declareEgress(stack, lab()));
    await lab().vpn.exec('ip rule del priority 10010');
    expect(last).toMatch(/10010.*from 10\.99\.0\.0\/16 lookup 99/);
  });

  test('foreign hook', async () => {
    await lab().vpn.writeFile('/etc/openvpn/up', '#!/bin/sh\nexit 0\n', '0755');
    const last = await refusal((stack) => void declareEgress(stack, lab(), { localTraffic: LocalTraffic.upHook() }));
    await lab().vpn.exec('rm /etc/openvpn/up');
    expect(last).toMatch(/\/etc\/openvpn\/up.*hook/);
  });

  test('no iproute2', async () => {
    await lab().vpn.exec(
      'mv /usr/bin/ip /usr/bin/ip.away; mv /usr/sbin/ip /usr/sbin/ip.away; mv /sbin/ip /sbin/ip.away; true',
    );
    terraform.declare((stack) => void declareEgress(stack, lab()));
    const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
    await lab().vpn.exec('for f in /usr/bin /usr/sbin /sbin; do [ ! -e $f/ip.away ] || mv $f/ip.away $f/ip; done');
    expect(code).toBe(1);
    expect(saidBy('apply', stdout).at(-1)).toMatch(/ip is missing: install iproute2/);
  });

  test('no root, and sudo that wants a password', async () => {
    expect(await refusal((stack) => void declareEgress(stack, lab(), {}, { ssh: sshOf(lab(), 'vpn', 'nosudo') }))).toBe(
      'source-routing: refused, nothing was changed: sudo wants a password from nosudo: allow it NOPASSWD: ALL in /etc/sudoers.d, or set ssh.user to root',
    );
    await destroyInVain();
  });

  test('the error that Terraform prints is short', async () => {
    terraform.declare((stack) => void declareEgress(stack, lab(), { device: 'eth7' }, { interfaces: undefined }));
    const { stderr } = await terraform.run('apply', ['-auto-approve']);
    expect(flat(stderr)).toContain('Process exited with status 69');
    expect(stderr.length).toBeLessThan(1200);
  });

  describe('hostile values that are known at apply only', () => {
    const HOSTILE = [
      '$(touch /run/owned)',
      '10.0.0.0/8; touch /run/owned',
      '`touch /run/owned`',
      '"\'\n${x}%{if}\\',
      '10.0.0.0/8 lookup 254',
      '@1@',
      '',
    ];

    afterEach(async () => {
      await lab().vpn.exec('! [ -e /run/owned ]');
    });

    const given = (stack: TerraformStack): string =>
      new TerraformVariable(stack, 'hostile', { type: 'string' }).stringValue;
    const withVariable = (value: string): string[] => ['-var', `hostile=${value}`];

    test.each(HOSTILE)('%j as a source', async (value) => {
      const last = await refusal((stack) => {
        const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn' });
        const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
        table.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
        new PolicyRule(stack, 'clients', { table, source: given(stack), priority: 10010 });
      }, withVariable(value));
      expect(last).toMatch(/nothing was changed: e2e\/clients:source (is|has) /);
      // It may be a secret.
      expect(value !== '' && last.includes(value)).toBe(false);
    });

    test.each(HOSTILE.slice(3))('%j as a device', async (value) => {
      const last = await refusal((stack) => {
        const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn' });
        const gateways = ['192.168.1.1'];
        new VpnEgress(stack, 'egress', {
          host,
          device: given(stack),
          tableId: 200,
          clients: ['10.10.10.0/24'],
          rejectedClients: ['fd00:4242:4242:4242::/64'],
          gateways,
        });
      }, withVariable(value));
      // The one that has the form of an interface name is one that is not there.
      expect(last).toMatch(value === '@1@' ? /device @1@ does not exist/ : /e2e\/egress\/table\/gateway-1:device/);
    });

    test.each(['-oProxyCommand=touch /run/owned', '$(touch /run/owned)'])('%j as a user', async (value) => {
      before = await lab().vpn.snapshotState();
      terraform.declare(
        (stack) =>
          void declareEgress(stack, lab(), {}, { ssh: { ...sshOf(lab()), user: given(stack), timeoutSeconds: 3 } }),
      );
      const { code, stderr } = await terraform.run('apply', ['-auto-approve', ...withVariable(value)]);
      expect(code).toBe(1);
      expect(flat(stderr)).toContain('unable to authenticate');
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });

    test('good values in an unusual form are taken', async () => {
      before = await lab().vpn.snapshotState();
      terraform.declare((stack) => {
        const host = new LinuxHost(stack, 'vpn', { ssh: sshOf(lab()), owner: 'vpn' });
        const table = new SourceRoutingTable(stack, 'table', { host, tableId: 200 });
        table.addRoute('v6', { destination: 'default', via: 'fd00:1010:1010:1010::1', device: 'eth1' });
        new PolicyRule(stack, 'clients', { table, source: given(stack), priority: 10010 });
      });
      const value = withVariable('FD00:4242:4242:4242:0:0:0:0/64');
      await terraform.apply(value);
      const { stdout } = await lab().vpn.exec('ip -6 rule show priority 10010');
      expect(stdout.trim()).toBe('10010:\tfrom fd00:4242:4242:4242::/64 lookup 200 proto 77');
      await lab().vpn.exec('source-routing verify');
      await terraform.destroy(value);
      expect(await lab().vpn.changedSince(before)).toEqual([]);
    });
  });
});
