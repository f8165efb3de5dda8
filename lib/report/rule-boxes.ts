import { prefixBits } from '../fib/bits';
import { KERNEL } from '../fib/machine';
import type { Rule } from '../model/rule';
import { ruleWords } from '../model/rule';
import type { Value } from '../model/value';
import { isKnown } from '../model/value';
import { MOST_ROWS } from './boxes';
import type { HostTraffic } from './classes';
import { groupBy, remembered } from './groups';
import type { Box, Edge, Row } from './picture';
import { valueName } from './placeholders';
import { rulesInOrder } from './rule-order';
import type { TableBoxes } from './table-boxes';
import { plural } from './text';

const MOST_BOXES = 14;

interface RuleBox {
  readonly id: string;
  readonly title: string;
  readonly rules: readonly Rule[];
}

function rowId(boxId: string, texts: readonly string[], index: number): string {
  return texts.length > MOST_ROWS ? boxId : `${boxId}-${index}`;
}

/** The second column of the picture: the rules in order. Rules that do the same share one box. */
export class RuleBoxes {
  private readonly boxes: readonly RuleBox[];
  private readonly rowFor = new Map<Rule, string>();

  public constructor(
    private readonly traffic: HostTraffic,
    private readonly tables: TableBoxes,
  ) {
    this.boxes = this.bounded(this.neighbours()).map((box, index) => ({ ...box, id: `rules${index}` }));
    for (const { id, rules } of this.boxes) {
      const texts = this.textsOf(rules);
      rules.forEach((rule) => this.rowFor.set(rule, rowId(id, texts, texts.indexOf(this.textOf(rule)))));
    }
  }

  /** Returns the row of the rule, or its box if that has so many rows that lines to them would merge. */
  public rowOf(rule: Rule): string {
    return this.rowFor.get(rule) ?? '';
  }

  public draw(edges: readonly Edge[]): Box[] {
    const used = new Set(edges.map(({ to }) => to));
    return this.boxes.map(({ id, title, rules }) => {
      const texts = this.textsOf(rules);
      const shown = texts.length > MOST_ROWS ? texts.slice(0, MOST_ROWS - 2) : texts;
      const more = texts.slice(shown.length);
      const [first, last] = [more[0], more.at(-1)].map((text) => text?.split(' ', 1)[0]);
      const rows = [...shown, ...(more.length > 0 ? [`… ${more.length} more, ${first} to ${last}`] : [])];
      return {
        id,
        title,
        note: rules.every((rule) => 'behind' in rule) ? plural(rules.length, 'guard') : suppressedText(rules),
        rows: rows.map((text, index): Row => {
          return { id: `${id}-${index}`, text, quiet: !used.has(rowId(id, texts, index)) };
        }),
      };
    });
  }

  private textsOf(rules: readonly Rule[]): string[] {
    return [...new Set(rules.map((rule) => this.textOf(rule)))];
  }

  private neighbours(): RuleBox[] {
    const boxes: Array<RuleBox & { readonly rules: Rule[] }> = [];
    for (const rule of rulesInOrder(this.traffic.rules)) {
      const last = boxes.at(-1);
      const title = this.titleOf(rule);
      if (last && last.title === title && (last.rules[0].path === KERNEL) === (rule.path === KERNEL)) {
        last.rules.push(rule);
      } else {
        boxes.push({ id: '', title, rules: [rule] });
      }
    }
    return boxes;
  }

  /** Limits the boxes: merges all rules that do the same, and if that is not enough, all remaining ones. */
  private bounded(boxes: readonly RuleBox[]): readonly RuleBox[] {
    if (boxes.length <= MOST_BOXES) {
      return boxes;
    }
    const merged = groupBy(boxes, ({ title, rules: [{ path }] }) => `${title} ${path === KERNEL}`).map((same) => ({
      ...same[0],
      rules: same.flatMap((each) => each.rules),
    }));
    const rest = merged.slice(MOST_BOXES - 1).flatMap((box) => box.rules);
    return merged.length <= MOST_BOXES
      ? merged
      : [...merged.slice(0, MOST_BOXES - 1), { id: '', title: 'more rules', rules: rest }];
  }

  private titleOf({ action, suppressPrefixLength, suppressInterfaceGroup }: Rule): string {
    const words = [
      action.kind,
      ...(action.kind === 'lookup' ? [this.tables.nameOf(action.tableId)] : []),
      ...(action.kind === 'goto' ? [action.priority] : []),
      // The lengths are in the note, so that rules of both families with different lengths share one box.
      ...(suppressPrefixLength === undefined ? [] : ['suppress_prefixlength']),
      ...(suppressInterfaceGroup === undefined ? [] : [`suppress_ifgroup ${suppressInterfaceGroup}`]),
    ];
    return words.join(' ');
  }

  /** Returns the priority and the selectors of a rule, as `ip rule` prints them. */
  private readonly textOf = remembered((rule: Rule): string => {
    const words = ruleWords({
      ...rule,
      invert: undefined,
      suppressPrefixLength: undefined,
      suppressInterfaceGroup: undefined,
      action: { kind: 'blackhole' },
    }).slice(0, -1);
    const selectors = words.map((word) => (typeof word === 'string' ? word : this.valueText(word)));
    const all = selectors.length === 0 ? ['from', 'all'] : selectors;
    return [rule.priority, ...(rule.invert ? ['not'] : []), ...all].join(' ');
  });

  private valueText(value: Value): string {
    const name = value.kind === 'prefix' && isKnown(value) ? this.traffic.names.get(prefixBits(value.text)) : undefined;
    return name ?? valueName(value, this.traffic.host.path);
  }
}

/** Returns the prefix lengths that the rules of one box suppress. */
function suppressedText(rules: readonly Rule[]): string | undefined {
  const lengths = new Set(rules.map(({ suppressPrefixLength }) => suppressPrefixLength));
  return lengths.has(undefined) ? undefined : [...lengths].join(', ');
}
