import { describeLab } from '../lab/describe-lab';
import type { Running } from '../lab/process';
import { generationOf, type Snapshot } from '../lab/snapshot';
import { FULL, random } from '../random';
import { declareGeneration, type Generation, recordGenerations, seed, settled, sleep } from './faults';
import { Terraform } from './terraform';

/** The old generation is a unit of ours at boot, the new one files of the network scripts. */
describeLab('a power cut', { networkScripts: true }, (lab) => {
  const chance = random(seed());
  let terraform: Terraform;
  let recorded: Record<Generation, Snapshot>;

  const declare = (which: Generation): void => terraform.declare((stack) => declareGeneration(stack, lab(), which));
  const apply = async (which: Generation): Promise<void> => {
    declare(which);
    await terraform.apply();
  };

  beforeAll(async () => {
    terraform = new Terraform(lab());
    recorded = await recordGenerations(lab().vpn, apply);
  });
  afterAll(() => terraform.close());

  /** Until a file is there in the machine, and then for so many seconds more. */
  const until = async (path: string, more = '0'): Promise<void> => {
    const script = `for try in $(seq 2000); do [ -e ${path} ] && break; sleep 0.01; done; [ -e ${path} ] && sleep ${more}`;
    await lab().vpn.exec(script);
  };

  /** Starts a change that nobody will confirm; its first step has been made when this is over. */
  async function start(to: Generation): Promise<Running> {
    declare(to);
    const run = await terraform.start('apply', ['-auto-approve']);
    await until('/var/lib/source-routing/vpn/trial/open');
    // The agent is at work and needs nobody any more.
    run.signal('SIGKILL');
    return run;
  }

  async function generationAfterPowerCut(run?: Running): Promise<'old' | 'new' | string[]> {
    await lab().vpn.powerCut();
    await run?.result;
    await lab().waitForVpn();
    await settled(lab().vpn);
    return generationOf(await lab().vpn.snapshotState(), recorded);
  }

  describe.each([
    ['old', 'new'],
    ['new', 'old'],
  ] as const)('during a change from the %s generation to the %s one', (from, to) => {
    test.each(FULL ? [1, 2, 3] : [1])('while it is made (%d): the machine boots what it had before', async () => {
      await apply(from);
      const run = await start(to);
      // A change takes a few tenths of a second; some of it is over by the time one hears of its start.
      const delay = chance() * 0.15;
      await sleep(delay * 1000);
      expect([delay, await generationAfterPowerCut(run)]).toEqual([delay, from]);
    });

    test('when it is made but not confirmed: the machine boots what it had before', async () => {
      await apply(from);
      const run = await start(to);
      await run.result;
      await until('/var/lib/source-routing/vpn/trial/applied', '0.5');
      expect(await generationAfterPowerCut()).toBe(from);
    });

    test('when it is confirmed: the machine boots what is declared now', async () => {
      await apply(to);
      expect(await generationAfterPowerCut()).toBe(to);
    });
  });
});
