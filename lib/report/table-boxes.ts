import { prefixText } from '../fib/bits';
import type { Family } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import type { Rule } from '../model/rule';
import { isRejecting } from '../model/rule';
import { Rows, inOrderOf } from './boxes';
import { groupBy } from './groups';
import type { Box, Edge, Row } from './picture';
import { whenDown } from './tracks';
import type { Way } from './ways';

const MOST_TABLES = 8;

interface TableBox {
  readonly id: string;
  readonly title: string;
  readonly isShared: boolean;
  readonly note?: string;
  readonly rows: Rows;
}

/** The third column of the picture: the tables. Their rows are the routes that packets take. */
export class TableBoxes {
  private readonly boxes = new Map<string, TableBox>();
  private readonly boxFor = new Map<number, string>();

  public constructor(private readonly host: Host) {
    for (const group of this.merged()) {
      const [{ id: first, name }] = group;
      const id = `table${first}`;
      group.forEach((table) => this.boxFor.set(table.id, id));
      const title =
        group.length > 1 ? `${group.length} tables` : name === undefined ? `table ${first}` : `${name} (${first})`;
      const note = group.every(({ failClosed }) => failClosed) ? 'fails closed' : undefined;
      this.add(id, title, { ...(note && { note }), isShared: group.length > 1 });
    }
  }

  /** Returns the name of the table in a rule that looks it up. */
  public nameOf(id: number): string {
    const shared = this.boxes.get(this.sharedBy(id) ?? '');
    const { name = String(id) } = this.host.tables.find((each) => each.id === id) ?? {};
    return shared ? `one of ${shared.title}` : id === MAIN_TABLE_ID ? 'main' : name;
  }

  /** Returns the box that the table shares with other tables, if any. */
  public sharedBy(id: number | undefined): string | undefined {
    const box = id === undefined ? undefined : this.boxFor.get(id);
    return box !== undefined && this.boxes.get(box)?.isShared ? box : undefined;
  }

  /** Returns the box for packets that a rule rejects; it is not a table. */
  public rejecting({ action }: Rule): string {
    return this.add(`action-${action.kind}`, isRejecting(action) ? action.kind : 'no route').id;
  }

  public rowOf(tableId: number, { route, kind, ending }: Way, family: Family): string {
    const title = tableId === MAIN_TABLE_ID ? 'main (254)' : `table ${tableId}`;
    const { rows, isShared } = this.add(this.boxFor.get(tableId) ?? `table${tableId}`, title);
    const destination = route?.destination;
    const text =
      kind === 'unknown'
        ? 'routes not declared here'
        : destination === undefined
          ? '<not known>'
          : destination === ''
            ? 'default'
            : ending === 'local'
              ? 'networks of links'
              : prefixText(destination, family);
    // Many tables reject many pools of other tables, so a shared box shows them in one row.
    return ending === 'rejected'
      ? rows.idOf(`${kind} ${text}`, ending, isShared ? kind : undefined)
      : rows.idOf(text, ending);
  }

  public draw(rules: readonly Box[], edges: readonly Edge[], when: ReadonlyMap<string, string[]>): Box[] {
    const usual = new Set(edges.filter(({ onlyIfDown }) => !onlyIfDown).map(({ from }) => from));
    const boxes = [...this.boxes.values()].map(({ rows, isShared: _, ...box }): Box => {
      const drawn = rows.drawn.map((row): Row =>
        usual.has(row.id) ? row : { ...row, note: whenDown(when.get(row.id) ?? []) },
      );
      const isUsual = ({ note }: Row): boolean => note === undefined;
      return { ...box, rows: [...drawn.filter(isUsual), ...drawn.filter((row) => !isUsual(row))] };
    });
    return inOrderOf(rules, edges, boxes);
  }

  private add(id: string, title: string, rest: Partial<TableBox> = {}): TableBox {
    const make = (): TableBox => ({ id, title, isShared: false, ...rest, rows: new Rows(id, 'routes') });
    return getOrInsertComputed(this.boxes, id, make);
  }

  /** If there are many tables, merges those whose packets leave by the same links. */
  private merged(): Array<Host['tables']> {
    const { tables, routes } = this.host;
    const many = tables.length > MOST_TABLES;
    const links = new Map(
      groupBy(routes, ({ tableId }) => String(tableId)).map((group) => [
        group[0].tableId,
        [...new Set(group.flatMap(({ hops }) => hops.map(({ device, via }) => (device ?? via)?.text)))].sort().join(),
      ]),
    );
    const groups = groupBy(tables, ({ id, failClosed }) => (many ? `${links.get(id)} ${failClosed}` : String(id)));
    return groups.length > MOST_TABLES
      ? [...groups.slice(0, MOST_TABLES - 1), groups.slice(MOST_TABLES - 1).flat()]
      : groups;
  }
}
