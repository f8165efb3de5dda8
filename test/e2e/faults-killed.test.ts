import { describeLab } from '../lab/describe-lab';
import type { Running } from '../lab/process';
import { generationOf, type Snapshot } from '../lab/snapshot';
import { cases, random } from '../random';
import {
  CONFIRM_TIMEOUT,
  declareGeneration,
  type Generation,
  recordGenerations,
  type RoutingMachine,
  seed,
  settled,
  sleep,
} from './faults';
import { Terraform, expectSuccess } from './terraform';

/** Each round is one moment on each of the two machines. */
/** Each at another moment. */
const ROUNDS = {
  'kill -9': cases(1),
  'SIGINT': cases(1),
  'network cut for 10 s': cases(1),
  'network cut for good': cases(1),
};
const AGENT_ROUNDS = cases(1);
const SESSION_ROUNDS = cases(1);

const MACHINES: readonly RoutingMachine[] = ['vpn', 'nat'];

/** What a test deploys to one of the machines. */
interface Deployment {
  readonly machine: RoutingMachine;
  readonly terraform: Terraform;
  readonly recorded: Record<Generation, Snapshot>;
  /** How long it takes from the start of Terraform to its end, in milliseconds. */
  readonly duration: number;
  /** What was last applied with success. */
  generation: Generation;
}

