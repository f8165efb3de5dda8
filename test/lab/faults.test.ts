import { describeLab } from './describe-lab';
import { fillDisk, killUserProcesses, noExecTmp, ownDisk, readOnly, requireTty } from './faults';
import { poll } from './process';
import { generationOf, parseSnapshot } from './snapshot';
import { clientNames, families } from './topology';

/** What breaks things on purpose must break exactly that, and put it back. */
describeLab('the faults of the lab', {}, (lab) => {
  const failure = async (command: string, user = 'root'): Promise<string> => {
    const { code, stderr } = await lab().vpn.exec(command, { allowFailure: true, user });
    return code === 0 ? '' : stderr.trim();
  };

  describe('traffic', () => {
    test('each packet of each client is accounted for, by the router it took', async () => {
      const counter = await lab().countPackets('upstream');
      const traffic = await lab().startTraffic(30);
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const flows = await traffic.stop();
      expect(flows.map(({ client, family }) => `${client} ${family}`)).toEqual(
        clientNames.flatMap((client) => families.map((family) => `${client} ${family}`)),
      );
      for (const { sent, received, lost, answered, upstream, nat, longestGap } of flows) {
        // About 100 packets a second, for 2 s and a moment.
        expect(sent).toBeGreaterThan(180);
        expect(sent).toBeLessThan(300);
        expect({ received, lost, answered, upstream, nat }).toEqual({
          received: sent,
          lost: 0,
          answered: sent,
          upstream: sent,
          nat: 0,
        });
        expect(longestGap).toBeLessThan(500);
      }
      // The router's own count, which also sees what never arrives, is the same.
      const sentBy = (name: string, family: string): number =>
        flows
          .filter((flow) => flow.client.startsWith(name) && flow.family === family)
          .reduce((sum, flow) => sum + flow.sent, 0);
      const counts = await counter.read();
      for (const family of families) {
        expect(counts.openvpn[family]).toBe(sentBy('ovpn', family));
        expect(counts.wireguard[family]).toBe(sentBy('wg', family));
      }
    });

    test('what is lost is counted exactly, and for how long', async () => {
      const { vpn } = lab();
      const traffic = await lab().startTraffic(30);
      const start = await traffic.mark();
      await vpn.exec('ip rule add priority 77 from 10.10.20.2 blackhole; sleep 1; ip rule del priority 77');
      await poll('the path is back', 5_000, async () => {
        const flow = (await traffic.since(start)).find(({ client, family }) => client === 'wg1' && family === 'ipv4');
        return flow && flow.lost > 0 && flow.received > 50 ? true : undefined;
      });
      const after = await traffic.mark();
      const flows = await traffic.since(start);
      const [hit, ...others] = [...flows].sort((a, b) => b.lost - a.lost);
      expect([hit.client, hit.family]).toEqual(['wg1', 'ipv4']);
      expect(hit.lost).toBeGreaterThan(80);
      expect(hit.lost).toBeLessThan(150);
      expect(hit.longestGap).toBeGreaterThan(900);
      expect(hit.longestGap).toBeLessThan(1_600);
      expect(others.map(({ lost }) => lost)).toEqual(others.map(() => 0));
      // From a later moment on there is nothing to complain about.
      expect((await traffic.since(after)).every(({ lost }) => lost === 0)).toBe(true);
      await traffic.stop();
    });

    test('it ends by itself', async () => {
      const traffic = await lab().startTraffic(1);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      await expect(traffic.mark()).rejects.toThrow('has ended');
    });
  });

  test('the administrator may sit on the internet', async () => {
    await lab().administrateFrom('internet');
    const [ssh, ...rest] = lab().keys.command('root', lab().vpn.address());
    const peer = async (): Promise<string> => (await lab().admin([ssh, ...rest, 'echo $SSH_CONNECTION'])).stdout;
    expect(await peer()).toMatch(/^203\.0\.113\.100 /);
    await lab().administrateFrom('admin');
    expect(await peer()).toMatch(/^192\.168\.178\.10 /);
    expect((await lab().exec('internet', ['ip', 'route', 'show'])).stdout).not.toContain('192.168.178.0');
  });

  test("the administrator's cable can be cut and mended", async () => {
    await lab().cut('admin');
    expect(await lab().ping('admin', lab().vpn.address())).toBe(false);
    await lab().mend('admin');
    await lab().waitForAnswer('admin', lab().vpn.address(), 5_000);
  });

  test('a disk is full, and not any more', async () => {
    const { vpn } = lab();
    await vpn.exec('mkdir -p /var/lib/lab && echo kept >/var/lib/lab/file');
    const before = await vpn.snapshotState();
    const umount = await ownDisk(vpn, '/var/lib/lab');
    const mend = await fillDisk(vpn, '/var/lib/lab', 8);
    expect(await failure('head -c 4096 /dev/zero >/var/lib/lab/small')).toBe('');
    expect(await failure('head -c 20000 /dev/zero >/var/lib/lab/large')).toMatch(/No space left/);
    await vpn.exec('rm /var/lib/lab/small /var/lib/lab/large');
    await mend();
    expect(await failure('head -c 20000 /dev/zero >/var/lib/lab/large; rm /var/lib/lab/large')).toBe('');
    expect(await vpn.changedSince(before)).toEqual([]);
    await umount();
    await vpn.exec('rm -r /var/lib/lab');
  });

  test('/run is full, and not any more', async () => {
    const write = 'head -c 100000 /dev/zero >/run/lab-large; s=$?; rm /run/lab-large; exit $s';
    const mend = await fillDisk(lab().vpn, '/run');
    expect(await failure(write)).toMatch(/No space left/);
    await mend();
    expect(await failure(write)).toBe('');
  });

  test('/etc is read-only, and not any more', async () => {
    const mend = await readOnly(lab().vpn, '/etc');
    expect(await failure('touch /etc/lab')).toMatch(/Read-only/);
    await mend();
    expect(await failure('touch /etc/lab; rm /etc/lab')).toBe('');
  });

  test('/tmp is noexec', async () => {
    const script = 'printf "#!/bin/sh\\n" >/tmp/lab; chmod +x /tmp/lab; /tmp/lab';
    const mend = await noExecTmp(lab().vpn);
    expect(await failure(script)).toMatch(/Permission denied/);
    await mend();
    expect(await failure(script)).toBe('');
  });

  test('sudo wants a terminal', async () => {
    const mend = await requireTty(lab().vpn);
    expect((await lab().vpn.ssh('sudo -n true', { user: 'debian', allowFailure: true })).stderr).toMatch(/tty/);
    await mend();
    await lab().vpn.ssh('sudo -n true', { user: 'debian' });
  });

  test.each(['root', 'debian'])('what a session of %s started dies with it', async (user) => {
    const { vpn } = lab();
    const leave = 'sudo -n setsid -f sleep 4242 </dev/null >/dev/null 2>&1';
    const survives = async (): Promise<boolean> => {
      await vpn.ssh(leave, { user });
      await new Promise((resolve) => setTimeout(resolve, 500));
      return (await vpn.exec('pkill -x -f "sleep 4242"', { allowFailure: true })).code === 0;
    };
    expect(await survives()).toBe(true);
    const mend = await killUserProcesses(vpn);
    expect(await survives()).toBe(false);
    await mend();
  });
});

