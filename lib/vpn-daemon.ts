import { Arguments } from './private/arguments';
import type { Shape } from './private/shapes';
import { optional, text } from './private/shapes';

/**
 * Options of a VPN daemon's up hook.
 */
export interface VpnDaemonOptions {
  /**
   * Path of the up hook on the host.
   *
   * @default - `/etc/openvpn/up` for OpenVPN, `/etc/wireguard/up` for WireGuard
   */
  readonly upHook?: string;
}

const OPTIONS: Shape<VpnDaemonOptions> = { upHook: optional(text('a path such as "/etc/openvpn/up"')) };

/**
 * A VPN daemon that can run a hook when its tunnel comes up.
 */
export class VpnDaemon {
  /**
   * OpenVPN, with any number of processes. Each configuration needs `script-security 2` and `up /etc/openvpn/up`.
   * vpn-server-node of eduVPN 2 (2.2.2 or later) adds the `up` line by itself once the file exists. eduVPN 3 runs no such
   * hook: use another `LocalTraffic` there.
   *
   * @param options - path of the hook
   */
  public static openVpn(options: VpnDaemonOptions = {}): VpnDaemon {
    new Arguments('VpnDaemon.openVpn()').checkOptions(OPTIONS, options, 'options');
    return new VpnDaemon('openvpn', options.upHook ?? '/etc/openvpn/up');
  }

  /**
   * WireGuard through wg-quick. Each configuration needs `PostUp = /etc/wireguard/up %i`.
   *
   * @param options - path of the hook
   */
  public static wireGuard(options: VpnDaemonOptions = {}): VpnDaemon {
    new Arguments('VpnDaemon.wireGuard()').checkOptions(OPTIONS, options, 'options');
    return new VpnDaemon('wireguard', options.upHook ?? '/etc/wireguard/up');
  }

  private constructor(
    /** @internal */
    public readonly _kind: 'openvpn' | 'wireguard',
    /** Path of the up hook on the host. */
    public readonly upHook: string,
  ) {}
}