describeLab('an apply that is cut short', { networkScripts: true }, (lab) => {
  const chance = random(seed());
  let deployments: Deployment[];

  const declare = (terraform: Terraform, machine: RoutingMachine, which: Generation): void =>
    terraform.declare((stack) => declareGeneration(stack, lab(), which, machine));

  beforeAll(async () => {
    await lab().nat.enableNetworkScripts('eth0');
    deployments = await Promise.all(
      MACHINES.map(async (machine) => {
        const terraform = new Terraform(lab());
        let duration = 0;
        const apply = async (which: Generation): Promise<void> => {
          declare(terraform, machine, which);
          const start = Date.now();
          await terraform.apply();
          duration = Date.now() - start;
        };
        const recorded = await recordGenerations(lab().machine(machine), apply);
        return { machine, terraform, recorded, duration, generation: 'old' as const };
      }),
    );
  }, 120_000);
  afterEach(() => lab().mend('admin'));
  afterAll(() => deployments?.forEach(({ terraform }) => terraform.close()));

  /** Starts to change every machine to its other generation. */
  const startAll = (): Promise<Running[]> =>
    Promise.all(
      deployments.map(({ machine, terraform, generation }) => {
        declare(terraform, machine, generation === 'old' ? 'new' : 'old');
        return terraform.start('apply', ['-auto-approve']);
      }),
    );

  /** Each machine is in one of the two generations, and the next apply brings it to the other one. */
  async function expectOneOrTheOther(what: string): Promise<void> {
    const found = await Promise.all(
      deployments.map(async ({ machine, recorded }) => {
        await settled(lab().machine(machine));
        return `${machine}: ${String(generationOf(await lab().machine(machine).snapshotState(), recorded))}`;
      }),
    );
    process.stderr.write(`faults: ${what}: ${found.join(', ').slice(0, 400)}\n`);
    expect([what, ...found]).toEqual([
      what,
      expect.stringMatching(/: (old|new)$/),
      expect.stringMatching(/: (old|new)$/),
    ]);
    await lab().mend('admin');
    await Promise.all(
      deployments.map(async (deployment) => {
        const { machine, terraform, recorded } = deployment;
        deployment.generation = deployment.generation === 'old' ? 'new' : 'old';
        declare(terraform, machine, deployment.generation);
        await terraform.apply();
        await settled(lab().machine(machine));
        expect(generationOf(await lab().machine(machine).snapshotState(), recorded)).toBe(deployment.generation);
      }),
    );
  }

  /** Some moment of an apply, in milliseconds after its start. */
  const moment = ({ duration }: Deployment): number => Math.round(chance() * duration);

  const faults: Record<keyof typeof ROUNDS, (runs: Running[], moments: number[]) => Promise<void>> = {
    'kill -9': async (runs, moments) => {
      await Promise.all(
        runs.map(async (run, index) => {
          await sleep(moments[index]);
          run.signal('SIGKILL');
          await run.result;
        }),
      );
    },
    'SIGINT': async (runs, moments) => {
      await Promise.all(
        runs.map(async (run, index) => {
          await sleep(moments[index]);
          run.signal('SIGINT');
          await run.result;
        }),
      );
    },
    'network cut for 10 s': async (runs, [when]) => {
      await sleep(when);
      await lab().cut('admin');
      await sleep(10_000);
      await lab().mend('admin');
      await Promise.all(runs.map(({ result }) => result));
    },
    'network cut for good': async (runs, [when]) => {
      await sleep(when);
      await lab().cut('admin');
      // The machines help themselves; Terraform would only notice after two minutes.
      await sleep((CONFIRM_TIMEOUT + 2) * 1000);
      runs.forEach((run) => run.signal('SIGKILL'));
      await Promise.all(runs.map(({ result }) => result));
    },
  };

  describe.each(Object.keys(ROUNDS) as (keyof typeof ROUNDS)[])('by %s', (kind) => {
    test.each(Array.from({ length: ROUNDS[kind] }, (_, index) => index + 1))(
      'leaves the old or the new generation (%d)',
      async () => {
        const moments = deployments.map(moment);
        await faults[kind](await startAll(), moments);
        await expectOneOrTheOther(`${kind} after ${moments.join(' and ')} ms`);
      },
    );
  });

  test.each(Array.from({ length: AGENT_ROUNDS }, (_, index) => index + 1))(
    'by the kill -9 of the agent leaves the old or the new generation (%d)',
    async () => {
      const delays = deployments.map(() => chance().toFixed(3));
      const runs = await startAll();
      const killed = await Promise.all(
        deployments.map(async ({ machine }, index) => {
          // It has the lock from its first to its last step.
          const script = `for try in $(seq 1500); do
            read -r pid rest </run/source-routing.lock/holder && grep -q apply "/proc/$pid/cmdline" && break
            sleep 0.01
          done 2>/dev/null
          sleep ${delays[index]}
          kill -9 "$pid" && echo killed`;
          return (await lab().machine(machine).exec(script, { allowFailure: true })).stdout.trim() || 'too late';
        }),
      );
      await Promise.all(runs.map(({ result }) => result));
      await expectOneOrTheOther(`kill -9 of the agent after ${delays.join(' and ')} s (${killed.join(' and ')})`);
    },
  );

  test.each(Array.from({ length: SESSION_ROUNDS }, (_, index) => index + 1))(
    'by the end of its SSH session leaves the old or the new generation (%d)',
    async () => {
      const moments = deployments.map(moment);
      const runs = await startAll();
      await Promise.all(
        deployments.map(async ({ machine }, index) => {
          await sleep(moments[index]);
          await lab().machine(machine).exec(['pkill', '-KILL', '-f', '^sshd: root'], { allowFailure: true });
        }),
      );
      await Promise.all(runs.map(({ result }) => result));
      await expectOneOrTheOther(`end of the SSH session after ${moments.join(' and ')} ms`);
    },
  );

  test('leaves nothing that destroy does not clean up', async () => {
    await Promise.all(
      deployments.map(async ({ machine, terraform }) => {
        expectSuccess(await terraform.run('destroy', ['-auto-approve']));
        const left = await lab()
          .machine(machine)
          // What Terraform left in ~/.ssh goes two seconds after it has.
          .exec(
            'sleep 3; ls -d /root/.ssh/.source-routing-* /var/lib/source-routing /run/source-routing.lock 2>/dev/null || true',
          );
        expect(left.stdout).toBe('');
      }),
    );
  });
});
