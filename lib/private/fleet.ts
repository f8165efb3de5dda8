import type { ITerraformIterator } from 'cdktf';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { SshConnection } from '../ssh-connection';
import type { Arguments } from './arguments';
import { expressionOf, isIteratorValue, mayHaveIteratorValues } from './tokens';

/** The machines of a fleet must differ in their address: several applies of one owner on one machine undo each other. */
export function checkFleet(args: Arguments, host: Construct, ssh: SshConnection, forEach?: ITerraformIterator): void {
  const isUnreadable = Token.isUnresolved(ssh.host) && expressionOf(ssh.host, host) === '';
  if (forEach && !isUnreadable && !isIteratorValue(ssh.host, host)) {
    throw args.error(
      'ssh.host is the same for all machines of forEach. Take it from the iterator, for example servers.getString("address").',
    );
  }
}

/** A router has no list of the servers of a fleet at synth. */
export function refuseFleet(args: Arguments, egress: Construct, property: string): void {
  if (mayHaveIteratorValues(egress)) {
    throw args.error(
      `${property} needs the addresses and pools of each server at synth, and those of a host with forEach are known at apply only. ` +
        'Declare one host for each machine in a loop of the program, or give the router its routes by other means.',
    );
  }
}
