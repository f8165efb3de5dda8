import type { Host } from '../model/host';
import { journeysOf } from './journeys';
import { markdown } from './markdown';
import { svg } from './svg';
import { topology } from './topology';

/** Where the packets of a host go, in Markdown with a Mermaid flowchart. */
export function routingReport(host: Host): string {
  return markdown(host, journeysOf(host));
}

/** The same as a picture. */
export function drawing(host: Host): string {
  return svg(topology(host, journeysOf(host)));
}
