import type { FileProvisioner, LocalExecProvisioner, RemoteExecProvisioner } from 'cdktf';
import { Lazy } from 'cdktf';
import type { EngineType } from './engine';
import { storedValue } from './engine';
import { keyCheck } from './environment-key';
import { expression } from './escape';
import { sharedFiles } from './scripts';
import type { DestroyLogin } from './ssh';
import { HINT, confirmConnection, destroyConnection, keySources, storedScriptDirectory } from './ssh';
import type { StackFile } from './stack-files';
import { fileContents } from './stack-files';

export type Provisioner = FileProvisioner | LocalExecProvisioner | RemoteExecProvisioner;

/** Options of every kind of change. */
export interface ChangeProps {
  readonly owner: string;
  /** Directory on the machine for uploads. */
  readonly directory: string;
  /** How long the machine waits for a confirmation, in seconds. */
  readonly confirmTimeoutSeconds: number;
  /** How long to wait until the machine answers, in seconds. */
  readonly timeoutSeconds?: number;
  /**
   * Id of the anchor of this declaration. Another one may have taken the machine over: then a clean-up leaves it alone.
   *
   * @default - a clean-up removes what anybody has for the owner
   */
  readonly anchor?: string;
}

export interface DeliveryProps extends ChangeProps {
  readonly anchor: string;
  readonly allowManagementPathChange: boolean;
  /** The uploaded text. */
  readonly bundle: string;
}

export interface DestroyProps extends Pick<ChangeProps, 'confirmTimeoutSeconds'> {
  readonly engine: EngineType;
  readonly ssh: DestroyLogin;
  /** Addresses of all resources of the host. */
  readonly addresses: () => string[];
  /** Whether each resource has an instance for each machine; undefined if that is not known. */
  readonly isFleet?: boolean;
}

/** Id of a generation: new each time the resource is replaced, and the same in all provisioners of one resource. */
const GENERATION = expression('self.id');

/**
 * Uploads the bundle, puts it on trial, and confirms it over a connection of its own. A change that cuts the path off
 * ends the second provisioner silently. So the third reports the result, and its failure is that of the apply.
 */
export function deliveryProvisioners(props: DeliveryProps): Provisioner[] {
  const { owner, anchor, confirmTimeoutSeconds, allowManagementPathChange, bundle } = props;
  return [
    upload(props, bundle),
    remoteExec(
      sharedFiles().deliver,
      {
        owner,
        generation: GENERATION,
        anchor,
        confirm_timeout: String(confirmTimeoutSeconds),
        allow_management_path_change: allowManagementPathChange ? 'yes' : '',
      },
      { onFailure: 'continue' },
    ),
    confirm(props, { connection: confirmConnection(props) }),
  ];
}

/** Cleans the machine up, while its resources stay. */
export function removalProvisioners(props: ChangeProps): Provisioner[] {
  return [probe(props), cleanUp(props), confirm(props, { connection: confirmConnection(props) }, '--removal')];
}

/**
 * The same when the resource is destroyed. The scripts come from the new configuration, the machine and its owner from
 * the state.
 */
export function destroyProvisioners(props: DestroyProps): Provisioner[] {
  const { engine, ssh } = props;
  const stored = (key: string): string => storedValue(engine, key);
  const { confirmTimeoutSeconds } = props;
  const { timeoutSeconds } = ssh;
  const change: ChangeProps = {
    confirmTimeoutSeconds,
    timeoutSeconds,
    owner: expression(stored('owner')),
    directory: storedScriptDirectory(stored),
    anchor: GENERATION,
  };
  // Not the connection of the resource: without the key file, Terraform would not even run the first provisioner.
  const connection = destroyConnection(ssh, stored);
  const when = 'destroy' as const;
  return [
    {
      type: 'local-exec',
      // sh runs this or, on Windows, cmd. So it must not have characters that are special in either.
      command: Lazy.stringValue({
        produce: () =>
          `echo source-routing: putting the machine back. If it is gone for good, have Terraform forget it: ${forgetting(props)}`,
      }),
      when,
      quiet: true,
      onFailure: 'continue',
    } as LocalExecProvisioner,
    ...keySources(ssh, stored).map((source): Provisioner => ({ ...keyCheck(source), when })),
    probe(change, { when, connection }),
    cleanUp(change, { when, connection }),
    confirm(change, { when, connection: { ...connection, ...confirmConnection(change) } }, '--removal'),
  ];
}

/** Without the key of the machine, `terraform state rm` would forget all machines of a fleet. */
function forgetting({ addresses, isFleet = true }: DestroyProps): string {
  return `terraform state rm ${addresses().join(' ')}${isFleet ? ', each with the key of the machine if it is one of several' : ''}`;
}

/**
 * Uploads a file to a path whose last directory does not exist. If the directory of a path is missing, scp writes a
 * file with the directory's name. So it writes our file. If the directory above is missing, too, this is an error, and
 * no file takes the place of `~/.ssh`.
 */
function upload({ directory, owner }: ChangeProps, content: string, behaviour: Behaviour = {}): FileProvisioner {
  const destination = `${directory}/.source-routing-${owner}.${GENERATION}.bundle.${HINT}/bundle`;
  return { type: 'file', content, destination, ...behaviour } as FileProvisioner;
}

/** A removal uploads scripts only, so it has to check for the directory in another way. */
function probe(props: ChangeProps, behaviour?: Behaviour): FileProvisioner {
  return upload(props, 'nothing\n', behaviour);
}

function cleanUp(
  { owner, anchor = '', confirmTimeoutSeconds }: ChangeProps,
  behaviour: Behaviour = {},
): RemoteExecProvisioner {
  const parameters = { owner, generation: GENERATION, anchor, confirm_timeout: String(confirmTimeoutSeconds) };
  return remoteExec(sharedFiles().cleanUp, parameters, { onFailure: 'continue', ...behaviour });
}

function confirm(
  { owner, anchor = '' }: ChangeProps,
  behaviour: Behaviour,
  removal: '' | '--removal' = '',
): RemoteExecProvisioner {
  // The agent does not ask who confirms an apply.
  const parameters = { owner, generation: GENERATION, anchor: removal ? anchor : '', removal };
  return remoteExec(sharedFiles().confirm, parameters, behaviour);
}

/** Properties that cdktf has no types for, but renders. */
interface Behaviour {
  readonly when?: 'destroy';
  readonly onFailure?: 'continue';
  readonly connection?: object;
}

function remoteExec(
  script: StackFile,
  parameters: Record<string, string>,
  behaviour: Behaviour,
): RemoteExecProvisioner {
  // The parameters are owner ids, Terraform's own ids and numbers.
  const settings = Object.entries(parameters).map(([key, value]) => `${key}='${value}'\n`);
  const text = `#!/bin/sh\n${settings.join('')}${fileContents(script)}`;
  return { type: 'remote-exec', inline: [text], ...behaviour } as RemoteExecProvisioner;
}
