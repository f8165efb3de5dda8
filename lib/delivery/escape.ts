/**
 * The one place that knows Terraform's template syntax. In every string of `cdk.tf.json`, `${`
 * and `%{` start a template, and cdktf escapes neither.
 */

/** Escapes text that Terraform must take literally. */
export function literal(text: string): string {
  return text.replace(/\$\{/g, '$$${').replace(/%\{/g, '%%{');
}

/** Tells whether Terraform would evaluate a part of a text. */
export function isTemplate(text: string): boolean {
  return /[$%]\{/.test(text);
}

/**
 * The resources and modules that a text refers to, as `depends_on` names them. It leaves out references without
 * anything to wait for: variables, locals, data sources and iterators.
 */
export function referencedResources(text: string): string[] {
  const names = expressionsIn(text).matchAll(/(?<![\w.-])(module|[A-Za-z][A-Za-z0-9]*_[\w-]+)\.([A-Za-z_][\w-]*)/g);
  return [...new Set([...names].map(([name]) => name))];
}

/** The expressions in a text, without their strings, but with the expressions inside these strings. */
function expressionsIn(text: string): string {
  let expressions = '';
  const enclosing: string[] = [];
  for (const [part] of text.matchAll(/\$\$\{|%%\{|[$%]\{|\\.|["{}]|[^$%\\"{}]+|[^]/g)) {
    const inString = enclosing.at(-1) !== '{';
    if (inString ? /^[$%]\{$/.test(part) : part === '{') {
      enclosing.push('{');
    } else if (part === (inString ? '"' : '}')) {
      enclosing.pop();
    } else if (!inString && part === '"') {
      enclosing.push('"');
    }
    expressions += inString || /["{}]/.test(part) ? ' ' : part;
  }
  return expressions;
}

/** A quoted string inside a Terraform expression. */
export function quoted(text: string): string {
  const escaped = literal(text)
    .replace(/[\\"]/g, '\\$&')
    .replace(/[\u0000-\u001f\u007f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return `"${escaped}"`;
}

/** A Terraform expression that is the whole of a string. */
export function expression(text: string): string {
  return '${' + text + '}';
}
