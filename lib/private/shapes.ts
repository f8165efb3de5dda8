import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { InvalidValue } from '../model/value';
import { nearest } from './nearest';
import { isKeyText, isPlain, shown, typeName } from './shown';
import { isListToken, isOfFleet, iteratorOf } from './tokens';

/**
 * The type of a value at run time. The compiler does not check callers in JavaScript or Python, or values from the
 * environment or a file.
 */
interface AnyKind {
  /** The wanted value with an article, as messages show it. */
  readonly wanted: string;
  /** Whether it is a string, which can be a token. */
  readonly isText?: boolean;
  /** Throws `InvalidValue`; the value is neither undefined nor null. */
  readonly check: (value: unknown, property: string, scope: Construct | undefined) => void;
}

export interface Kind extends AnyKind {
  readonly optional: false;
}

export interface OptionalKind extends AnyKind {
  readonly optional: true;
}

/** The kinds of all properties. A property that is optional in T is optional here. */
export type Shape<T> = { readonly [P in keyof T]-?: undefined extends T[P] ? OptionalKind : Kind };

/** Throws `InvalidValue` if a value has the wrong type. */
export function checkKind(
  { optional: isOptional, wanted, check }: Kind | OptionalKind,
  value: unknown,
  property: string,
  scope: Construct | undefined,
): void {
  if (value === undefined && isOptional) {
    return;
  }
  if (value === undefined || value === null) {
    throw new InvalidValue(
      `${property} is ${String(value)}. ${isOptional ? 'Leave it out, or give' : 'Give'} ${wanted}; ` +
        'if it comes from the environment or a file, it is missing there.',
    );
  }
  check(value, property, scope);
}

/**
 * Checks the types of all properties of an options object, and that it has no others.
 *
 * @param others - whether it may have others, unless they look like a misspelt one
 */
export function checkShape<T>(
  shape: Shape<T>,
  value: object,
  prefix: string,
  scope: Construct | undefined,
  others = false,
): void {
  refuseOthers(Object.keys(shape), value, prefix, others);
  for (const [name, kind] of Object.entries<Kind | OptionalKind>(shape)) {
    checkKind(kind, (value as Record<string, unknown>)[name], prefix + name, scope);
  }
}

/**
 * An option that nobody reads would be missed silently, since the compiler does not check objects from a file. An
 * instance of a class may have members of its own.
 */
function refuseOthers(names: readonly string[], value: object, prefix: string, others: boolean): void {
  const given = isPlain(value) ? Object.entries(value).filter(([, each]) => each !== undefined) : [];
  for (const [name] of given.filter(([name]) => !names.includes(name))) {
    const meant = nearest(name, names);
    if (meant !== undefined || !others) {
      const text = prefix + (/^\w+$/.test(name) ? name : shown(name));
      throw new InvalidValue(
        `${text} is not a property that exists. ${meant === undefined ? 'Correct its name, or leave it out.' : `Did you mean ${meant}?`}`,
      );
    }
  }
}

export function optional(kind: Kind): OptionalKind {
  return { ...kind, optional: true };
}

/** A string that is not empty. Tokens are allowed. */
export function text(wanted: string): Kind {
  const kind = kindOf(wanted, (value, property, scope) => {
    const name = checkString(value, property, wanted);
    if (isKeyText(name)) {
      throw new InvalidValue(`${property} is the text of a private key, which is not shown here. Give ${wanted}.`);
    }
    if (name !== name.trim()) {
      throw new InvalidValue(
        `${property}${shown(name) && ` ${shown(name)}`} has a blank or a line break at its start or end. ` +
          (shown(name) ? `Did you mean ${shown(name.trim())}?` : 'Leave that out.'),
      );
    }
    refuseIterator(name, property, scope);
  });
  return { ...kind, isText: true };
}

/** A string that no message shows. */
export function secret(wanted: string): Kind {
  return kindOf(wanted, (value, property, scope) => {
    if (typeof value !== 'string') {
      throw new InvalidValue(`${property} is ${typeName(value)}, not a string. Give ${wanted}.`);
    }
    refuseIterator(checkString(value, property, wanted), property, scope);
  });
}

/** Any number. Tokens are allowed. */
export function number(wanted: string): Kind {
  return kindOf(wanted, (value, property, scope) => {
    if (typeof value !== 'number') {
      throw mismatch(property, value, 'a number', wanted);
    }
    refuseIterator(value, property, scope);
  });
}

export const FLAG: Kind = kindOf('true or false', (value, property) => {
  if (typeof value !== 'boolean') {
    throw mismatch(property, value, 'true or false', 'one of the two, without quotes');
  }
});

/** A list of known length. Its elements may be tokens. */
export function list(element: Kind, wanted: string): Kind {
  return kindOf(wanted, (value, property, scope) => {
    if (isListToken(value)) {
      throw new InvalidValue(
        `${property} is a list that is known at apply only, but its length must be known at synth. ` +
          (element.isText ? 'Give its elements, for example Fn.element(list, 0).' : `Give ${wanted}.`),
      );
    }
    if (!Array.isArray(value)) {
      throw mismatch(property, value, 'a list', wanted);
    }
    // forEach would skip elements that were never set.
    for (let index = 0; index < value.length; index++) {
      checkKind(element, value[index], `${property}[${index}]`, scope);
    }
  });
}

