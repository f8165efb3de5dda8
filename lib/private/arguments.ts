import { Token } from 'cdktf';
import { Construct } from 'constructs';
import { ValidationError } from '../errors';
import type { Value } from '../model/value';
import {
  InvalidValue,
  addressOfNoMachine,
  isKnown,
  parseAddress,
  parseDevice,
  parseOrigin,
  parsePrefix,
} from '../model/value';
import { ADDRESS, DEVICE, PREFIX } from './kinds';
import type { Kind, OptionalKind, Shape } from './shapes';
import { checkKind, number, options } from './shapes';
import { isOfFleet, literalPart, markFleet } from './tokens';

const KINDS = { prefix: PREFIX, address: ADDRESS, device: DEVICE };
const PARSERS = { prefix: parsePrefix, address: parseAddress, device: parseDevice };

/**
 * Turns a construct's arguments into values of the model, and throws an error for a wrong one.
 *
 * @internal
 */
export class Arguments {
  /** @param scope - the construct, or the call if there is no construct yet */
  public constructor(private readonly scope: Construct | string) {}

  /** Checks the type of a parameter called `name`. */
  public check(kind: Kind | OptionalKind, value: unknown, name: string): void {
    this.attempt(() => checkKind(kind, value, name, typeof this.scope === 'string' ? undefined : this.scope));
  }

  /** Checks the types of an object's properties. */
  public checkOptions<T>(shape: Shape<T>, value: T, name = 'props'): void {
    const ofFleet = namesFleet(value);
    if (typeof this.scope !== 'string' && ofFleet !== undefined) {
      markFleet(this.scope, ofFleet);
    }
    this.check(options(shape), value, name);
  }

  /** Parses a prefix, address or device. A token becomes a deferred value. */
  public value(kind: Value['kind'], text: string, property: string): Value {
    this.check(KINDS[kind], text, property);
    if (Token.isUnresolved(text)) {
      this.checkLiteralPart(text, property);
      return { kind, text, deferredFor: `${this.path}:${property}` };
    }
    return this.attempt(() => PARSERS[kind](text, property));
  }

  /** The address of a next hop, which DHCP (`dhcp4`) or router advertisements (`ra`) may give. */
  public nextHop(text: string, property: string): Value {
    return parseOrigin(text, `${this.path}:${property}`) ?? this.nextHopAddress(text, property);
  }

  /** The address of another machine, to which packets can be sent. */
  public nextHopAddress(text: string, property: string): Value {
    const value = this.value('address', text, property);
    const kind = isKnown(value) ? addressOfNoMachine(value.text) : undefined;
    if (kind !== undefined) {
      throw this.error(
        `${property} "${text}" is ${kind}, so it cannot be a next hop. Give the address of the next hop, or leave it out if there is none.`,
      );
    }
    return value;
  }

  public optional(kind: Value['kind'], text: string | undefined, property: string): Value | undefined {
    return text === undefined ? undefined : this.value(kind, text, property);
  }

  /** Parses an interface name that must be known at synth. */
  public device(name: string, property: string): string {
    this.check(DEVICE, name, property);
    if (Token.isUnresolved(name)) {
      throw this.error(`${property} is known at apply only, but must be known at synth. Give it literally.`);
    }
    return this.attempt(() => parseDevice(name, property)).text;
  }

  /** Parses an integer that must be known at synth. */
  public integer(value: number, property: string, first: number, last: number, hint = ''): number {
    this.check(number(`an integer from ${first} to ${last}`), value, property);
    if (Token.isUnresolved(value)) {
      throw this.error(`${property} is known at apply only, but must be known at synth. Give a number.`);
    }
    if (!Number.isInteger(value) || value < first || value > last) {
      throw this.error(`${property} ${value} is not an integer from ${first} to ${last}.${hint && ` ${hint}`}`);
    }
    return value;
  }

  public optionalInteger(value: number | undefined, property: string, first: number, last: number): number | undefined {
    return value === undefined ? undefined : this.integer(value, property, first, last);
  }

  /** Parses a string that becomes part of a file name, a key or a script. It must be known and of a safe form. */
  public text(value: string, property: string, pattern: RegExp, form: string): string {
    if (Token.isUnresolved(value)) {
      throw this.error(`${property} is known at apply only, but must be known at synth. Give it literally.`);
    }
    if (!pattern.test(value)) {
      throw this.error(`${property} ${JSON.stringify(value)} is not ${form}.`);
    }
    return value;
  }

  /** Checks the text beside a token, which goes into a Terraform expression. Quotes and braces have a meaning there. */
  public checkLiteralPart(text: string, property: string): void {
    const written = literalPart(text);
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
    return new ValidationError(this.path, message);
  }

  private get path(): string {
    return typeof this.scope === 'string' ? this.scope : this.scope.node.path;
  }
}

/** Whether properties are those of a fleet, or name one or its table; undefined if they name no host at all. */
function namesFleet(props: unknown): boolean | undefined {
  const { ssh, forEach, host, table } = (props ?? {}) as Record<string, unknown>;
  const named = host ?? table;
  return Construct.isConstruct(named) ? isOfFleet(named) : ssh === undefined ? undefined : forEach !== undefined;
}
