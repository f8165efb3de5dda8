/** Where packets end. It sets the colour of a line. */
export type Ending =
  /** They leave through a declared table. */
  | 'egress'
  /** They leave by the default route of the main table. */
  | 'uplink'
  /** Packets of clients leave by the default route of the main table. */
  | 'leak'
  /** They go to a link of the machine, or to the machine itself. */
  | 'local'
  | 'rejected'
  /** They leave through a table that is not fully declared. */
  | 'unknown';

/** A line of text in a box. Lines between boxes begin and end at rows. */
export interface Row {
  readonly id: string;
  readonly text: string;
  /** Less important text at the end of the row. */
  readonly note?: string;
  /** No packet comes here while all links are up. */
  readonly quiet?: boolean;
  readonly ending?: Ending;
}

export interface Box {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly leak?: Leak;
  readonly rows: readonly Row[];
}

/** Packets of clients leave by the default route of the main table. */
export interface Leak {
  readonly label: string;
  readonly onlyIfDown: boolean;
}

export interface Edge {
  /** Ids of rows. */
  readonly from: string;
  readonly to: string;
  readonly ending: Ending;
  /** Packets go here only while some link is down. */
  readonly onlyIfDown: boolean;
}

export interface Column {
  readonly title: string;
  /** Whether the order of the boxes has a meaning. */
  readonly isOrdered?: boolean;
  readonly boxes: readonly Box[];
}

/** Boxes in columns from left to right, and lines between neighbouring columns. */
export interface Picture {
  readonly title: string;
  readonly description: string;
  readonly columns: readonly Column[];
  readonly edges: readonly Edge[];
}

/** The box for packets that go nowhere. */
export const REJECTED = 'rejected';

/** The label of a leak, for readers who cannot see colours. */
export const LEAK = 'LEAK';

/** The dashes of lines that are used only while a link is down. */
export const DASHES = '8 5';

interface LineStyle {
  readonly ending: Ending;
  readonly words: string;
  readonly name: string;
  readonly colour: string;
  readonly width: number;
}

/** The meaning of the lines in words, with colours that work on light and dark backgrounds. */
export const LINE_STYLES: readonly LineStyle[] = [
  {
    ending: 'leak',
    words: `${LEAK}: clients leave by the main default route`,
    name: 'thick red',
    colour: '#e5343d',
    width: 4,
  },
  { ending: 'egress', words: 'through a table declared here', name: 'blue', colour: '#1f7ae0', width: 2 },
  { ending: 'uplink', words: 'by the default route of the main table', name: 'orange', colour: '#e06a0f', width: 2 },
  { ending: 'local', words: 'on a link of the machine', name: 'grey', colour: '#7d8590', width: 2 },
  { ending: 'rejected', words: 'rejected', name: 'purple', colour: '#9a63e8', width: 2 },
  {
    ending: 'unknown',
    words: 'not known: by a table that is not all declared',
    name: 'pink',
    colour: '#d6409f',
    width: 2,
  },
];

export function styleOf(ending: Ending): LineStyle {
  return LINE_STYLES.find((each) => each.ending === ending) ?? LINE_STYLES[0];
}
