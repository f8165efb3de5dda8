/** Priorities that another program uses. */
interface Band {
  readonly first: number;
  readonly last: number;
  readonly owner: string;
}

/**
 * In order of precedence: a message names the first match.
 *
 * @see https://github.com/tailscale/tailscale/blob/main/wgengine/router (5210-5270; 1310-1370 beside mwan3)
 * @see https://github.com/netbirdio/netbird/pull/4273 (105 and 110)
 * @see https://docs.strongswan.org/docs/latest/features/routeBasedVpn.html (220)
 * @see https://docs.openwrt.melmac.ca/pbr/ (30000 and down)
 */
const BANDS: readonly Band[] = [
  { first: 105, last: 110, owner: 'NetBird' },
  { first: 9, last: 111, owner: 'Cilium' },
  { first: 220, last: 220, owner: 'strongSwan' },
  { first: 1310, last: 1370, owner: 'Tailscale (beside mwan3)' },
  { first: 5210, last: 5270, owner: 'Tailscale' },
  { first: 29900, last: 30000, owner: 'pbr' },
  { first: 32700, last: 32765, owner: 'rules that wg-quick and others add without a priority' },
];

export function foreignBand(priority: number): Band | undefined {
  return BANDS.find((band) => band.first <= priority && priority <= band.last);
}
