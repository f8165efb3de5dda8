/** Random numbers that a seed determines (mulberry32). */
export class Random {
  private state: number;

  public constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** A whole number from 0 up to, but not including, `limit`. */
  public below(limit: number): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit);
  }

  public one<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }

  /** One time in `times`. */
  public chance(times: number): boolean {
    return this.below(times) === 0;
  }

  public maybe<T>(times: number, make: () => T): T | undefined {
    return this.chance(times) ? make() : undefined;
  }

  public times<T>(count: number, make: (index: number) => T): T[] {
    return Array.from({ length: count }, (_, index) => make(index));
  }
}
