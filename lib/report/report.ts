import { hasDeferredValues } from '../model/canonical-form';
import type { Host } from '../model/host';
import { LimitedMap, getOrInsertComputed } from '../model/maps';
import { hostTraffic } from './classes';
import { heading, markdown } from './markdown';
import { svg } from './svg';
import { topology } from './topology';

/** The reports of hosts without their headings, by the canonical forms of the hosts. */
const reports = new LimitedMap<string, string>();

/** Returns where the packets of a host go, as Markdown with a Mermaid flowchart. */
export function routingReport(host: Host): string {
  return heading(host) + markdown(host, hostTraffic(host));
}

/**
 * The same, made once for all hosts that routing cannot distinguish.
 *
 * @param form - the canonical form of the host
 * @param same - the host, as it is to be read
 */
export function sharedReport(host: Host, form: string, same: () => Host): string {
  if (hasDeferredValues(form)) {
    return routingReport(same());
  }
  const make = (): string => {
    const read = same();
    return markdown(read, hostTraffic(read));
  };
  return heading(host) + getOrInsertComputed(reports, form, make);
}

/** Returns where the packets of a host go, as a picture. */
export function drawing(host: Host): string {
  return svg(topology(host, hostTraffic(host)));
}