test('of two generations, the machine is in one or the other, whatever its id is', () => {
  const snapshot = (id: string, priority: number, more = ''): ReturnType<typeof parseSnapshot> =>
    parseSnapshot(`rule\t ipv4 ${priority}: from 10.10.10.0/24\t
file\t/var/lib/source-routing/vpn/current\t-rw------- root:root
file\t/var/lib/source-routing/vpn/${id}\tdrwx------ root:root
file\t/var/lib/source-routing/vpn/${id}/state\t-rw------- root:root
sha256\t${id.repeat(64)}\t/var/lib/source-routing/vpn/current
sha256\t${String(priority % 10).repeat(64)}\t/var/lib/source-routing/vpn/${id}/state
generation\tvpn\t${id}
${more}`);
  const recorded = { old: snapshot('a', 1), new: snapshot('b', 2) };
  expect(generationOf(snapshot('c', 1), recorded)).toBe('old');
  expect(generationOf(snapshot('c', 2), recorded)).toBe('new');
  expect(generationOf(snapshot('c', 3), recorded)).toContain('+ rule ipv4 3: from 10.10.10.0/24');
  const left = generationOf(snapshot('c', 1, 'file\t/var/lib/source-routing/vpn/d\tdrwx------ root:root'), recorded);
  expect(left).toContain('+ file /var/lib/source-routing/vpn/d drwx------ root:root');
});
