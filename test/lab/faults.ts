import type { Machine } from './machine';

/** Ends a fault. */
export type Mend = () => Promise<void>;

/** Run one piece of shell now and another one when the fault is to end. */
async function fault(machine: Machine, begin: string, end: string): Promise<Mend> {
  await machine.exec(begin);
  return async () => {
    await machine.exec(end);
  };
}

/** Give a directory of the machine a small file system of its own, which can be filled. */
export const ownDisk = (machine: Machine, directory: string): Promise<Mend> =>
  fault(
    machine,
    `set -e
    mkdir -p ${directory}
    cp -a ${directory} /run/lab-disk
    mount -t tmpfs -o size=16m,mode=$(stat -c %a ${directory}) tmpfs ${directory}
    cp -a /run/lab-disk/. ${directory}
    rm -r /run/lab-disk`,
    // A program that was started from there has it open.
    `umount --lazy ${directory}`,
  );

/** Leave so many kilobytes free on a tmpfs: a disk of `ownDisk`, /run or /tmp. */
export async function fillDisk(machine: Machine, mountPoint: string, leftKilobytes = 0): Promise<Mend> {
  const size = (await machine.exec(`df -k --output=size ${mountPoint} | tail -n 1`)).stdout.trim();
  const used = `$(($(df -k --output=used ${mountPoint} | tail -n 1) + ${leftKilobytes}))`;
  const resize = (kilobytes: string): string => `mount -o remount,size=${kilobytes}k ${mountPoint}`;
  // It cannot be made smaller than what is in it, which others may add to at this moment.
  return fault(machine, `for try in 1 2 3 4 5; do ${resize(used)} && exit; done; exit 1`, resize(size));
}

export const readOnly = (machine: Machine, directory: string): Promise<Mend> =>
  fault(
    machine,
    `mount --bind ${directory} ${directory} && mount -o remount,bind,ro ${directory}`,
    // Whoever opened a file there meanwhile does not keep it from ending.
    `umount --lazy ${directory}`,
  );

/** Programs in /tmp cannot be executed, as on hardened machines. */
export const noExecTmp = (machine: Machine): Promise<Mend> =>
  fault(machine, 'mount -t tmpfs -o noexec,mode=1777 tmpfs /tmp', 'umount --lazy /tmp');

/** The same of homes. */
export const noExecHome = (machine: Machine): Promise<Mend> =>
  fault(machine, 'mount --bind /home /home && mount -o remount,bind,noexec /home', 'umount --lazy /home');

/** sudo refuses whoever has no terminal. */
export const requireTty = (machine: Machine): Promise<Mend> =>
  fault(
    machine,
    "echo 'Defaults requiretty' >/etc/sudoers.d/lab-requiretty && chmod 0440 /etc/sudoers.d/lab-requiretty",
    'rm /etc/sudoers.d/lab-requiretty',
  );

/** Whatever a login session started dies with it, root's sessions included. */
export const killUserProcesses = (machine: Machine): Promise<Mend> =>
  fault(
    machine,
    `mkdir -p /etc/systemd/logind.conf.d
    # An empty list of exceptions would stand for root.
    printf '[Login]\\nKillUserProcesses=yes\\nKillExcludeUsers=nobody\\n' >/etc/systemd/logind.conf.d/lab.conf
    systemctl restart systemd-logind`,
    'rm -r /etc/systemd/logind.conf.d && systemctl restart systemd-logind',
  );
