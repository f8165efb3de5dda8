import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import type { LinuxHost } from './linux-host';
import { MAIN_TABLE_ID, RESERVED_TABLE_IDS, RESERVED_TABLE_NAMES } from './model/host';
import { DEVICES, HOST, TABLE_ID, TABLE_NAME } from './private/kinds';
import type { Shape } from './private/shapes';
import { FLAG, optional, struct } from './private/shapes';
import type { RouteOptions } from './route';
import { Route } from './route';

/**
 * Properties of a `SourceRoutingTable`.
 */
export interface SourceRoutingTableProps {
  /** The machine that has the table. */
  readonly host: LinuxHost;

  /** The table's number, 1 to 4294967295 without 253, 254 and 255, which are the kernel's. */
  readonly tableId: number;

  /**
   * A name for people: `ip route show table NAME` on the machine. Everything that we write uses
   * the number.
   *
   * @default - no name
   */
  readonly tableName?: string;

  /**
   * Puts an unreachable default route at the worst metric into the table, so that packets are
   * rejected when the real routes are gone (the interface is down) instead of leaving through the
   * main default route.
   *
   * Behind each rule that looks the table up stands a guard, too: a rule with the same selectors, at
   * a priority 10000 higher, that rejects what comes so far because somebody has flushed the table or
   * the rules. There is none where the table has a route of type `throw`, or where the machine's own
   * packets may match (a rule without a source, for example).
   *
   * A kill switch in netfilter (an nftables table of our own) rejects packets of the sources of those rules that
   * would leave by any other interface than those of the table's routes, whatever has become of the rules.
   *
   * @default true
   */
  readonly failClosed?: boolean;

  /**
   * Interfaces by which packets may leave besides those of the table's routes: that of another VPN, for example,
   * whose own rules stand in front of ours. The kill switch would reject them.
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
 * A routing table beside the main one. Packets come to it by a `PolicyRule`.
 *
 * @see https://man7.org/linux/man-pages/man8/ip-route.8.html
 */
export class SourceRoutingTable extends Construct {
  /**
   * Whether a value is a `SourceRoutingTable`, also one of another copy of this library.
   *
   * @param x - any value
   */
  public static isSourceRoutingTable(x: unknown): x is SourceRoutingTable {
    return typeof x === 'object' && x !== null && SOURCE_ROUTING_TABLE in x;
  }

  /**
   * The main table of a host, for static routes back to the clients of a VPN server and for rules
   * that send packets there. Nothing but the declared routes is touched in it.
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

  /** The table's number. */
  public readonly tableId: number;

  /** The table's name, if it has one. */
  public readonly tableName?: string;

  /**
   * @param scope - where in the tree
   * @param id - unique in its scope
   * @param props - machine and number
   * @throws ValidationError if the number or the name is not allowed
   */
  public constructor(scope: Construct, id: string, props: SourceRoutingTableProps) {
    super(scope, id);
    Object.defineProperty(this, SOURCE_ROUTING_TABLE, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    this.host = props.host;
    const isMain = scope === props.host && id === MAIN_ID && props.tableId === MAIN_TABLE_ID;
    this.tableId = args.integer(props.tableId, 'tableId', 0, 4294967295);
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
    this.host._addTable({
      path: this.node.path,
      id: this.tableId,
      name: this.tableName,
      failClosed: props.failClosed ?? true,
      allowedInterfaces: (props.allowedInterfaces ?? []).map((name, index) =>
        args.device(name, `allowedInterfaces[${index}]`),
      ),
    });
    this.host._validate(this);
  }

  /** Address of the host's `apply` resource: makes `dependsOn: [table]` work on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }

  /**
   * Adds a route to the table.
   *
   * @param id - unique in the table
   * @param options - destination and way
   * @throws ValidationError if an argument is wrong or two contradict each other
   */
  public addRoute(id: string, options: RouteOptions): Route {
    new Arguments(this).check(struct({}, 'an object with destination'), options, 'options');
    return new Route(this, id, { table: this, ...options });
  }
}
