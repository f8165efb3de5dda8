import type { FamilyOrAuto } from '../model/family';
import { BOTH_FAMILIES } from '../model/family';
import { KERNEL_PROTOCOL, guards } from '../model/guard';
import type { Host } from '../model/host';
import { allRoutes } from '../model/host';
import { pushTo } from '../model/maps';
import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Rule, Word } from '../model/rule';
import type { Capabilities } from './capabilities';
import { FOLLOWED, UNKNOWN_FAMILY } from './capabilities';
import type { Devices } from './devices';
import { routeArguments, ruleArguments } from './ip-arguments';
import type { Written } from './link-renderer';
import { LinkRenderer } from './link-renderer';
import { spaced, textLines } from './persistence';

const FAMILIES = 'its commands are for IPv4 or for IPv6';

const HEAD = `#!/bin/sh
# Managed by cdktf-source-routing: changes here are lost.
# What is there already is no error, and neither is a gateway whose network comes with the next stanza.
case $IFACE in
`;
const TAIL = `esac
exit 0
`;

/**
 * A script in `/etc/network/if-up.d`. ifupdown runs it once for each stanza of an interface, in any file. A stanza of
 * our own would not work: stanzas come up in the order in which they are read. Those in `/etc/network/interfaces`
 * mostly come after those in `interfaces.d`, so a gateway would not have the addresses that it needs.
 *
 * There is no script in `if-down.d`: routes go with the link, and rules must stay, so that clients are rejected
 * meanwhile. A failing script would leave the interface half-configured, so it never fails.
 */
export class IfupdownRenderer extends LinkRenderer {
  public readonly name = 'ifupdown';
  public readonly call = 'Persistence.ifupdown()';
  public readonly routeProtocol = 'own';
  public readonly capabilities: Capabilities = {
    rules: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
    routes: { [UNKNOWN_FAMILY]: { refused: FAMILIES }, 'via dhcp4 or ra': FOLLOWED },
  };

  protected write(host: Host, devices: Devices): Written {
    const commands = new Map<string, Word[][]>();
    const add = (device: string | undefined, family: FamilyOrAuto, verb: string, words: readonly Word[]): void =>
      pushTo(commands, `${device} ${family}`, spaced([verb, ...words]));
    const addRule = (rule: Rule, device: string | undefined, protocol: number): void =>
      add(device, rule.family, 'rule add', ruleArguments(rule, protocol));
    for (const route of allRoutes(host)) {
      add(devices.ofRoute(route), route.family, 'route replace', routeArguments(route));
    }
    for (const guard of guards(host)) {
      addRule(guard, devices.ofRule(guard.behind), KERNEL_PROTOCOL);
    }
    for (const rule of host.rules) {
      addRule(rule, devices.ofRule(rule), ROUTING_PROTOCOL);
    }
    const lines = [
      ...textLines(HEAD),
      ...devices.all().flatMap((device) => [
        [`  ${device})`],
        ...BOTH_FAMILIES.flatMap((family) => {
          const batch = commands.get(`${device} ${family}`);
          return batch ? [[`    ip -${family} -force -batch - 2>/dev/null <<'END'`], ...batch, ['END']] : [];
        }),
        ['    ;;'],
      ]),
      ...textLines(TAIL),
    ];
    const path = `/etc/network/if-up.d/source-routing-${host.owner}`;
    return {
      files: [...(commands.size === 0 ? [] : [{ path, mode: '0755', lines } as const])],
    };
  }
}
