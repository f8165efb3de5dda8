import type { Host } from '../model/host';
import { EVERYTHING } from './capabilities';
import type { HostFile, PersistenceRenderer, Rendered } from './persistence';
import { textLines } from './persistence';

/** Our own systemd unit: works beside any network manager. */
export class ServiceRenderer implements PersistenceRenderer {
  public readonly name = 'service';
  public readonly call = 'Persistence.service()';
  public readonly tag = 'own';
  public readonly capabilities = EVERYTHING;

  public render(host: Host): Rendered {
    const { name, file } = watchUnit(host.owner);
    return { devices: [], files: [file], units: [{ name }], requirements: [{ kind: 'systemd' }] };
  }

  public problems(): [] {
    return [];
  }
}

/**
 * The unit that keeps the kernel as it was declared. Every persistence has it: what a link takes along
 * when it goes down, no network manager holds back meanwhile, and some never bring it back.
 */
export function watchUnit(owner: string): { readonly name: string; readonly file: HostFile } {
  const name = `source-routing-${owner}.service`;
  return { name, file: { path: `/etc/systemd/system/${name}`, mode: '0644', lines: textLines(unitText(owner)) } };
}

/**
 * ExecStartPre runs to its end before the network comes up: rules and unreachable routes are
 * there before the first packet; that it cannot set something must not keep the watch from
 * running. It is not locked up: others mount and unmount so early in a boot, and now and then that
 * makes systemd fail to lock it up. ExecStart adds the routes as their interfaces appear, and puts
 * back whatever something takes away. It needs nothing of the machine but netlink, its state and
 * a place for the lock, which is directly in /run. TMPDIR: an old bash writes here-documents
 * there. Not ProtectProc: the holder of the lock would seem to be gone.
 *
 * @see https://github.com/systemd/systemd/issues/33127
 */
function unitText(owner: string): string {
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
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths=/run
ProtectHome=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_NETLINK AF_UNIX
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
