import { oneLine } from './report/escape';

const VALIDATION_ERROR = Symbol.for('cdktf-source-routing/ValidationError');

/**
 * Helpers to tell the errors of this library from others.
 */
export class Errors {
  /**
   * Tells whether this library threw a caught value because an argument was wrong.
   *
   * @param caught - what was caught
   */
  public static isValidationError(caught: unknown): boolean {
    return typeof caught === 'object' && caught !== null && VALIDATION_ERROR in caught;
  }

  private constructor() {}
}

/**
 * A wrong argument: names the construct, the value and the fix.
 *
 * jsii cannot export a class that extends `Error`; callers use `Errors.isValidationError`.
 *
 * @internal
 */
export class ValidationError extends Error {
  /**
   * @param path - path of the construct that got the argument, or the call if there is no construct yet
   * @param message - what is wrong with which value, and how to fix it
   */
  public constructor(path: string, message: string) {
    // The message holds the wrong value, and may be read in the log of a job.
    super(oneLine(`[${path}] ${message}`));
    this.name = 'ValidationError';
    Object.defineProperty(this, VALIDATION_ERROR, { value: true });
  }
}
