/**
 * What is wanted on a machine.
 */
export enum HostState {
  /** What is declared. */
  PRESENT = 'present',

  /**
   * Nothing of it: the machine is put back to what it was, whatever is declared. Terraform keeps
   * its two resources, so that the declaration can be deleted after this has been applied.
   */
  ABSENT = 'absent',
}
