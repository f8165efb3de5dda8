import type { Addresses, Disposition, Intent } from '../model/expectation';
import { labelOf } from '../model/expectation';
import type { Family } from '../model/family';
import { BOTH_FAMILIES, MULTICAST, familyOf } from '../model/family';
import type { Forwarding } from '../model/forwarding';
import type { Interface } from '../model/host';
import { MAIN_TABLE_ID } from '../model/host';
import { networksOf } from '../model/networks';
import type { Route } from '../model/route';
import { isDefaultRoute } from '../model/route';
import { isKnown } from '../model/value';

/**
 * The expectations of NAT routers: packets of clients that come in from the VPN server leave for the Internet, or the
 * router has no way there. There are none for pools and interfaces known at apply only, nor where packets need not get
 * through.
 */
export function expectRouters(
  forwardings: readonly Forwarding[],
  interfaces: readonly Interface[],
  routes: readonly Route[],
): Intent[] {
  const near = nearby(forwardings, interfaces, routes);
  // The same object for all, so that one lookup serves them all.
  const destinations: Readonly<Record<Family, Addresses>> = { 4: internet(near, 4), 6: internet(near, 6) };
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
          destinations: destinations[family],
        },
        dispositions,
        linksDown: [],
        overridable: true,
      })),
    );
  });
}

/** The pools, the networks of the router, and those that it has routes to, such as an office behind another router. */
function nearby(
  forwardings: readonly Forwarding[],
  interfaces: readonly Interface[],
  routes: readonly Route[],
): string[] {
  const pools = forwardings.flatMap(({ clients }) => clients);
  const destinations = routes
    .filter((route) => route.tableId === MAIN_TABLE_ID && !isDefaultRoute(route))
    .map(({ destination }) => destination);
  return [
    ...[...pools, ...destinations].filter(isKnown).map(({ text }) => text),
    ...BOTH_FAMILIES.flatMap((family) => networksOf(interfaces).ofFamily(family)).map(({ text }) => text),
    ...interfaces.flatMap(({ networks = [] }) => networks),
  ];
}

/** All addresses that are not nearby. */
function internet(near: readonly string[], family: Family): Addresses {
  const ofFamily = near.filter((text) => familyOf(text) === family);
  return { within: ['default'], except: [...ofFamily, MULTICAST[family]] };
}
