import { describeLab } from '../lab/describe-lab';
import { fillDisk, killUserProcesses, type Mend, noExecTmp, ownDisk, readOnly, requireTty } from '../lab/faults';
import { generationOf, type Snapshot } from '../lab/snapshot';
import { poll } from '../lab/process';
import { FULL } from '../random';
import { declareGeneration, type Generation, recordGenerations, settled } from './faults';
import { Terraform, expectSuccess, saidBy, sshOf } from './terraform';

const STATE = '/var/lib/source-routing';

describeLab('a machine that is short of something', { networkScripts: true }, (lab) => {
  let terraform: Terraform;
  let recorded: Record<Generation, Snapshot>;
  let mend: Mend | undefined;

  const declare = (which: Generation, user = 'root', on = terraform): void =>
    on.declare((stack) => declareGeneration(stack, lab(), which, 'vpn', { ssh: sshOf(lab(), 'vpn', user) }));
  const apply = async (which: Generation, user?: string): Promise<void> => {
    declare(which, user);
    await terraform.apply();
  };
  const generation = async (): Promise<'old' | 'new' | string[]> => {
    await settled(lab().vpn);
    return generationOf(await lab().vpn.snapshotState(), recorded);
  };
  /** Applies the new generation, which must fail; gives all that the machine said. */
  const failure = async (): Promise<string[]> => {
    declare('new');
    const { code, stdout, stderr } = await terraform.run('apply', ['-auto-approve']);
    expect(code).toBe(1);
    return [...saidBy('apply', stdout), stderr];
  };

  beforeAll(async () => {
    terraform = new Terraform(lab());
    recorded = await recordGenerations(lab().vpn, apply);
  });
  afterEach(async () => {
    await mend?.();
    mend = undefined;
  });
  afterAll(() => terraform.close());

  describe('a full disk', () => {
    let umount: Mend;
    beforeAll(async () => {
      umount = await ownDisk(lab().vpn, STATE);
    });
    afterAll(() => umount());

    test.each(FULL ? [0, 16, 64, 110, 150, 200, 250, 300] : [0, 64, 150, 250])(
      'with %d kB left: a clear error and the old generation, or the new one',
      async (left) => {
        mend = await fillDisk(lab().vpn, STATE, left);
        declare('new');
        const { code, stdout } = await terraform.run('apply', ['-auto-approve']);
        const said = saidBy('apply', stdout).at(-1);
        const found = await generation();
        await mend();
        mend = undefined;
        if (code === 0) {
          expect(found).toBe('new');
          await apply('old');
        } else {
          expect([found, said]).toEqual(['old', expect.stringMatching(/disk full|space left/)]);
        }
        // The least of what a change needs is the program itself.
        if (left < 64) expect(code).toBe(1);
        await lab().vpn.exec('source-routing verify');
      },
    );

    test('the next apply, with space again, succeeds', async () => {
      await apply('new');
      expect(await generation()).toBe('new');
      await apply('old');
    });
  });

  test('a full /run: a clear error and the old generation', async () => {
    mend = await fillDisk(lab().vpn, '/run');
    const said = await failure();
    await mend();
    mend = undefined;
    expect(said.join('\n')).toMatch(/\/run.*(full|space)|space left in \/run/);
    expect(await generation()).toBe('old');
  });

  test('/etc that is read-only: a clear error and the old generation', async () => {
    mend = await readOnly(lab().vpn, '/etc');
    const said = await failure();
    await mend();
    mend = undefined;
    expect(said.join('\n')).toMatch(/\/etc\/.*read-only/i);
    expect(await generation()).toBe('old');
  });

  test.each<[string, string, () => Promise<Mend>]>([
    ['/tmp that is noexec', 'root', () => noExecTmp(lab().vpn)],
    ['sudo that wants a terminal', 'debian', () => requireTty(lab().vpn)],
    ['login sessions whose processes die with them', 'debian', () => killUserProcesses(lab().vpn)],
  ])('%s: no obstacle', async (_, user, begin) => {
    await apply('old', user);
    const before = await lab().vpn.snapshotState();
    const end = await begin();
    await apply('new', user);
    await apply('old', user);
    await end();
    expect(generationOf(await lab().vpn.snapshotState(), { old: before, new: before })).toBe('old');
  });

  test('where the processes of a session die with it, a change that is cut off is undone all the same', async () => {
    mend = await killUserProcesses(lab().vpn);
    declare('new', 'debian');
    const run = await terraform.start('apply', ['-auto-approve']);
    await lab().vpn.exec(
      `for try in $(seq 2000); do [ -e ${STATE}/vpn/trial/open ] && break; sleep 0.01; done; [ -e ${STATE}/vpn/trial/open ]`,
    );
    await lab().cut('admin');
    await lab().vpn.exec(['pkill', '-KILL', '-f', '^sshd: debian'], { allowFailure: true });
    await settled(lab().vpn).finally(() => lab().mend('admin'));
    run.signal('SIGKILL');
    await run.result;
    await mend();
    mend = undefined;
    expect(await generation()).toBe('old');
  });

  describe('two applies at once', () => {
    let other: Terraform;
    // Whatever the one or the other has in its state.
    const again = '-replace=terraform_data.vpn_apply_D7A555EC';
    beforeAll(() => {
      other = new Terraform(lab());
    });
    afterAll(() => other.close());

    test.each(FULL ? [1, 2, 3] : [1])('each takes its turn or gives up, and nothing is mixed (%d)', async () => {
      declare('new');
      declare('old', 'root', other);
      const runs = await Promise.all([terraform, other].map((each) => each.start('apply', ['-auto-approve', again])));
      const codes = (await Promise.all(runs.map(({ result }) => result))).map(({ code }) => code);
      const found = await generation();
      // One of those that succeeded is what is there.
      expect((['new', 'old'] as const).filter((_, index) => codes[index] === 0)).toContain(found);
      await lab().vpn.exec('source-routing verify');
    });

    test('the one that waits says for whom, and goes on when it can', async () => {
      const { vpn } = lab();
      // The watch may have the lock for a moment. The command is waited for until the lock is its own.
      await vpn.writeFile(
        '/run/another',
        `until mkdir /run/source-routing.lock 2>/dev/null; do sleep 0.1; done
        set -- $(sed 's/.*) //' "/proc/$$/stat")
        shift 19
        echo "$$ $1 another" >/run/source-routing.lock/holder
        exec sleep 4243`,
      );
      await vpn.exec(`setsid -f sh /run/another </dev/null >/dev/null 2>&1
        until grep -q another /run/source-routing.lock/holder 2>/dev/null; do sleep 0.1; done`);
      declare('new');
      const run = await terraform.start('apply', ['-auto-approve', again]);
      await Promise.race([
        poll(
          'a word of the one that waits',
          60_000,
          () => run.output().includes('waiting for another run') || undefined,
        ),
        run.result,
      ]);
      expect(run.output()).toMatch(/waiting for another run \(pid, start, owner, command: \d+ \d+ another\)/);
      await vpn.exec('rm -r /run/source-routing.lock /run/another; pkill -x -f "sleep 4243"');
      expectSuccess(await run.result);
      expect(await generation()).toBe('new');
    });
  });
});
