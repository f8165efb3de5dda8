import type { Host } from '../model/host';
import { hostTraffic } from './classes';
import { markdown } from './markdown';
import { svg } from './svg';
import { topology } from './topology';

/** Returns where the packets of a host go, as Markdown with a Mermaid flowchart. */
export function routingReport(host: Host): string {
  return markdown(host, hostTraffic(host));
}

/** Returns where the packets of a host go, as a picture. */
export function drawing(host: Host): string {
  return svg(topology(host, hostTraffic(host)));
}
