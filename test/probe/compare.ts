import type { Outcome } from '../../lib/fib/outcome';
import type { Lookup } from '../lookup/compare';
import { realLookup } from '../lookup/compare';
import type { Probed } from './probe';

export interface Disagreement {
  readonly index: number;
  readonly probe: string;
  readonly lookup: readonly string[];
}

/** The packets about which the probe says something that the lookup does not foresee. */
export function disagreements({ description, packets, said }: Probed, lookup: Lookup = realLookup): Disagreement[] {
  const look = lookup(description);
  return packets.flatMap((packet, index) => {
    const probe = said[index].replace(/^(are not routed)[:,] .*/, '$1');
    const foreseen = [...new Set(look(packet).flatMap(foretold))];
    return foreseen.includes(probe) ? [] : [{ index, probe: said[index], lookup: foreseen }];
  });
}

/** The words of the probe for an outcome. Routing drops a packet that fails a check of its source. */
function foretold({ kind, device, source = 'passes' }: Outcome): string[] {
  if (source === 'unknown') return [...foretold({ kind, device }), 'are not routed'];
  if (source !== 'passes') return ['are not routed'];
  switch (kind) {
    case 'unicast':
      return [`leave by ${device}`];
    case 'local':
    case 'anycast':
    case 'broadcast':
      return ['reach this machine'];
    default:
      return ['are not routed'];
  }
}
