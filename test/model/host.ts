import type { Host } from '../../lib/model/host';

/** A host of the model with nothing but what is given. */
export function modelHost(more: Partial<Host> = {}): Host {
  return {
    path: 'stack/host',
    owner: 'vpn',
    interfaces: [],
    management: { hostKeyPinned: true, bastion: false },
    tables: [],
    rules: [],
    routes: [],
    discards: [],
    markings: [],
    forwardings: [],
    translations: [],
    hooks: [],
    intents: [],
    expectations: [],
    ...more,
  };
}
