import type { Host } from '../model/host';
import type { PersistenceRenderer, Rendered } from './persistence';
import { textLines } from './persistence';

/** How long the kernel must agree after boot before the unit is content. */
const SETTLE_SECONDS = 30;

/** Our own systemd unit: works beside any network manager. */
export class ServiceRenderer implements PersistenceRenderer {
  public readonly name = 'service';

  public render(host: Host): Rendered {
    const unit = `source-routing-${host.owner}.service`;
    return {
      files: [{ path: `/etc/systemd/system/${unit}`, mode: '0644', lines: textLines(unitText(host.owner)) }],
      units: [unit],
      requirements: [{ kind: 'systemd' }],
    };
  }

  public problems(): [] {
    return [];
  }
}

/**
 * ExecStartPre runs to its end before the network comes up: rules and unreachable defaults are
 * there before the first packet. ExecStart adds the routes as their interfaces appear, and puts
 * back what systemd-networkd flushes when it starts.
 */
function unitText(owner: string): string {
  const agent = `/bin/sh /var/lib/source-routing/${owner}/agent assert --owner ${owner}`;
  return `# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Source routing (${owner})
DefaultDependencies=no
RequiresMountsFor=/var/lib/source-routing
Conflicts=shutdown.target
After=local-fs.target systemd-sysctl.service
Before=network-pre.target shutdown.target
Wants=network-pre.target

[Service]
Type=simple
RemainAfterExit=yes
ExecStartPre=${agent}
ExecStart=${agent} --settle ${SETTLE_SECONDS}

[Install]
WantedBy=multi-user.target
`;
}
