import type { Host, Problem } from '../model/host';
import { UNKNOWN_FAMILY, refusals } from './capabilities';
import { NetworkManagerRenderer } from './network-manager';
import { NetworkScriptsRenderer } from './network-scripts';
import { NetworkdRenderer } from './networkd';
import type { PersistenceRenderer } from './persistence';
import { ServiceRenderer } from './service';

/** Every persistence. The last one can express everything, on every machine with systemd. */
export function allRenderers(device?: string): PersistenceRenderer[] {
  return [
    new NetworkdRenderer(device),
    new NetworkManagerRenderer(device),
    new NetworkScriptsRenderer(device),
    new ServiceRenderer(),
  ];
}

/** What of the host a persistence cannot express, and which one can. */
export function problemsOf(renderer: PersistenceRenderer, host: Host): Problem[] {
  const refused = refusals(host, renderer.capabilities).map(({ path, what, feature, reason }) => {
    // What can express this rule or route, and not just this feature of it.
    const alone = { ...host, rules: host.rules.filter(isAt(path)), routes: host.routes.filter(isAt(path)) };
    const able = allRenderers().filter((other) => refusals(alone, other.capabilities).length === 0);
    const use = feature === UNKNOWN_FAMILY ? 'Set families on the rule or family on the route, or use' : 'Use';
    return {
      path,
      message: `${renderer.call} cannot express "${feature}" of ${what}: ${reason}. ${use} ${able.map((other) => other.call).join(' or ')}.`,
    };
  });
  return [...refused, ...renderer.problems(host)];
}

function isAt(path: string): (item: { readonly path: string }) => boolean {
  return (item) => item.path === path;
}
