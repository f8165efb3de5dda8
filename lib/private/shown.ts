import { Token } from 'cdktf';
import { isListToken } from './tokens';

const MOST_SHOWN = 80;

/** Headers of the formats, and what they begin with in base64. */
const KEY_TEXT = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY|PuTTY-User-Key-File|LS0tLS1CRUdJTi|b3BlbnNzaC1rZXktdjE/;

/** Whether a string is a private key itself: it must get into no message, and no state. */
export function isKeyText(value: string): boolean {
  return KEY_TEXT.test(value);
}

/** A value as messages show it; empty where it is better not shown, or tells nothing. */
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

/** What a value is, with an article. */
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

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value) as unknown;
  return prototype === null || prototype === Object.prototype;
}
