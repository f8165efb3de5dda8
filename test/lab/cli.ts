/** The lab for a person at the keyboard: `npm run lab -- up`. */
import { spawnSync } from 'node:child_process';
import { Lab } from './lab';
import { enter, findContainer } from './nspawn';
import { ensureRequirements } from './requirements';
import { type DebianRelease, rootImage } from './root-image';
import { RunDirectory } from './run-directory';
import { type ClientName, clientNames, type MachineName, machineNames, nodes, type NodeName } from './topology';

const usage = `usage: npm run lab -- COMMAND

  up                     boot the lab and leave it up
  status                 what is up, with its addresses
  shell NAME             a shell in a machine or a namespace
  exec NAME COMMAND...   one command there
  down                   end everything
  image [RELEASE]        build the machines' root image, of another Debian release if one is given (bullseye, trixie)

In machines (${machineNames().join(', ')}) and VPN clients (${clientNames.join(', ')}) the commands are
the machine's own; in admin, upstream, internet and switch they are the box's.`;

/** The lab of the command line. Labs of test runs have random names and look after themselves. */
const defaultId = 'main';

const progress = (line: string): void => console.error(`lab: ${line}`);

async function main([command, ...rest]: string[]): Promise<number> {
  switch (command) {
    case 'up': {
      const started = Date.now();
      const lab = await Lab.up({ id: defaultId, progress });
      lab.keep();
      progress(`up after ${((Date.now() - started) / 1000).toFixed(1)} s`);
      return status();
    }
    case 'status':
      return status();
    case 'shell':
      return inNode(rest[0], ['bash', '-i']);
    case 'exec':
      return inNode(rest[0], rest.slice(1));
    case 'down':
      // The guard of a run, which died, calls this with the run's id.
      await RunDirectory.remove(rest[0] ?? defaultId);
      return 0;
    case 'image': {
      const obstacle = ensureRequirements(undefined, progress);
      if (obstacle) throw new Error(`cannot build it here: ${obstacle}`);
      console.log(await rootImage(progress, rest[0] as DebianRelease | undefined));
      return 0;
    }
    default:
      console.error(usage);
      return command === 'help' ? 0 : 64;
  }
}

function status(): number {
  const ids = RunDirectory.ids();
  if (ids.length === 0) {
    console.log('no lab is up');
    return 1;
  }
  const lab = Lab.open(ids.includes(defaultId) ? defaultId : ids[0]);
  console.log(`labs up: ${ids.join(', ')}\n\n${lab.describe()}

  npm run lab -- shell vpn
  npm run lab -- exec wg1 ping -c 1 fd00:4242:4242:2020::1
  ip netns exec ${lab.namespace('admin')} ${lab.keys.command('debian', lab.vpn.address()).join(' ')}`);
  return 0;
}

/** Run a command in a node, on this terminal. */
function inNode(name: string | undefined, argv: readonly string[]): number {
  if (name === undefined || !(name in nodes || name === 'switch') || argv.length === 0) {
    console.error(usage);
    return 64;
  }
  const directory = RunDirectory.open(defaultId);
  const hasContainer = [...machineNames(true), ...clientNames].includes(name as MachineName & ClientName);
  const full = hasContainer
    ? enter(findContainer(directory, name as NodeName), argv)
    : ['ip', 'netns', 'exec', directory.name(name), ...argv];
  return spawnSync(full[0], full.slice(1), { stdio: 'inherit', cwd: '/' }).status ?? 1;
}

main(process.argv.slice(2)).then(
  (code) => (process.exitCode = code),
  (error: Error) => {
    console.error(`lab: ${error.message}`);
    process.exitCode = 1;
  },
);
