import type { Host } from './host';
import { getOrInsertComputed, oncePerObject } from './maps';
import type { Value } from './value';

/**
 * A text that hosts share if routing cannot distinguish them: they differ in nothing but the names of their constructs,
 * the numbers of their tokens, and how Terraform reaches them.
 */
export const canonicalForm = oncePerObject((host: Host): string => {
  const names = new Map<string, string>();
  const nameOf = (text: string): string => getOrInsertComputed(names, text, () => `${names.size}`);
  // A construct and those inside it keep their relation.
  const pathOf = (path: string): string => {
    const ids = path.split('/');
    return ids.map((_, index) => nameOf(ids.slice(0, index + 1).join('/'))).join('/');
  };
  const isOwn = host.interfaces.some(({ addresses }) =>
    addresses.some(({ address }) => address === host.management.host),
  );
  const compared = { ...host, owner: undefined, management: isOwn ? host.management.host : undefined };
  return JSON.stringify(compared, (key, value: unknown) => {
    if (key === 'path') {
      return pathOf(String(value));
    }
    if (key === 'label' || key === 'deferredFor') {
      return nameOf(String(value));
    }
    if (typeof value === 'object' && value !== null && 'deferredFor' in value && 'text' in value) {
      return { ...value, text: nameOf(String(value.text)) };
    }
    return value;
  });
});

/**
 * What gives the values of a host that are known at apply only, and the token of each. What the machine itself follows
 * is not among them.
 */
export const deferredSources = oncePerObject((host: Host): ReadonlyMap<string, string> => {
  const sources = new Map<string, string>();
  JSON.stringify(host, (_, value: unknown) => {
    const { deferredFor, isFollowed, text } = (value ?? {}) as Partial<Value>;
    if (typeof deferredFor === 'string' && typeof text === 'string' && isFollowed !== true) {
      sources.set(deferredFor, text);
    }
    return value;
  });
  return sources;
});

/** Whether a host has values that are known at apply only. What is told of these names their constructs. */
export function hasDeferredValues(form: string): boolean {
  return form.includes('"deferredFor"');
}
