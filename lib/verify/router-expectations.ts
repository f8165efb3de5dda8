import type { Addresses, Disposition, Intent } from '../model/expectation';
import { labelOf } from '../model/expectation';
import type { Family } from '../model/family';
import { MULTICAST, familyOf } from '../model/family';
import type { Forwarding } from '../model/forwarding';
import type { Interface } from '../model/host';
import { networksOf } from '../model/networks';
import { isKnown } from '../model/value';

/**
 * The expectations of NAT routers: packets of clients that come in from the VPN server leave for the Internet, or the
 * router has no way there. There are none for pools and interfaces known at apply only, nor where packets need not get
 * through.
 */
export function expectRouters(forwardings: readonly Forwarding[], interfaces: readonly Interface[]): Intent[] {
  return forwardings.flatMap((forwarding) => {
    const { path, device, clients, required, inputs = [] } = forwarding;
    if (!required || ![device, ...clients, ...inputs].every(isKnown)) {
      return [];
    }
    // The line of the router may have no IPv6, or be down.
    const dispositions: Disposition[] = [{ kind: 'unicast', device }, { kind: 'rejected' }];
    return inputs.flatMap((input) =>
      clients.map(({ text, family = familyOf(text) }, index): Intent => ({
        path,
        label: labelOf(path, `leave-${index + 1}`),
        traffic: {
          family,
          inputInterface: input.text,
          sources: { within: [text], except: [] },
          destinations: internet(forwarding, interfaces, family),
        },
        dispositions,
        linksDown: [],
        overridable: true,
      })),
    );
  });
}

/** All addresses outside the pools, the networks of the router, and those that it has routes to. */
function internet({ clients }: Forwarding, interfaces: readonly Interface[], family: Family): Addresses {
  const near = [
    ...clients.map(({ text }) => text),
    ...networksOf(interfaces)
      .ofFamily(family)
      .map(({ text }) => text),
    ...interfaces.flatMap(({ networks = [] }) => networks),
  ].filter((text) => familyOf(text) === family);
  return { within: ['default'], except: [...near, MULTICAST[family]] };
}
