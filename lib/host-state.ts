/**
 * The desired state of a machine.
 */
export enum HostState {
  /** Everything that is declared is on the machine. */
  PRESENT = 'present',

  /**
   * Nothing of the declaration is on the machine: it is as it was before the first apply. Terraform keeps its two
   * resources, so that you can delete the declaration after this was applied.
   */
  ABSENT = 'absent',
}
