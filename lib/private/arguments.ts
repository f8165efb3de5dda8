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
      this.checkLiteralPart(text, property);
      return { kind, text, deferredFor: `${this.scope.node.path}:${property}` };
    }
    return this.attempt(() => PARSERS[kind](text, property));
  }

  public optional(kind: Value['kind'], text: string | undefined, property: string): Value | undefined {
    return text === undefined ? undefined : this.value(kind, text, property);
  }

  /** An interface name that must be known at synth time. */
  public device(name: string, property: string): string {
    if (Token.isUnresolved(name)) {
      throw this.error(`${property} is known at apply only; it must be known at synth time. Give it literally.`);
    }
    return this.attempt(() => parseDevice(name, property)).text;
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

  /** The elements of a list that must be known, though each of them may be a token. */
  public list<T>(values: readonly T[], property: string): readonly T[] {
    if (Token.isUnresolved(values)) {
      throw this.error(
        `${property} is a list that is known at apply only; how many there are must be known at synth time. ` +
          'Give its elements, for example with Fn.element(list, 0).',
      );
    }
    return values;
  }

  /** What is written beside a token goes into a Terraform expression, where quotes and braces count. */
  public checkLiteralPart(text: string, property: string): void {
    const written = text.replace(/\$\{TfToken\[[^\]]*\]\}/g, '');
    if (/["\\${}%\u0000-\u001f\u007f]/.test(written)) {
      throw this.error(
        `${property} has ${JSON.stringify(written)} beside a value that is known at apply only. ` +
          'Leave out quotes, braces, "$", "%" and control characters there.',
      );
    }
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
