import type { FamilyOrAuto } from '../model/family';
import { KERNEL_PROTOCOL, gates, guards } from '../model/guard';
import type { Host, Problem } from '../model/host';
import { allRoutes } from '../model/host';
import { ROUTING_PROTOCOL } from '../model/protocol';
import type { Rule, Word } from '../model/rule';
import type { Capabilities } from './capabilities';
import { UNKNOWN_FAMILY } from './capabilities';
import { Devices } from './devices';
import { placed, routeArguments, ruleArguments } from './ip-arguments';
import type { PersistenceRenderer, Rendered } from './persistence';
import { spaced } from './persistence';
import { watchUnit } from './service';

const FAMILIES = 'its commands are for IPv4 or for IPv6';

/**
 * One more `iface` stanza for each interface, with commands that bring up what is declared.
 *
 * Stanzas are run in the order in which they are read: the name of the file comes after those of
 * other people, whose addresses the gateways need. It has only characters that `source-directory` takes.
 *
 * There is no `down`: routes go with the link, and rules must stay, so that meanwhile the clients are
 * rejected. A command that fails would leave the interface half-configured, so none does. ifupdown2 runs them at
 * each `ifreload -a`.
 */
export class IfupdownRenderer implements PersistenceRenderer {
  public readonly name = 'ifupdown';
  public readonly call = 'Persistence.ifupdown()';
  public readonly tag = 'own';
  public readonly capabilities: Capabilities = {
    rules: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
    routes: { [UNKNOWN_FAMILY]: { refused: FAMILIES } },
  };
  private readonly device?: string;

  public constructor(device?: string) {
    this.device = device;
  }

  public render(host: Host): Rendered {
    const devices = new Devices(host, this.device);
    const stanzas = new Map<string, Word[][]>(devices.all().map((device) => [device, []]));
    const add = (device: string | undefined, family: FamilyOrAuto, verb: string, words: readonly Word[]): void => {
      const lines = device === undefined ? undefined : stanzas.get(device);
      lines?.push(spaced(['    up', 'ip', `-${family}`, verb, ...words, '|| true']));
    };
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
    const opened = new Set<string>();
    for (const { guard, selectors } of gates(host)) {
      const { family, behind } = guard;
      const device = devices.ofRule(behind);
      if (!opened.has(`${family} ${device}`)) {
        opened.add(`${family} ${device}`);
        add(device, family, 'rule add', ['nop', ...placed(1, KERNEL_PROTOCOL)]);
      }
      add(device, family, 'rule add', [...selectors, 'goto', '1', ...placed(0, KERNEL_PROTOCOL)]);
      add(device, family, 'rule add', [...selectors, 'unreachable', ...placed(0, KERNEL_PROTOCOL)]);
    }
    const watch = watchUnit(host.owner);
    const lines = [
      ['# Managed by cdktf-source-routing: changes here are lost.'],
      ['# A command may find that what it adds is there already.'],
      ...[...stanzas].flatMap(([device, commands]) => [[`iface ${device} inet manual`], ...commands]),
    ];
    const path = `/etc/network/interfaces.d/zz-source-routing-${host.owner}`;
    return {
      devices: devices.all(),
      files: [
        ...(stanzas.size === 0 ? [] : [{ path, mode: '0644', lines } as const]),
        { ...watch.file, systemdOnly: true },
      ],
      units: [{ name: watch.name, systemdOnly: true }],
      requirements: [],
    };
  }

  public problems(host: Host): Problem[] {
    return new Devices(host, this.device).problems(this.call);
  }
}
