import { DefaultTokenResolver, StringConcat, Token, Tokenization } from 'cdktf';
import type { Construct, IConstruct } from 'constructs';

const ITERATOR = /\b(each|count)\.(?:key|value|index)\b/;

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

/** Whose current value a token is: of a `TerraformIterator`, which `forEach` takes, or of a `TerraformCount`. */
export function iteratorOf(value: unknown, scope: Construct): 'each' | 'count' | undefined {
  const [, name] = ITERATOR.exec(expressionOf(value, scope).replace(/"[^"$]*"/g, '')) ?? [];
  return name as 'each' | 'count' | undefined;
}

/** Marks constructs. A symbol, since another copy of this library may have made them. */
const OF_FLEET = Symbol.for('cdktf-source-routing/ofFleet');

/** Notes whether a construct, and those inside it, may have values of the iterator of a host. */
export function markFleet(construct: IConstruct, isOfFleet: boolean): void {
  Object.defineProperty(construct, OF_FLEET, { value: isOfFleet });
}

export function isOfFleet(construct: IConstruct): boolean {
  const marked = [...construct.node.scopes].reverse().find((each) => OF_FLEET in each);
  return marked !== undefined && (marked as unknown as Record<symbol, boolean>)[OF_FLEET];
}
