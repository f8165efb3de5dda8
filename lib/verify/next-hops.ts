import { familyName } from '../model/family';
import type { Host, Problem } from '../model/host';
import type { Hop, Route } from '../model/route';
import { isBroadcastOf, isInside, isKnown, isLinkLocal } from '../model/value';

export function unreachableNextHops(host: Host): Problem[] {
  return host.routes.flatMap((route) => route.hops.flatMap((hop) => nextHopProblem(host, route, hop)));
}

function nextHopProblem(host: Host, route: Route, hop: Hop): Problem[] {
  const { via, device } = hop;
  const declared =
    device && isKnown(device) ? host.interfaces.find((candidate) => candidate.name === device.text) : undefined;
  if (device && isKnown(device) && !declared && host.interfaces.length > 0) {
    const names = host.interfaces.map((candidate) => candidate.name).join(', ');
    return [
      {
        path: route.path,
        message: `device "${device.text}" is not among the interfaces declared for this host (${names}). Correct the name, or add it to the host's interfaces.`,
      },
    ];
  }
  if (!via || !isKnown(via)) {
    return [];
  }
  if (isLinkLocal(via.text) && !device) {
    return [{ path: route.path, message: `via "${via.text}" is link-local, so it needs a device. Set device.` }];
  }
  // On another link, another machine may have the same address.
  const elsewhere = hop.onLink === true || isLinkLocal(via.text);
  const own = host.interfaces.find(
    ({ name, addresses }) =>
      (!elsewhere || name === device?.text) && addresses.some(({ address }) => address === via.text),
  );
  if (own) {
    return [
      {
        path: route.path,
        message: `via "${via.text}" is this host's own address on "${own.name}". Give the address of the next hop.`,
      },
    ];
  }
  const candidates = declared ? [declared] : device ? [] : host.interfaces;
  const addresses = candidates.flatMap((candidate) => candidate.addresses).filter((a) => a.family === via.family);
  const network = addresses.find((address) => isBroadcastOf(via.text, address));
  if (network) {
    return [
      {
        path: route.path,
        message: `via "${via.text}" is the broadcast address of the network of "${network.text}", so the kernel would refuse the route. Give the address of the next hop.`,
      },
    ];
  }
  if (elsewhere) {
    return [];
  }
  if (candidates.length === 0 || candidates.some((candidate) => candidate.incomplete)) {
    return [];
  }
  if (addresses.some((address) => isInside(via.text, address.text))) {
    return [];
  }
  const where = declared ? `"${declared.name}"` : 'any interface of this host';
  const have = addresses.map((address) => address.text).join(', ') || `no ${familyName(via.family ?? 4)} address`;
  return [
    {
      path: route.path,
      message:
        `via "${via.text}" is not on-link on ${where} (${have}), so the kernel would refuse the route. ` +
        `Correct the address, declare the missing one in the host's interfaces, or set onLink: true.`,
    },
  ];
}

export function foreignSources(host: Host): Problem[] {
  if (host.interfaces.length === 0 || host.interfaces.some((candidate) => candidate.incomplete)) {
    return [];
  }
  const own = host.interfaces.flatMap((candidate) => candidate.addresses.map((address) => address.address));
  return host.routes
    .filter(
      (route) => route.preferredSource && isKnown(route.preferredSource) && !own.includes(route.preferredSource.text),
    )
    .map((route) => ({
      path: route.path,
      message:
        `preferredSource "${route.preferredSource?.text}" is not an address of this host (${own.join(', ')}). ` +
        `Use one of them, or declare it in the host's interfaces.`,
    }));
}
