import { oneLine } from './report/escape';

const VALIDATION_ERROR = Symbol.for('cdktf-source-routing/ValidationError');

/**
 * Helpers to tell the errors of this library from others.
 */
export class Errors {
  /**
   * Whether a caught value is an error that this library threw because an argument was wrong.
   *
   * @param caught - what was caught
   */
  public static isValidationError(caught: unknown): boolean {
    return typeof caught === 'object' && caught !== null && VALIDATION_ERROR in caught;
  }

  private constructor() {}
}

/**
 * A wrong argument: names the construct, the value and the mend.
 *
 * jsii cannot export a class that extends `Error`; callers use `Errors.isValidationError`.
 *
 * @internal
 */
export class ValidationError extends Error {
  /**
   * @param path - that of the construct that got the argument, or the call where there is none yet
   * @param message - what is wrong with which value, and how to mend it
   */
  public constructor(path: string, message: string) {
    // The wrong value is in it, and the log of a job may be where it is read.
    super(oneLine(`[${path}] ${message}`));
    this.name = 'ValidationError';
    Object.defineProperty(this, VALIDATION_ERROR, { value: true });
  }
}
