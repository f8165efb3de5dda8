import type { Host } from '../model/host';
import { EVERYTHING } from './capabilities';
import type { HostFile, PersistenceRenderer, Rendered } from './persistence';
import { textLines } from './persistence';

/** Our own systemd unit: works beside any network manager. */
export class ServiceRenderer implements PersistenceRenderer {
  public readonly name = 'service';
  public readonly call = 'Persistence.service()';
  public readonly routeProtocol = 'own';
  public readonly capabilities = EVERYTHING;

  public render(host: Host): Rendered {
    const { name, file } = watchUnit(host);
    return { devices: [], files: [file], units: [{ name }], requirements: [{ kind: 'systemd' }] };
  }

  public problems(): [] {
    return [];
  }
}

/**
 * The unit that keeps the kernel as declared. Every persistence has it: no network manager rejects packets while a link
 * is down, and some never restore what the link lost.
 */
export function watchUnit(host: Host): { readonly name: string; readonly file: HostFile } {
  const name = `source-routing-${host.owner}.service`;
  return { name, file: { path: `/etc/systemd/system/${name}`, mode: '0644', lines: textLines(unitText(host)) } };
}

/**
 * ExecStartPre ends before the network comes up, so rules and unreachable routes exist before the first packet. If it
 * fails to set something, the watch must run all the same. It has no sandbox: at that point of a boot, others still
 * mount and unmount, and sometimes systemd then fails to set a sandbox up.
 *
 * ExecStart adds the routes as their interfaces appear, and puts back what something takes away. It needs only netlink,
 * its state, and a place for the lock, which is directly in /run. TMPDIR: an old bash writes here-documents there. Not
 * ProtectProc: the holder of the lock would seem to be gone.
 *
 * @see https://github.com/systemd/systemd/issues/33127
 */
function unitText({ owner, forwardings, routes }: Host): string {
  // iptables-legacy asks the kernel through a raw socket.
  const iptables = forwardings.some(({ chains }) => chains.some(({ program }) => program === 'iptables'));
  // A next hop that changes is put down in the state.
  const follows = routes.some(({ hops }) => hops.some(({ via }) => via?.isFollowed));
  const agent = `/bin/sh /var/lib/source-routing/${owner}/agent`;
  return `# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Source routing (${owner})
DefaultDependencies=no
RequiresMountsFor=/var/lib/source-routing
Conflicts=shutdown.target
After=local-fs.target systemd-sysctl.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
StartLimitIntervalSec=0

[Service]
Type=simple
ExecStartPre=-+${agent} assert --owner ${owner}
ExecStart=${agent} watch --owner ${owner}
Restart=always
RestartSec=1
RuntimeDirectory=source-routing-${owner}
RuntimeDirectoryMode=0700
Environment=TMPDIR=/run/source-routing-${owner}
UMask=0077
TasksMax=64
CapabilityBoundingSet=CAP_NET_ADMIN${iptables ? ' CAP_NET_RAW' : ''}
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run${follows ? ` /var/lib/source-routing/${owner}` : ''}
ProtectHome=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX${iptables ? ' AF_INET AF_INET6' : ''}
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
IPAddressDeny=any

[Install]
WantedBy=multi-user.target
`;
}
