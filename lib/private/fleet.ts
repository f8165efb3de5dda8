import type { ITerraformIterator } from 'cdktf';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { SshConnection } from '../ssh-connection';
import type { Arguments } from './arguments';
import { expressionOf, isOfFleet, iteratorOf } from './tokens';

/** The machines of a fleet must differ in their address: several applies of one owner on one machine undo each other. */
export function checkFleet(args: Arguments, host: Construct, ssh: SshConnection, forEach?: ITerraformIterator): void {
  const addresses = [ssh.host, ssh.port, ssh.bastion?.host, ssh.bastion?.port];
  const isUnreadable = (value: unknown): boolean => Token.isUnresolved(value) && expressionOf(value, host) === '';
  const mayDiffer = addresses.some((each) => isUnreadable(each) || iteratorOf(each, host) === 'each');
  if (forEach && !mayDiffer) {
    throw args.error(
      'ssh.host is the same for all machines of forEach. Take it from the iterator, for example servers.getString("address").',
    );
  }
}

/** Whether nothing but its bastion tells a machine of the fleet from the others. */
export function isKnownByBastion(host: Construct, { host: name, port, bastion }: SshConnection): boolean {
  const isOfEach = (value: unknown): boolean => iteratorOf(value, host) === 'each';
  return !isOfEach(name) && !isOfEach(port) && (isOfEach(bastion?.host) || isOfEach(bastion?.port));
}

/** A router has no list of the servers of a fleet at synth. */
export function refuseFleet(args: Arguments, egress: Construct, property: string): void {
  if (isOfFleet(egress)) {
    throw args.error(
      `${property} needs the addresses and pools of each server at synth, and those of a host with forEach are known at apply only. ` +
        'Declare one host for each machine in a loop of the program, or give the router its routes by other means.',
    );
  }
}
