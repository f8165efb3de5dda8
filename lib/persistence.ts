import type { Host, Problem } from './model/host';
import { allRenderers, problemsOf } from './persistence/all';
import { IfupdownRenderer } from './persistence/ifupdown';
import { NetworkManagerRenderer } from './persistence/network-manager';
import { NetworkScriptsRenderer } from './persistence/network-scripts';
import { NetplanNetworkManagerRenderer, NetplanRenderer } from './persistence/netplan';
import { NetworkdRenderer } from './persistence/networkd';
import type { Choice, PersistenceRenderer } from './persistence/persistence';
import { ServiceRenderer } from './persistence/service';
import { Arguments } from './private/arguments';
import { DEVICE } from './private/kinds';
import type { Shape } from './private/shapes';
import { optional } from './private/shapes';

/**
 * Options of what makes rules and routes permanent under an interface.
 */
export interface PersistenceOptions {
  /**
   * The interface that brings up what has none of its own, such as a rule that looks up the main
   * table.
   *
   * @default - the interface of the host's routes, if they all use the same one
   */
  readonly device?: string;
}

const OPTIONS: Shape<PersistenceOptions> = { device: optional(DEVICE) };

/**
 * How a machine gets its rules and routes back when it boots.
 *
 * Whichever it is, the agent makes each change in the kernel itself, before it removes what was there; a
 * systemd unit of ours (where systemd runs the machine) then waits for news from the kernel, and puts back within a
 * second what a lost link, a restarted daemon or a stray `ip rule flush` has taken away. What differs is who
 * brings rules and routes up besides, and in whose configuration they can be found.
 */
export class Persistence {
  /**
   * A systemd unit of our own, and nothing else. It works beside any network manager, and can express
   * everything.
   *
   * At boot it sets rules and unreachable routes before the network comes up, and the other routes as
   * their interfaces appear; what it puts back later is in its journal. What its owner has removed
   * stays away.
   */
  public static service(): Persistence {
    return new Persistence([new ServiceRenderer()]);
  }

  /**
   * systemd-networkd: a drop-in in `/etc/systemd/network/FILE.d`, beside the `.network` file of each
   * interface. Rules and routes are tagged `proto static`, as systemd-networkd tags them, so that it leaves them alone
   * when it starts again. Refused on the machine if systemd-networkd does not manage the interface.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static networkd(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkdRenderer(deviceOf(options, 'networkd'))]);
  }

  /**
   * netplan: a file `/etc/netplan/90-source-routing-OWNER-DEVICE.yaml` for each interface, which adds to what other
   * files say of it. Rules and routes are tagged `proto static`. Where systemd-networkd does the work, what
   * netplan's YAML has no words for is in a drop-in beside the file that netplan makes. Where NetworkManager does, the
   * file hands keys on to its profile (`passthrough`), and what is said of `networkManager()` is true here, too.
   *
   * `netplan generate` is run for it, so what somebody has written to `/etc/netplan` but not applied
   * yet comes into force, too. Refused on the machine if netplan has not configured the interface.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static netplan(options: PersistenceOptions = {}): Persistence {
    const device = deviceOf(options, 'netplan');
    return new Persistence([new NetplanRenderer(device), new NetplanNetworkManagerRenderer(device)], 'either');
  }

  /**
   * NetworkManager: keys at the end of the profile of each interface's connection, beside what is there. Rules
   * and routes are tagged `proto static`, as NetworkManager tags them. Needs NetworkManager 1.42 or later, and a
   * profile that is a keyfile in `/etc/NetworkManager/system-connections`. Refused on the machine if NetworkManager
   * does not manage the interface, or does not configure IPv4 or IPv6 where rules or routes of that family are
   * declared.
   *
   * NetworkManager reads the profile, and nothing is activated again: no packet is lost. Only when the host is
   * removed the device forgets routes that NetworkManager has taken over meanwhile, which costs its IPv6 one or
   * two seconds.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static networkManager(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkManagerRenderer(deviceOf(options, 'networkManager'))]);
  }

  /**
   * The files `rule-DEVICE`, `rule6-DEVICE`, `route-DEVICE` and `route6-DEVICE` in
   * `/etc/sysconfig/network-scripts`, for CentOS, RHEL and Fedora up to version 9 and 40. With
   * NetworkManager they need the package NetworkManager-dispatcher-routing-rules, and a connection
   * whose profile is the file `ifcfg-DEVICE`. Refused on the machine if nobody would read them.
   *
   * While the interface is down its rules are gone, too, and clients are rejected by what our
   * systemd unit keeps in the kernel.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static networkScripts(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkScriptsRenderer(deviceOf(options, 'networkScripts'))]);
  }

  /**
   * ifupdown and ifupdown2: a script in `/etc/network/if-up.d` that brings up rules and routes with their
   * interface. Refused on the machine if they do not manage the interface, or do not run such scripts.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static ifupdown(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new IfupdownRenderer(deviceOf(options, 'ifupdown'))]);
  }

  /**
   * The way of whoever manages the interfaces of the host's routes, found out on the machine; `service()`
   * where that is nobody known here, or one that cannot express what is declared. `source-routing
   * status` says which it is. Once chosen it stays: if another network manager takes over, the
   * next change is refused until you declare that one, once.
   *
   * @param options - which interface brings up what has none of its own
   * @throws ValidationError if the device is not an interface name
   */
  public static auto(options: PersistenceOptions = {}): Persistence {
    return new Persistence(allRenderers(deviceOf(options, 'auto')), 'automatic');
  }

  private constructor(
    private readonly renderers: readonly PersistenceRenderer[],
    private readonly kind: Choice['kind'] = 'named',
  ) {}

  /**
   * What is to be on the machine. The machine chooses among those that can express the host, and
   * of a network manager only if it has to do with an interface.
   *
   * @internal
   */
  public _choice(host: Host): Choice {
    const { kind, renderers } = this;
    const concerned = (renderer: PersistenceRenderer): boolean =>
      kind !== 'automatic' || renderer instanceof ServiceRenderer || renderer.render(host).devices.length > 0;
    const able = renderers.filter((renderer) => problemsOf(renderer, host).length === 0 && concerned(renderer));
    return { kind, among: able.length > 0 ? able : renderers };
  }

  /**
   * What is wrong with the host: nothing, if one of those among which is chosen can express it.
   *
   * @internal
   */
  public _problems(host: Host): Problem[] {
    const problems = this.renderers.map((renderer) => problemsOf(renderer, host));
    return problems.some((each) => each.length === 0) ? [] : problems[0];
  }
}

function deviceOf(options: PersistenceOptions, name: string): string | undefined {
  const args = new Arguments(`Persistence.${name}()`);
  args.checkOptions(OPTIONS, options, 'options');
  return options.device === undefined ? undefined : args.device(options.device, 'device');
}
