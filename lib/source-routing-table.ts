import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import type { LinuxHost } from './linux-host';
import { MAIN_TABLE_ID, RESERVED_TABLE_IDS, RESERVED_TABLE_NAMES } from './model/host';
import { MAX_UINT32 } from './model/limits';
import { DEVICES, HOST, TABLE_ID, TABLE_NAME } from './private/kinds';
import type { Shape } from './private/shapes';
import { FLAG, optional, partOf } from './private/shapes';
import type { RouteOptions } from './route';
import { Route } from './route';

/**
 * Properties of a `SourceRoutingTable`.
 */
export interface SourceRoutingTableProps {
  /** The machine that has the table. */
  readonly host: LinuxHost;

  /** Id of the table, 1 to 4294967295. 253, 254 and 255 belong to the kernel. */
  readonly tableId: number;

  /**
   * Name for people: `ip route show table NAME` on the machine. Everything that we write uses
   * the id.
   *
   * @default - no name
   */
  readonly tableName?: string;

  /**
   * Rejects packets when the table's routes are gone, instead of letting them leave through the main default route.
   * Three things do so:
   *
   * - An unreachable default route with the worst metric is in the table. It takes effect when an interface is down.
   * - A guard rule at priority + 10000, with the same selectors as the rule that looks up the table, rejects whatever
   *   reaches it, because somebody flushed the table or the rules. A rule has no guard if the table has a route of type
   *   `throw`, or if the machine's own packets may match (a rule without a source, for example).
   * - A kill switch in netfilter (an nftables table of our own) rejects packets from the sources of those rules that
   *   would leave by another interface than those of the table's routes. It holds even when all rules are gone.
   *
   * @default true
   */
  readonly failClosed?: boolean;

  /**
   * Interfaces by which packets may leave in addition to those of the table's routes. Without this, the kill switch
   * rejects them. An example is the interface of another VPN, whose rules are in front of ours.
   *
   * @default - none
   */
  readonly allowedInterfaces?: string[];
}

const PROPS: Shape<SourceRoutingTableProps> = {
  host: HOST,
  tableId: TABLE_ID,
  tableName: optional(TABLE_NAME),
  failClosed: optional(FLAG),
  allowedInterfaces: optional(DEVICES),
};
const SOURCE_ROUTING_TABLE = Symbol.for('cdktf-source-routing/SourceRoutingTable');
const MAIN_ID = 'main-table';

/**
 * A routing table beside the main one. A `PolicyRule` sends packets to it.
 *
 * @example
 * const vpn = new SourceRoutingTable(this, 'vpn', { host: server, tableId: 200, tableName: 'vpn' });
 * vpn.addRoute('v4', { destination: 'default', via: '192.168.1.1', device: 'eth1' });
 *
 * @see https://man7.org/linux/man-pages/man8/ip-route.8.html
 */
export class SourceRoutingTable extends Construct {
  /**
   * Tells whether a value is a `SourceRoutingTable`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isSourceRoutingTable(x: unknown): x is SourceRoutingTable {
    return typeof x === 'object' && x !== null && SOURCE_ROUTING_TABLE in x;
  }

  /**
   * Returns the main table of a host, for return routes to the clients of a VPN server and for rules that look it up.
   * An apply changes only the declared routes in it.
   *
   * @param host - the machine
   */
  public static main(host: LinuxHost): SourceRoutingTable {
    new Arguments('SourceRoutingTable.main()').check(HOST, host, 'host');
    const existing = host.node.tryFindChild(MAIN_ID);
    return SourceRoutingTable.isSourceRoutingTable(existing)
      ? existing
      : new SourceRoutingTable(host, MAIN_ID, { host, tableId: MAIN_TABLE_ID });
  }

  /** The machine that has the table. */
  public readonly host: LinuxHost;

  /** Id of the table. */
  public readonly tableId: number;

  /** Name of the table, if it has one. */
  public readonly tableName?: string;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - host and table id
   * @throws ValidationError if the id or the name is not allowed
   */
  public constructor(scope: Construct, id: string, props: SourceRoutingTableProps) {
    super(scope, id);
    Object.defineProperty(this, SOURCE_ROUTING_TABLE, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    this.host = props.host;
    const isMain = scope === props.host && id === MAIN_ID && props.tableId === MAIN_TABLE_ID;
    this.tableId = args.integer(props.tableId, 'tableId', 0, MAX_UINT32);
    if (isMain) {
      return;
    }
    if (RESERVED_TABLE_IDS.includes(this.tableId)) {
      throw args.error(
        `tableId ${this.tableId} belongs to the kernel (0 unspec, 253 default, 254 main, 255 local). ` +
          `Use another, for example 200; for the main table use SourceRoutingTable.main(host).`,
      );
    }
    if (props.tableName !== undefined) {
      this.tableName = args.text(
        props.tableName,
        'tableName',
        /^[A-Za-z_][A-Za-z0-9_-]{0,30}$/,
        'letters, digits, "_" and "-" (at most 31, a letter first)',
      );
      if (RESERVED_TABLE_NAMES.includes(this.tableName)) {
        throw args.error(
          `tableName "${this.tableName}" means something else to "ip route". Use another, for example "vpn".`,
        );
      }
    }
    this.host._declaration.addTable({
      path: this.node.path,
      id: this.tableId,
      name: this.tableName,
      failClosed: props.failClosed ?? true,
      allowedInterfaces: (props.allowedInterfaces ?? []).map((name, index) =>
        args.device(name, `allowedInterfaces[${index}]`),
      ),
    });
    this.host._declaration.validate(this);
  }

  /** Address of the host's `apply` resource. With it, `dependsOn: [table]` works on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }

  /**
   * Adds a route to the table.
   *
   * @param id - unique in the table
   * @param options - destination and next hop
   * @throws ValidationError if an argument is wrong or two contradict each other
   */
  public addRoute(id: string, options: RouteOptions): Route {
    new Arguments(this).check(partOf({}, 'an object with destination'), options, 'options');
    return new Route(this, id, { table: this, ...options });
  }
}
