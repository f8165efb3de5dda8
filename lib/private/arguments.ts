import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { ValidationError } from '../errors';
import type { Value } from '../model/value';
import { InvalidValue, parseAddress, parseDevice, parsePrefix } from '../model/value';

const PARSERS = { prefix: parsePrefix, address: parseAddress, device: parseDevice };

/**
 * Turns a construct's arguments into values of the model, and says what is wrong with them.
 *
 * @internal
 */
export class Arguments {
  public constructor(private readonly scope: Construct) {}

  /** A prefix, address or device; a token becomes a deferred value. */
  public value(kind: Value['kind'], text: string, property: string): Value {
    if (Token.isUnresolved(text)) {
      return { kind, text, deferredFor: `${this.scope.node.path}:${property}` };
    }
    return this.attempt(() => PARSERS[kind](text, property));
  }

  public optional(kind: Value['kind'], text: string | undefined, property: string): Value | undefined {
    return text === undefined ? undefined : this.value(kind, text, property);
  }

  /** An integer that must be known at synth time. */
  public integer(value: number, property: string, first: number, last: number, hint = ''): number {
    if (Token.isUnresolved(value)) {
      throw this.error(`${property} is known at apply only; it must be known at synth time. Give a number.`);
    }
    if (!Number.isInteger(value) || value < first || value > last) {
      throw this.error(`${property} ${value} is not an integer from ${first} to ${last}.${hint && ` ${hint}`}`);
    }
    return value;
  }

  public optionalInteger(value: number | undefined, property: string, first: number, last: number): number | undefined {
    return value === undefined ? undefined : this.integer(value, property, first, last);
  }

  /** A string that becomes part of a file name, a key or a script: known, and of a safe form. */
  public text(value: string, property: string, pattern: RegExp, form: string): string {
    if (Token.isUnresolved(value)) {
      throw this.error(`${property} is known at apply only; it must be known at synth time. Give it literally.`);
    }
    if (!pattern.test(value)) {
      throw this.error(`${property} ${JSON.stringify(value)} is not ${form}.`);
    }
    return value;
  }

  public attempt<T>(parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (error instanceof InvalidValue) {
        throw this.error(error.message);
      }
      throw error;
    }
  }

  public error(message: string): Error {
    return new ValidationError(this.scope, message);
  }
}
