import type { Host, Problem } from '../model/host';
import { UNKNOWN_FAMILY, refusals } from './capabilities';
import { IfupdownRenderer } from './ifupdown';
import { NetworkManagerRenderer } from './network-manager';
import { NetworkScriptsRenderer } from './network-scripts';
import { NetplanNetworkManagerRenderer, NetplanRenderer } from './netplan';
import { NetworkdRenderer } from './networkd';
import type { PersistenceRenderer } from './persistence';
import { ServiceRenderer } from './service';

/** Every persistence. The last one can express everything, on every machine with systemd. */
export function allRenderers(device?: string): PersistenceRenderer[] {
  return [
    new NetworkdRenderer(device),
    new NetplanRenderer(device),
    new NetplanNetworkManagerRenderer(device),
    new NetworkManagerRenderer(device),
    new NetworkScriptsRenderer(device),
    new IfupdownRenderer(device),
    new ServiceRenderer(),
  ];
}

/**
 * What a persistence cannot express of a host. Only our own unit can express more than the machine's network manager.
 */
export function problemsOf(renderer: PersistenceRenderer, host: Host): Problem[] {
  const refused = refusals(host, renderer.capabilities).map(({ path, what, feature, reason }) => {
    const use = feature === UNKNOWN_FAMILY ? 'Set families on the rule or family on the route, or use' : 'Use';
    return {
      path,
      message: `${renderer.call} cannot express "${feature}" of ${what}: ${reason}. ${use} Persistence.service().`,
    };
  });
  return [...refused, ...renderer.problems(host)];
}
