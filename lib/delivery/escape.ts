/**
 * The one place that knows Terraform's template syntax. In every string of `cdk.tf.json`, `${`
 * and `%{` start a template, and cdktf escapes neither.
 */

/** Text that Terraform is to take as it is. */
export function literal(text: string): string {
  return text.replace(/\$\{/g, '$$${').replace(/%\{/g, '%%{');
}

/** Whether Terraform would find something to evaluate in a text. */
export function isTemplate(text: string): boolean {
  return /[$%]\{/.test(text);
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
