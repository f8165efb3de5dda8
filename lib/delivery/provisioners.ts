import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FileProvisioner, LocalExecProvisioner, RemoteExecProvisioner } from 'cdktf';
import { Lazy } from 'cdktf';
import type { EngineType } from './engine';
import { storedValue } from './engine';
import { expression, literal } from './escape';
import { HINT, confirmConnection, destroyConnection, storedScriptDirectory } from './ssh';

export type Provisioner = FileProvisioner | LocalExecProvisioner | RemoteExecProvisioner;

/** How a change is carried out, whatever it is. */
export interface ChangeProps {
  readonly owner: string;
  /** Where on the machine to upload to. */
  readonly directory: string;
  /** How long the machine keeps what is not confirmed, in seconds. */
  readonly confirmTimeoutSeconds: number;
  /** How long to wait until the machine answers, in seconds. */
  readonly timeoutSeconds?: number;
}

export interface DeliveryProps extends ChangeProps {
  readonly allowManagementPathChange: boolean;
  /** What is uploaded. */
  readonly bundle: string;
}

export interface DestroyProps extends Omit<ChangeProps, 'owner' | 'directory'> {
  readonly engine: EngineType;
  /** Addresses of all resources of the host. */
  readonly addresses: () => string[];
}

/** A new one each time the resource is replaced; the same in all provisioners of one resource. */
const GENERATION = expression('self.id');

/**
 * Brings the bundle to the machine, puts it on trial, and confirms it over a connection of its own.
 * A change that cuts the path off ends the second one without a word, so it is for the third
 * to say how it ended, and its failure is the apply's.
 */
export function deliveryProvisioners(props: DeliveryProps): Provisioner[] {
  const { owner, confirmTimeoutSeconds, allowManagementPathChange, bundle } = props;
  return [
    upload(props, bundle),
    remoteExec(
      'deliver.sh',
      {
        owner,
        generation: GENERATION,
        confirm_timeout: String(confirmTimeoutSeconds),
        allow_management_path_change: allowManagementPathChange ? 'yes' : '',
      },
      { onFailure: 'continue' },
    ),
    confirm(props, { connection: confirmConnection(props) }),
  ];
}

/** Has the machine put back to what it was, while its resources stay. */
export function removalProvisioners(props: ChangeProps): Provisioner[] {
  return [probe(props), cleanUp(props, {}), confirm(props, { connection: confirmConnection(props) }, '--removal')];
}

/**
 * The same when the resource is destroyed. The scripts are the new configuration's, the machine
 * and its owner are the old one's.
 */
export function destroyProvisioners(props: DestroyProps): Provisioner[] {
  const { engine, addresses } = props;
  const stored = (key: string): string => storedValue(engine, key);
  const change: ChangeProps = {
    ...props,
    owner: expression(stored('owner')),
    directory: storedScriptDirectory(stored),
  };
  const connection = destroyConnection(props, stored);
  const when = 'destroy';
  return [
    {
      type: 'local-exec',
      // Run by sh or, on Windows, by cmd: nothing in here may mean anything to either of them.
      command: Lazy.stringValue({
        produce: () =>
          `echo source-routing: putting the machine back. If it is gone for good, have Terraform forget it: terraform state rm ${addresses().join(' ')}`,
      }),
      when,
      quiet: true,
      onFailure: 'continue',
    } as LocalExecProvisioner,
    probe(change, { when, connection }),
    cleanUp(change, { when, connection }),
    confirm(change, { when, connection: { ...connection, ...confirmConnection(props) } }, '--removal'),
  ];
}

/**
 * Puts a file into the directory, under a name that is a path inside that file: where the directory of a path
 * is missing, scp makes a file with the directory's name. So it makes ours, and one whose own directory is
 * missing is an error, instead of a file in the place of `~/.ssh`.
 */
function upload({ directory, owner }: ChangeProps, content: string, behaviour: Behaviour = {}): FileProvisioner {
  const destination = `${directory}/.source-routing-${owner}.${GENERATION}.bundle.${HINT}/bundle`;
  return { type: 'file', content, destination, ...behaviour } as FileProvisioner;
}

/** What a removal uploads are scripts only: it has to find out otherwise that there is a directory for them. */
function probe(props: ChangeProps, behaviour?: Behaviour): FileProvisioner {
  return upload(props, 'nothing\n', behaviour);
}

function cleanUp({ owner, confirmTimeoutSeconds }: ChangeProps, behaviour: Behaviour): RemoteExecProvisioner {
  const parameters = { owner, generation: GENERATION, confirm_timeout: String(confirmTimeoutSeconds) };
  return remoteExec('clean-up.sh', parameters, { onFailure: 'continue', ...behaviour });
}

function confirm({ owner }: ChangeProps, behaviour: Behaviour, removal = ''): RemoteExecProvisioner {
  return remoteExec('confirm.sh', { owner, generation: GENERATION, removal }, behaviour);
}

/** What is not among cdktf's typed properties, but is rendered like them. */
interface Behaviour {
  readonly when?: 'destroy';
  readonly onFailure?: 'continue';
  readonly connection?: object;
}

function remoteExec(name: string, parameters: Record<string, string>, behaviour: Behaviour): RemoteExecProvisioner {
  return { type: 'remote-exec', inline: [script(name, parameters)], ...behaviour } as RemoteExecProvisioner;
}

/** A script with its parameters set in front; these are owner ids, Terraform's own ids and numbers. */
function script(name: string, parameters: Record<string, string>): string {
  const settings = Object.entries(parameters).map(([key, value]) => `${key}='${value}'\n`);
  const parts = ['as-root.sh', name].map((part) => readFileSync(join(__dirname, part), 'utf8').replace(/^#!.*\n/, ''));
  return `#!/bin/sh\n${settings.join('')}${literal(parts.join('\n'))}`;
}
