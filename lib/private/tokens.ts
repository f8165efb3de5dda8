import { DefaultTokenResolver, StringConcat, Token, Tokenization } from 'cdktf';
import type { Construct } from 'constructs';

const ITERATOR = /\b(each\.(key|value)|count\.index)\b/;

/** The mark of a list that is a token, in the only element that it seems to have. */
const LIST = '#{TfToken[';

/** Whether a list as a whole is a token, also where it was spread into another. */
export function isListToken(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    (Token.isUnresolved(value) || value.some((each) => typeof each === 'string' && each.includes(LIST)))
  );
}

/** What is written beside the tokens in a string. */
export function literalPart(text: string): string {
  return text.replace(/\$\{TfToken\[[^\]]*\]\}/g, '');
}

/** What Terraform will read for a token, as far as that is known already; empty where it is not. */
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
    // A lazy value may need what is declared later.
    return '';
  }
}

/** Whether a token is what a TerraformIterator or TerraformCount stands at. */
export function isIteratorValue(value: unknown, scope: Construct): boolean {
  return ITERATOR.test(expressionOf(value, scope).replace(/"[^"$]*"/g, ''));
}
