/**
 * What somebody made by hand on a machine, and this declaration takes over.
 *
 * Rules of a person or a script are taken over if a declared rule takes all their packets and does the same
 * with them; so are routes of a declared table to a declared destination, and the line of `/etc/iproute2/rt_tables` that
 * gives a declared table its name. Nothing goes before its replacement is there, and all comes back on a rollback.
 * What nothing declared replaces stays, with a note. A clean-up gives nothing back.
 */
export interface AdoptOptions {
  /**
   * Files of the set-up made by hand, on the machine: for example `/etc/sysconfig/network-scripts/rule-eth1` or
   * `/etc/openvpn/up`. One that this declaration also writes is replaced. Any other is removed. The machine
   * refuses a file that does not name a declared table, and one that a VPN daemon still runs.
   *
   * Copies are in `/var/lib/source-routing/OWNER/adopted` until the clean-up.
   *
   * @default - none; a note names the files that make the same again at the next boot
   */
  readonly files?: string[];
}
