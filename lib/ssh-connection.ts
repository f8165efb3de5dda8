/**
 * A machine in between, through which the connection to the host goes.
 */
export interface SshBastion {
  /** Name or address of the bastion. */
  readonly host: string;

  /**
   * TCP port of its SSH server.
   *
   * @default 22
   */
  readonly port?: number;

  /**
   * User to log in as.
   *
   * @default - the user of the connection
   */
  readonly user?: string;

  /**
   * Path of a private key for the bastion, on the machine that runs Terraform.
   *
   * @default - the key of the connection
   */
  readonly privateKeyFile?: string;

  /**
   * Public host key of the bastion, as in `ssh-keyscan -t ecdsa BASTION | cut -d ' ' -f 2-`.
   *
   * Terraform before 1.16 ignores it and checks the bastion against the host's own `hostKey`.
   *
   * @default - not checked
   */
  readonly hostKey?: string;
}

/**
 * How Terraform reaches a machine. Terraform reads neither `~/.ssh/config` nor `known_hosts`:
 * what is not said here does not apply.
 *
 * What Terraform keeps: `host`, `port`, `user`, `hostKey`, the *paths* of key files and the
 * bastion's address are written to the state, since the clean-up at destroy needs them. Contents
 * of keys are not.
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/provisioners/connection
 */
export interface SshConnection {
  /**
   * Name or address of the machine, without user, port or zone: often a token, such as a cloud instance's
   * address.
   */
  readonly host: string;

  /**
   * TCP port of its SSH server.
   *
   * @default 22
   */
  readonly port?: number;

  /**
   * User to log in as. Any other than root needs `NOPASSWD: ALL` in sudoers, so whoever can log in as
   * this user is root.
   *
   * @default "root"
   */
  readonly user?: string;

  /**
   * Path of a private key without a passphrase, on the machine that runs Terraform; `~/` is its
   * user's home, `~name/` is refused. Neither the state nor a saved plan holds the key. A plan can be made where the
   * file is missing (as in a pull request), an apply cannot.
   *
   * @default - `privateKey`, or else the SSH agent
   */
  readonly privateKeyFile?: string;

  /**
   * The private key itself, as a token: an ephemeral variable (in neither state nor plan) or a
   * sensitive one (in the saved plan file, in clear). It cannot be used by the clean-up at destroy,
   * which takes `privateKeyFile` if that is set too, or else the SSH agent.
   *
   * @default - `privateKeyFile`, or else the SSH agent
   */
  readonly privateKey?: string;

  /**
   * Path of the OpenSSH user certificate that belongs to the key.
   *
   * @default - no certificate
   */
  readonly certificateFile?: string;

  /**
   * Use the SSH agent at `SSH_AUTH_SOCK`. Terraform then forwards the agent to the machine, where root
   * can log in elsewhere with its keys meanwhile. Without a `hostKey` that is an error by default, and a
   * warning if this is `true`.
   *
   * @default - true if there is no `privateKeyFile`; with `privateKey`, for the clean-up at destroy only
   */
  readonly agent?: boolean;

  /**
   * Public host key of the machine, as in `ssh-keyscan -t ecdsa HOST | cut -d ' ' -f 2-`. Pin the
   * ECDSA key where there is one, since Terraform asks for that first. Where a certificate authority
   * signs host keys, give its public key.
   *
   * @default - not checked, with a warning; an error where the SSH agent is used
   */
  readonly hostKey?: string;

  /**
   * Directory on the machine to which Terraform uploads: relative to the login directory, or absolute.
   * Letters, digits and `. _ @ + - /`; no `~`, no `..`.
   *
   * Terraform makes each script that it uploads writable for everybody (mode 0777), and root runs it. So
   * nobody but the user and root may be able to enter this directory. The machine refuses a directory
   * that others can enter. Against a local user who waits for the script, this check comes too late, since
   * it is in the script: make the directory private before the first apply.
   *
   * It must be there, belong to the user, and be on a file system that is not mounted `noexec`. If the
   * home is not like that, or if there is none, make a directory elsewhere with `mkdir -m 700`.
   *
   * @default ".ssh"
   * @see https://developer.hashicorp.com/terraform/language/resources/provisioners/connection#executing-scripts-using-ssh-scp
   */
  readonly scriptDirectory?: string;

  /**
   * How long to wait until the machine answers, in seconds.
   *
   * @default 60
   */
  readonly timeoutSeconds?: number;

  /**
   * A machine in between.
   *
   * @default - a direct connection
   */
  readonly bastion?: SshBastion;
}
