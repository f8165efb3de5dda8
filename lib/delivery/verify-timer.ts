import { DISPATCHER } from '../agent/program';
import type { Host } from '../model/host';
import type { HostFile, Unit } from '../persistence/persistence';
import { textLines } from '../persistence/persistence';

/** The units that verify a machine regularly, if that is declared. Monitors of systemd units report a failed one. */
export function verifyTimer({ owner, verifyIntervalSeconds }: Host): { files: HostFile[]; units: Unit[] } {
  if (verifyIntervalSeconds === undefined) {
    return { files: [], units: [] };
  }
  // No owner has a dot in its name.
  const name = `source-routing-${owner}.verify`;
  const file = (kind: string, text: string): HostFile => ({
    path: `/etc/systemd/system/${name}.${kind}`,
    mode: '0644',
    lines: textLines(text),
    systemdOnly: true,
  });
  return {
    files: [file('service', serviceText(owner)), file('timer', timerText(owner, verifyIntervalSeconds))],
    units: [{ name: `${name}.timer`, systemdOnly: true }],
  };
}

/** `verify` exits with 75 if a change is under way, which is not a fault. */
function serviceText(owner: string): string {
  return `# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Verify source routing (${owner})

[Service]
Type=oneshot
ExecStart=${DISPATCHER} verify ${owner}
SuccessExitStatus=75
TimeoutStartSec=300
`;
}

/** The random delay spreads the runs of a fleet. */
function timerText(owner: string, seconds: number): string {
  return `# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Verify source routing (${owner}) every ${seconds} seconds

[Timer]
OnActiveSec=${seconds}
OnUnitInactiveSec=${seconds}
RandomizedDelaySec=${Math.floor(seconds / 10)}
AccuracySec=1

[Install]
WantedBy=timers.target
`;
}
