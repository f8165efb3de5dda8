import type { Action } from './model/rule';

/**
 * What the kernel does with a packet that matches a rule, other than a lookup in a table.
 *
 * @see https://man7.org/linux/man-pages/man8/ip-rule.8.html
 */
export class RuleAction {
  /** Drops the packet silently. */
  public static blackhole(): RuleAction {
    return new RuleAction({ kind: 'blackhole' });
  }

  /** Drops the packet and answers "network is unreachable". */
  public static unreachable(): RuleAction {
    return new RuleAction({ kind: 'unreachable' });
  }

  /** Drops the packet and answers "communication is administratively prohibited". */
  public static prohibit(): RuleAction {
    return new RuleAction({ kind: 'prohibit' });
  }

  /**
   * Goes on at a later rule.
   *
   * @param priority - priority of that rule, higher than that of this one
   */
  public static goTo(priority: number): RuleAction {
    return new RuleAction({ kind: 'goto', priority });
  }

  private constructor(
    /** @internal */
    public readonly _action: Action,
  ) {}
}
