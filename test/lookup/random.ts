import { random } from '../random';

/** Random numbers that a seed determines. */
export class Random {
  private readonly next: () => number;

  public constructor(seed: number) {
    this.next = random(seed);
  }

  /** A whole number from 0 up to, but not including, `limit`. */
  public below(limit: number): number {
    return Math.floor(this.next() * limit);
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
