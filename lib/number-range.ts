/**
 * A range of ports or user ids, both ends included.
 */
export class NumberRange {
  /**
   * One number.
   *
   * @param value - the number
   */
  public static of(value: number): NumberRange {
    return new NumberRange(value, value);
  }

  /**
   * All numbers from one to another.
   *
   * @param first - the lowest
   * @param last - the highest
   */
  public static between(first: number, last: number): NumberRange {
    return new NumberRange(first, last);
  }

  private constructor(
    /** The lowest number. */
    public readonly first: number,
    /** The highest number. */
    public readonly last: number,
  ) {}
}
