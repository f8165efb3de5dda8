/** Where packets end: what a line is coloured by. */
export type Fate =
  /** Through a table that is declared. */
  | 'egress'
  /** By the default route of the main table: for packets of clients, a leak. */
  | 'uplink'
  /** On a link of the machine, or to the machine itself. */
  | 'local'
  | 'rejected'
  /** Through a table of which not all is declared. */
  | 'unknown';

/** A line of text in a box, at which lines between boxes begin and end. */
export interface Row {
  readonly id: string;
  readonly text: string;
  /** At the end of the row, less important. */
  readonly note?: string;
  /** No packet comes here while all links are up. */
  readonly quiet?: boolean;
  readonly fate?: Fate;
}

export interface Box {
  readonly id: string;
  readonly title: string;
  readonly note?: string;
  readonly rows: readonly Row[];
}

export interface Edge {
  /** Ids of rows. */
  readonly from: string;
  readonly to: string;
  readonly fate: Fate;
  /** Packets go here only while some link is down. */
  readonly onlyIfDown: boolean;
}

/** Boxes in columns from left to right, and lines between those of neighbouring columns. */
export interface Picture {
  readonly title: string;
  readonly description: string;
  readonly columns: ReadonlyArray<{ readonly title: string; readonly boxes: readonly Box[] }>;
  readonly edges: readonly Edge[];
}

/** The box of what goes nowhere. */
export const REJECTED = 'rejected';

/** What the lines mean, in words and for readers who see both light and dark. */
export const FATES: ReadonlyArray<{
  readonly fate: Fate;
  readonly words: string;
  readonly name: string;
  readonly colour: string;
}> = [
  { fate: 'egress', words: 'through a table declared here', name: 'blue', colour: '#1f7ae0' },
  { fate: 'uplink', words: 'by the default route of the main table', name: 'orange', colour: '#e06a0f' },
  { fate: 'local', words: 'on a link of the machine', name: 'grey', colour: '#7d8590' },
  { fate: 'rejected', words: 'rejected', name: 'purple', colour: '#9a63e8' },
  { fate: 'unknown', words: 'not known: by a table that is not all declared', name: 'pink', colour: '#d6409f' },
];