/** A member of an enum. */
export function member(enumName: string, members: Readonly<Record<string, string>>): Kind {
  const names = Object.keys(members).map((name) => `${enumName}.${name}`);
  const wanted = names.join(' or ');
  return kindOf(wanted, (value, property) => {
    if (Object.values(members).includes(value as string)) {
      return;
    }
    if (typeof value !== 'string') {
      throw mismatch(property, value, article(enumName), wanted);
    }
    const meant = Object.keys(members).find((name) =>
      [name, members[name]].some((each) => each?.toLowerCase() === value.toLowerCase()),
    );
    throw new InvalidValue(
      `${property} ${shown(value)} is a string, not ${article(enumName)}. ` +
        (meant === undefined ? `Give ${wanted}.` : `Did you mean ${enumName}.${meant}?`),
    );
  });
}

/**
 * An instance of a class, also of another copy of this library. A member that only this class has identifies it.
 *
 * @param has - a member of the class
 */
export function instance<T extends object>(className: string, has: keyof T & string, wanted: string): Kind {
  return kindOf(wanted, (value, property) => {
    if (typeof value !== 'object' || value === null || !(has in value)) {
      throw mismatch(property, value, article(className), wanted);
    }
  });
}

/** A construct of this library, identified by the symbol that its `isX` uses. */
export function construct(className: string): Kind {
  const wanted = article(className);
  const symbol = Symbol.for(`cdktf-source-routing/${className}`);
  return kindOf(wanted, (value, property) => {
    if (typeof value !== 'object' || value === null || !(symbol in value)) {
      throw mismatch(property, value, wanted, 'the construct itself');
    }
  });
}

/** An options object in another. */
export function struct<T>(shape: Shape<T>, wanted: string, others = false): Kind {
  return kindOf(wanted, (value, property, scope) => {
    checkShape(shape, checkObject(value, property, wanted), `${property}.`, scope, others);
  });
}

/** Some properties of an object that has more. */
export function partOf<T>(shape: Shape<T>, wanted: string): Kind {
  return struct(shape, wanted, true);
}

/** The options of a constructor or method, whose properties are named without a prefix. */
export function options<T>(shape: Shape<T>): Kind {
  const needed = Object.entries<Kind | OptionalKind>(shape).flatMap(([name, kind]) => (kind.optional ? [] : [name]));
  const wanted = needed.length === 0 ? 'an object' : `an object with ${needed.join(', ')}`;
  return kindOf(wanted, (value, property, scope) => {
    checkShape(shape, checkObject(value, property, wanted), '', scope);
  });
}

function kindOf(wanted: string, check: AnyKind['check']): Kind {
  return { optional: false, wanted, check };
}

function checkString(value: unknown, property: string, wanted: string): string {
  if (typeof value !== 'string') {
    throw isListToken(value) || Array.isArray(value) || typeof value !== 'object' || !Token.isUnresolved(value)
      ? mismatch(property, value, 'a string', wanted)
      : new InvalidValue(`${property} is known at apply only, and is not a string. Wrap it: Token.asString(...).`);
  }
  if (value === '') {
    throw new InvalidValue(`${property} "" is empty. Give ${wanted}.`);
  }
  if (isListToken([value])) {
    throw new InvalidValue(
      `${property} is a whole list that is known at apply only. Give one of its elements: Fn.element(list, 0).`,
    );
  }
  return value;
}

function checkObject(value: unknown, property: string, wanted: string): object {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || Token.isUnresolved(value)) {
    throw mismatch(property, value, 'an object', wanted);
  }
  return value;
}

function refuseIterator(value: unknown, property: string, scope: Construct | undefined): void {
  if (!scope) {
    return;
  }
  const iterator = iteratorOf(value, scope);
  if (iterator === 'count' || (iterator === 'each' && !isOfFleet(scope))) {
    throw new InvalidValue(
      `${property} is a value of a TerraformIterator or TerraformCount, which has a value only in a resource with forEach or count. ` +
        'Give a TerraformIterator as forEach of the LinuxHost, or declare one host for each machine in a loop of the program.',
    );
  }
}

function mismatch(property: string, value: unknown, type: string, wanted: string): InvalidValue {
  const value_ = shown(value);
  return new InvalidValue(
    `${property}${value_ && ` ${value_}`} is ${typeName(value)}, not ${type}. Give ${wanted}${numberHint(value, type)}.`,
  );
}

/** Values from the environment are strings. */
function numberHint(value: unknown, type: string): string {
  return type === 'a number' && typeof value === 'string' && /^\d+$/.test(value) ? `, without quotes: ${value}` : '';
}

function article(name: string): string {
  return `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
}
