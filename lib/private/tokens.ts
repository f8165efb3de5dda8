import { DefaultTokenResolver, StringConcat, Token, Tokenization } from 'cdktf';
import type { Construct, IConstruct } from 'constructs';

const ITERATOR = /\b(each\.(key|value)|count\.index)\b/;

/** The marker of a list token, in its only visible element. */
const LIST = '#{TfToken[';

/** Tells whether a list is a token as a whole, even if it was spread into another list. */
export function isListToken(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    (Token.isUnresolved(value) || value.some((each) => typeof each === 'string' && each.includes(LIST)))
  );
}

/** The text beside the tokens of a string. */
export function literalPart(text: string): string {
  return text.replace(/\$\{TfToken\[[^\]]*\]\}/g, '');
}

/** The Terraform expression of a token; empty if it is not known yet. */
export function expressionOf(value: unknown, scope: Construct): string {
  if (!Token.isUnresolved(value)) {
    return '';
  }
  try {
    // Not "preparing": that would note the references for the other stack.
    const resolved = Tokenization.resolve(value, {
      scope,
      resolver: new DefaultTokenResolver(new StringConcat()),
      preparing: false,
    }) as unknown;
    return typeof resolved === 'string' ? resolved : '';
  } catch {
    // A lazy value may depend on later declarations.
    return '';
  }
}

/** Tells whether a token is the current value of a TerraformIterator or TerraformCount. */
export function isIteratorValue(value: unknown, scope: Construct): boolean {
  return ITERATOR.test(expressionOf(value, scope).replace(/"[^"$]*"/g, ''));
}

/** The constructs whose resources have one instance for each machine. */
const fleets = new WeakSet<IConstruct>();

/** Lets a construct, and those inside it, have values of the iterator of its host. */
export function allowIteratorValues(construct: IConstruct): void {
  fleets.add(construct);
}

export function mayHaveIteratorValues(construct: IConstruct): boolean {
  return construct.node.scopes.some((each) => fleets.has(each));
}
