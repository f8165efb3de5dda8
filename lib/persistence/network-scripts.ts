import type { FamilyOrAuto } from '../model/family';
import type { Host } from '../model/host';
import { allRoutes } from '../model/host';
import { pushTo } from '../model/maps';
import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Word } from '../model/rule';
import type { Capabilities } from './capabilities';
import { FOLLOWED, UNKNOWN_FAMILY } from './capabilities';
import type { Devices } from './devices';
import { routeArguments, ruleArguments } from './ip-arguments';
import type { Written } from './link-renderer';
import { LinkRenderer } from './link-renderer';
import type { HostFile } from './persistence';
import { spaced } from './persistence';

const FAMILIES = 'IPv4 and IPv6 are in different files';
const DIRECTORY = '/etc/sysconfig/network-scripts';

/**
 * The `rule-`, `rule6-`, `route-` and `route6-` files of the network scripts. Each line has the arguments of one `ip
 * rule add` or `ip route add`, which run when the interface comes up.
 *
 * Guards are not in them: all rules in these files go down with the interface, and clients must still be rejected then.
 */
export class NetworkScriptsRenderer extends LinkRenderer {
  public readonly name = 'network-scripts';
  public readonly call = 'Persistence.networkScripts()';
  public readonly routeProtocol = 'own';
  public readonly capabilities: Capabilities = {
    rules: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
    routes: { [UNKNOWN_FAMILY]: { refused: FAMILIES }, 'via dhcp4 or ra': FOLLOWED },
  };

  protected write(host: Host, devices: Devices): Written {
    const files = new Map<string, Word[][]>();
    const add = (kind: string, family: FamilyOrAuto, device: string | undefined, words: Word[]): void => {
      if (family === 'auto' || device === undefined) {
        // Said by `problems`: nothing is deployed.
        return;
      }
      pushTo(files, `${DIRECTORY}/${kind}${family === 6 ? '6' : ''}-${device}`, spaced(words));
    };
    for (const rule of host.rules) {
      add('rule', rule.family, devices.ofRule(rule), ruleArguments(rule, ROUTING_PROTOCOL));
    }
    for (const route of allRoutes(host)) {
      add('route', route.family, devices.ofRoute(route), routeArguments(route));
    }
    for (const device of devices.all()) {
      if (!files.has(`${DIRECTORY}/rule-${device}`) && !files.has(`${DIRECTORY}/rule6-${device}`)) {
        files.set(`${DIRECTORY}/rule-${device}`, [
          ['# Without this file, NetworkManager would read the routes itself, and not all that is in them.'],
        ]);
      }
    }
    return {
      files: [...[...files].map(([path, lines]): HostFile => ({ path, mode: '0644', lines }))],
    };
  }
}
