import type { Family } from '../model/family';
import type { Host } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import { Rows, inOrderOf } from './boxes';
import type { Box, Edge } from './picture';
import { REJECTED } from './picture';
import { shortName } from './placeholders';
import type { TableBoxes } from './table-boxes';
import { plural } from './text';
import type { Way } from './ways';

const MOST_LINKS = 8;

/** The last column of the picture: the links that packets leave by. Their rows are the next hops. */
export class ExitBoxes {
  private readonly boxes = new Map<string, { readonly title: string; readonly rows: Rows }>();

  public constructor(
    private readonly host: Host,
    private readonly tables: TableBoxes,
  ) {}

  public rowOf({ ending, kind, device, via, tableId }: Way, family: Family): string {
    if (ending === 'rejected') {
      this.add(REJECTED, 'rejected');
      return REJECTED;
    }
    if (kind === 'unknown') {
      const table = tableId === MAIN_TABLE_ID ? 'main' : `table ${tableId}`;
      return this.add(`unknown${tableId}`, 'not declared here').idOf(`routes of ${table}`, ending);
    }
    const { length } = this.host.interfaces;
    const manyOnLink = length > MOST_LINKS && via === undefined && ending === 'local';
    const title = manyOnLink ? plural(length, 'link') : (device ?? '<not known>');
    // Ids of rows end with a digit. The dot keeps the id of a link different from the row of another link.
    const rows = this.add(`link-${title}.`, title);
    return via === undefined
      ? rows.idOf('on the link', ending)
      : rows.idOf(
          `via ${shortName(via, this.host.path)}`,
          ending,
          this.tables.sharedBy(tableId)?.concat(` IPv${family}`),
        );
  }

  public draw(tables: readonly Box[], edges: readonly Edge[]): Box[] {
    const boxes = [...this.boxes].map(([id, { title, rows }]): Box => ({ id, title, rows: rows.drawn }));
    const inOrder = inOrderOf(tables, edges, boxes);
    return [...inOrder.filter(({ id }) => id !== REJECTED), ...inOrder.filter(({ id }) => id === REJECTED)];
  }

  private add(id: string, title: string): Rows {
    return getOrInsertComputed(this.boxes, id, () => ({ title, rows: new Rows(id, 'next hops') })).rows;
  }
}
