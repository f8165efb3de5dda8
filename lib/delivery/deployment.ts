import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ITerraformDependable, RemoteExecProvisioner, TerraformResource } from 'cdktf';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import type { Host } from '../model/host';
import type { PersistenceRenderer } from '../persistence/persistence';
import type { SshConnection } from '../ssh-connection';
import { lazyBundleContent } from './bundle';
import type { EngineType } from './engine';
import { engineResource, storedValue } from './engine';
import { expression, literal } from './escape';
import { createConnection, destroyConnection, storedConnection } from './ssh';
import { generationTriggers } from './triggers';

export interface DeploymentProps {
  readonly engine: EngineType;
  readonly owner: string;
  readonly ssh: SshConnection;
  readonly persistence: PersistenceRenderer;
  readonly host: () => Host;
  readonly dependsOn?: ITerraformDependable[];
}

/**
 * The two resources of a host. Their ids are part of the public contract: renaming one would
 * replace it in every deployment.
 *
 * - `anchor` says who and where, and carries the clean-up. It is there before the first change
 *   and cannot be tainted by one that fails, so the clean-up is never lost.
 * - `apply` is one generation. Replacing it runs no clean-up, so there is no moment without rules.
 */
export class Deployment {
  public readonly anchor: TerraformResource;
  public readonly apply: TerraformResource;

  public constructor(scope: Construct, props: DeploymentProps) {
    const { engine, owner, ssh, persistence, host } = props;
    const connection = storedConnection(ssh);
    const storedExpression = (key: string): string => storedValue(engine, key);
    const cleanUp = {
      type: 'remote-exec',
      // The script is the new configuration's, the machine and its owner are the old one's.
      inline: [script('clean-up.sh', { owner: expression(storedExpression('owner')) })],
      connection: destroyConnection(ssh, storedExpression),
      // Not among cdktf's typed properties, but rendered like them.
      when: 'destroy',
    } as RemoteExecProvisioner;
    this.anchor = engineResource(scope, 'anchor', engine, {
      identity: () => ({ host: connection.host, port: connection.port, owner }),
      stored: { ...connection, owner },
      provisioners: [cleanUp],
      dependsOn: props.dependsOn,
    });

    const generation = expression('self.id');
    this.apply = engineResource(scope, 'apply', engine, {
      identity: () => {
        const model = host();
        return {
          anchor: Token.asString(this.anchor.interpolationForAttribute('id')),
          ...generationTriggers(model, persistence.name, persistence.render(model)),
        };
      },
      connection: createConnection(owner, ssh),
      provisioners: [
        {
          type: 'file',
          content: lazyBundleContent(host, (model) => persistence.render(model)),
          destination: `./.source-routing-${owner}.${generation}.bundle`,
        },
        { type: 'remote-exec', inline: [script('deliver.sh', { owner, generation })] },
      ],
    });
  }
}

/** A script with its parameters set in front; these are owner ids and Terraform's own ids. */
function script(name: string, parameters: Record<string, string>): string {
  const settings = Object.entries(parameters).map(([key, value]) => `${key}='${value}'\n`);
  const parts = ['as-root.sh', name].map((part) => readFileSync(join(__dirname, part), 'utf8').replace(/^#!.*\n/, ''));
  return `#!/bin/sh\n${settings.join('')}${literal(parts.join('\n'))}`;
}
