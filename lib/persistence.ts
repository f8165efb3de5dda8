import { Token } from 'cdktf';
import { parseDevice } from './model/value';
import { NetworkScriptsRenderer } from './persistence/network-scripts';
import type { PersistenceRenderer } from './persistence/persistence';
import { ServiceRenderer } from './persistence/service';

/**
 * Options of `Persistence.networkScripts()`.
 */
export interface NetworkScriptsOptions {
  /**
   * The interface that brings up what has none of its own, such as a rule that looks up the main
   * table.
   *
   * @default - the interface of the host's routes, if they all use the same one
   */
  readonly device?: string;
}

/**
 * How a machine gets its rules and routes back when it boots.
 */
export class Persistence {
  /**
   * A systemd unit of our own. It works beside any network manager, and can express everything.
   *
   * At boot it sets rules and unreachable routes before the network comes up, and the other routes as
   * their interfaces appear. Then it waits for news from the kernel, and puts back within a second
   * what a lost link, a restarted daemon or a stray `ip rule flush` has taken away; what it puts
   * back is in its journal. What its owner has removed stays away.
   */
  public static service(): Persistence {
    return new Persistence(new ServiceRenderer());
  }

  /**
   * The files `rule-DEVICE`, `rule6-DEVICE`, `route-DEVICE` and `route6-DEVICE` in
   * `/etc/sysconfig/network-scripts`, for CentOS, RHEL and Fedora up to version 9 and 40. With
   * NetworkManager they need the package NetworkManager-dispatcher-routing-rules, and a connection
   * whose profile is an ifcfg file.
   *
   * @param options - which interface brings up what has none of its own
   * @throws Error if the device is not an interface name
   */
  public static networkScripts(options: NetworkScriptsOptions = {}): Persistence {
    if (options.device !== undefined) {
      if (Token.isUnresolved(options.device)) {
        throw new Error(
          'Persistence.networkScripts() device is known at apply only; it is part of file names. Give it literally.',
        );
      }
      parseDevice(options.device, 'Persistence.networkScripts() device');
    }
    return new Persistence(new NetworkScriptsRenderer(options.device));
  }

  private constructor(
    /** @internal */
    public readonly _renderer: PersistenceRenderer,
  ) {}
}
