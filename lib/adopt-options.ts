/**
 * What this declaration takes over of a set-up made by hand on the machine.
 *
 * The machine takes over
 *
 * - rules of a person or a script, if a declared rule matches all their packets and has the same action;
 * - routes of a declared table to a declared destination;
 * - the line of `/etc/iproute2/rt_tables` that gives a declared table its name.
 *
 * It adds each replacement before it removes the original, and restores everything on a rollback. What no declared
 * thing replaces stays, with a note. A clean-up restores nothing.
 */
export interface AdoptOptions {
  /**
   * Files on the machine that belong to the set-up made by hand, such as `/etc/sysconfig/network-scripts/rule-eth1` or
   * `/etc/openvpn/up`. If this declaration also writes a file, it is replaced. Otherwise it is removed. The machine
   * refuses a file that does not name a declared table, and one that a VPN daemon still runs.
   *
   * Copies are in `/var/lib/source-routing/OWNER/adopted` until the clean-up.
   *
   * @default - none; a note names the files that set the same again at the next boot
   */
  readonly files?: string[];
}
