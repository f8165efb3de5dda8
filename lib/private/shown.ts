import { Token } from 'cdktf';
import { isListToken } from './tokens';

const MOST_SHOWN = 80;

/** Headers of the key formats, also in base64. */
const KEY_TEXT = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|LS0tLS1CRUdJTi|b3BlbnNzaC1rZXktdjE/;

/** Tells whether a string is the text of a private key. Such a text must not reach a message or the state. */
export function isKeyText(value: string): boolean {
  return KEY_TEXT.test(value);
}

/** A value as messages show it; empty if it is secret or tells nothing. */
export function shown(value: unknown): string {
  if (typeof value === 'string') {
    if (isKeyText(value) || Token.isUnresolved(value)) return '';
    return JSON.stringify(value.length > MOST_SHOWN ? `${value.slice(0, MOST_SHOWN)}...` : value);
  }
  if (typeof value === 'number' || typeof value === 'boolean') {
    return Token.isUnresolved(value) ? '' : String(value);
  }
  if (Array.isArray(value)) {
    return isListToken(value) ? '' : value.length === 0 ? '[]' : `[${value.map(shown).join(', ')}]`;
  }
  return isPlain(value) && Object.keys(value).length === 0 ? '{}' : '';
}

/** The type of a value, with an article. */
export function typeName(value: unknown): string {
  const later = Token.isUnresolved(value) || isListToken(value) ? ' that is known at apply only' : '';
  if (Array.isArray(value)) return `a list${later}`;
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
    return `a ${typeof value}${later}`;
  }
  if (typeof value === 'function') return 'a function';
  if (later) return `a value${later}`;
  const name = isPlain(value) ? '' : (((value as object).constructor as { name?: string } | undefined)?.name ?? '');
  return name === '' ? 'an object' : `${/^[AEIO]/.test(name) ? 'an' : 'a'} ${name}`;
}

/** Tells whether a value is an object of no class. */
export function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === null || prototype === Object.prototype;
}
