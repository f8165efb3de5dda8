import { Construct } from 'constructs';
import { MAIN_TABLE_ID } from './model/host';
import { Arguments } from './private/arguments';
import type { LinuxHost } from './linux-host';
import { TABLE, VPN_DAEMON } from './private/kinds';
import { parseHostPath } from './private/host-path';
import type { Shape } from './private/shapes';
import { optional } from './private/shapes';
import type { SourceRoutingTable } from './source-routing-table';
import { VpnDaemon } from './vpn-daemon';

/**
 * Properties of a `VpnUpHook`.
 */
export interface VpnUpHookProps {
  /** Table that gets the tunnels' networks. */
  readonly table: SourceRoutingTable;

  /**
   * The daemon that runs the hook.
   *
   * @default VpnDaemon.openVpn()
   */
  readonly daemon?: VpnDaemon;
}

const PROPS: Shape<VpnUpHookProps> = { table: TABLE, daemon: optional(VPN_DAEMON) };
const VPN_UP_HOOK = Symbol.for('cdktf-source-routing/VpnUpHook');

/**
 * A script that the VPN daemon runs when a tunnel comes up. It puts the tunnel's networks, IPv4 and IPv6, into the
 * table, so that clients reach each other and the server's own address. When the tunnel goes down, the kernel removes
 * these routes by itself. The script may run any number of times, for any number of processes.
 *
 * The apply also runs it for the tunnels that are up. Several hooks with one path make one script, which serves all
 * their tables. An apply never overwrites a file of others at that path. It fails and says so.
 *
 * @example
 * new VpnUpHook(this, 'up', { table, daemon: VpnDaemon.openVpn() });
 *
 * @see https://openvpn.net/community-resources/reference-manual-for-openvpn-2-6/ (--up)
 */
export class VpnUpHook extends Construct {
  /**
   * Tells whether a value is a `VpnUpHook`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isVpnUpHook(x: unknown): x is VpnUpHook {
    return typeof x === 'object' && x !== null && VPN_UP_HOOK in x;
  }

  /** Path of the script on the host. */
  public readonly file: string;

  private readonly host: LinuxHost;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - table and daemon
   * @throws ValidationError if the path is not allowed
   */
  public constructor(scope: Construct, id: string, props: VpnUpHookProps) {
    super(scope, id);
    Object.defineProperty(this, VPN_UP_HOOK, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    const daemon = props.daemon ?? VpnDaemon.openVpn();
    this.file = parseHostPath(args, daemon.upHook, 'upHook');
    if (props.table.tableId === MAIN_TABLE_ID) {
      throw args.error(
        'table is the main table, which has the tunnel networks anyway. Give the table that packets of clients use.',
      );
    }
    this.host = props.table.host;
    this.host._declaration.addHook({
      path: this.node.path,
      daemon: daemon._kind,
      file: this.file,
      tableId: props.table.tableId,
    });
    this.host._declaration.validate(this);
  }

  /** Address of the host's `apply` resource. With it, `dependsOn: [hook]` works on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }
}
