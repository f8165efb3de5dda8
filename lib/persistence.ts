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
 * Options of a persistence that writes rules and routes to the configuration of interfaces.
 */
export interface PersistenceOptions {
  /**
   * The interface that brings up rules and routes without an interface of their own, such as a rule that looks up the
   * main table.
   *
   * @default - the interface of the host's routes, if they all use the same one
   */
  readonly device?: string;
}

const OPTIONS: Shape<PersistenceOptions> = { device: optional(DEVICE) };

/**
 * How a machine gets its rules and routes back when it boots.
 *
 * With every persistence, the agent makes each change in the kernel itself, and adds the new before it removes the old.
 * A systemd unit of ours (if systemd runs the machine) then watches the kernel. Within a second, it puts back what a
 * lost link, a restarted daemon or a stray `ip rule flush` took away. The persistence decides which network manager
 * also has the rules and routes in its configuration.
 */
export class Persistence {
  /**
   * Uses a systemd unit of our own, and nothing else. It works beside any network manager, and can express everything.
   *
   * At boot, the unit sets rules and unreachable routes before the network comes up, and the other routes as their
   * interfaces appear. Its journal says what it puts back later.
   */
  public static service(): Persistence {
    return new Persistence([new ServiceRenderer()]);
  }

  /**
   * Writes a drop-in for systemd-networkd in `/etc/systemd/network/FILE.d`, beside the `.network` file of each
   * interface. Rules and routes have `proto static`, like those that systemd-networkd sets, so it leaves them alone
   * when it restarts. The machine refuses this if systemd-networkd does not manage the interface.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static networkd(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkdRenderer(deviceOption(options, 'networkd'))]);
  }

  /**
   * Writes a file `/etc/netplan/90-source-routing-OWNER-DEVICE.yaml` for each interface, which netplan merges with its
   * other files. Rules and routes have `proto static`. With the renderer systemd-networkd, a drop-in beside the file
   * that netplan makes holds what netplan's YAML cannot express. With the renderer NetworkManager, the file passes keys
   * on to its profile (`passthrough`), with the limits of `networkManager()`.
   *
   * The apply runs `netplan generate`. So other changes in `/etc/netplan` that nobody has applied yet come into force
   * as well. The machine refuses this if netplan does not configure the interface.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static netplan(options: PersistenceOptions = {}): Persistence {
    const device = deviceOption(options, 'netplan');
    return new Persistence([new NetplanRenderer(device), new NetplanNetworkManagerRenderer(device)], 'either');
  }

  /**
   * Adds keys to the end of the NetworkManager profile of each interface's connection. Rules and routes have
   * `proto static`, like those that NetworkManager sets. Needs NetworkManager 1.42 or later, and a profile that is a
   * keyfile in `/etc/NetworkManager/system-connections`. The machine refuses this if NetworkManager does not manage the
   * interface, or if the profile disables a family that has declared rules or routes.
   *
   * NetworkManager reads the profile, but activates nothing again, so no packet is lost. When the host is removed, the
   * device has to forget routes that NetworkManager took over. This can interrupt IPv6 for one or two seconds.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static networkManager(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkManagerRenderer(deviceOption(options, 'networkManager'))]);
  }

  /**
   * Writes the files `rule-DEVICE`, `rule6-DEVICE`, `route-DEVICE` and `route6-DEVICE` in
   * `/etc/sysconfig/network-scripts`. This is for CentOS and RHEL up to version 9, and for Fedora up to version 40.
   * With NetworkManager, the files need the package NetworkManager-dispatcher-routing-rules, and a connection with the
   * file `ifcfg-DEVICE` as its profile. The machine refuses this if nothing would read the files.
   *
   * While the interface is down, its rules are gone. Then the guards that our systemd unit keeps in the kernel reject
   * clients.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static networkScripts(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new NetworkScriptsRenderer(deviceOption(options, 'networkScripts'))]);
  }

  /**
   * Writes a script for ifupdown or ifupdown2 in `/etc/network/if-up.d`, which sets rules and routes when their
   * interface comes up. The machine refuses this if neither manages the interface, or if they do not run such scripts.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static ifupdown(options: PersistenceOptions = {}): Persistence {
    return new Persistence([new IfupdownRenderer(deviceOption(options, 'ifupdown'))]);
  }

  /**
   * Lets the machine choose the persistence of the network manager that manages the interfaces of the host's routes.
   * The choice is `service()` if this manager is unknown here, or cannot express what is declared. `source-routing
   * status` shows the choice. It is made once: if another network manager takes over, the machine refuses the next
   * change until you declare that manager's persistence, once.
   *
   * @param options - which interface brings up rules and routes without one
   * @throws ValidationError if the device is not an interface name
   */
  public static auto(options: PersistenceOptions = {}): Persistence {
    return new Persistence(allRenderers(deviceOption(options, 'auto')), 'automatic');
  }

  private constructor(
    private readonly renderers: readonly PersistenceRenderer[],
    private readonly kind: Choice['kind'] = 'named',
  ) {}

  /**
   * The renderers among which the machine chooses: those that can express the host. With `auto()`, that of a
   * network manager only if it renders something for an interface.
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
   * What the persistence cannot express: nothing, if one of its renderers can express the host.
   *
   * @internal
   */
  public _problems(host: Host): Problem[] {
    const problems = this.renderers.map((renderer) => problemsOf(renderer, host));
    return problems.some((each) => each.length === 0) ? [] : problems[0];
  }
}

function deviceOption(options: PersistenceOptions, name: string): string | undefined {
  const args = new Arguments(`Persistence.${name}()`);
  args.checkOptions(OPTIONS, options, 'options');
  return options.device === undefined ? undefined : args.device(options.device, 'device');
}
