import { agentProgram } from '../agent/program';
import { packagedText } from '../agent/texts';
import type { StackFile } from './stack-files';
import { provisionerFile } from './stack-files';

/** The program and the scripts, which are the same for all hosts. */
export type SharedFiles = Readonly<Record<'agent' | 'deliver' | 'confirm' | 'cleanUp', StackFile>>;

let made: SharedFiles | undefined;

/** Made once for each program. */
export function sharedFiles(): SharedFiles {
  made ??= {
    agent: provisionerFile('agent', 'sh', agentProgram()),
    deliver: script('deliver'),
    confirm: script('confirm'),
    cleanUp: script('clean-up'),
  };
  return made;
}

/** A script for the login user. Its parameters are set in front of this text. */
function script(name: string): StackFile {
  return scriptFile(name, ['as-root', name]);
}

/** A script that is made of several texts of this folder. */
export function scriptFile(stem: string, names: readonly string[]): StackFile {
  const parts = names.map((name) => packagedText(`delivery/${name}.sh`).replace(/^#!.*\n/, ''));
  return provisionerFile(stem, 'sh', parts.join('\n'));
}
