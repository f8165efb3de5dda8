/**
 * A bastion: a machine through which the connection to the host goes.
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
   * Name of the environment variable of Terraform that has the private key for the bastion. It works as that of the
   * connection does.
   *
   * @default - `privateKeyFile`, or else the key of the connection
   */
  readonly privateKeyEnvironmentVariable?: string;

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
 * How Terraform reaches a machine. Terraform reads neither `~/.ssh/config` nor `known_hosts`, so only what is set here
 * applies.
 *
 * Terraform writes `host`, `port`, `user`, `hostKey`, the *paths* of key files, the *names* of environment variables and
 * the bastion's address to the state, since the clean-up at destroy needs them. It writes no contents of keys.
 *
 * @see https://developer.hashicorp.com/terraform/language/resources/provisioners/connection
 */
export interface SshConnection {
  /**
   * Name or address of the machine, without user, port or zone. Often a token, such as the address of a cloud instance.
   */
  readonly host: string;

  /**
   * TCP port of its SSH server.
   *
   * @default 22
   */
  readonly port?: number;

  /**
   * User to log in as. A user other than root needs `NOPASSWD: ALL` in sudoers, so whoever can log in as this user is
   * root.
   *
   * @default "root"
   */
  readonly user?: string;

  /**
   * Path of a private key without a passphrase, on the machine that runs Terraform. `~/` is the home of its user;
   * `~name/` is refused. Neither the state nor a saved plan holds the key. A plan does not need the file (in a pull
   * request, for example), an apply does.
   *
   * @default - `privateKeyEnvironmentVariable`, or else `privateKey`, or else the SSH agent
   */
  readonly privateKeyFile?: string;

  /**
   * Name of the environment variable of Terraform that has the private key without a passphrase, for runs without a key
   * file, as in CI. Both the apply and the clean-up at destroy read it. The key is in no state, no saved plan and no
   * file. A plan does not need it. If it is missing, an apply or a destroy fails before it changes anything.
   *
   * The value is the contents of a key file, as they are or in base64 (`base64 -w 0`). With `privateKey`, name the
   * environment variable that sets it, such as `TF_VAR_ssh_private_key`: then one value serves both. Terraform must run
   * on Linux.
   *
   * @default - `privateKeyFile`, or else `privateKey`, or else the SSH agent
   * @see https://man7.org/linux/man-pages/man5/proc_pid_environ.5.html
   */
  readonly privateKeyEnvironmentVariable?: string;

  /**
   * The private key itself, as a token: an ephemeral variable (in neither state nor plan) or a sensitive one (in the
   * saved plan file, in clear). The clean-up at destroy cannot use it. It uses `privateKeyEnvironmentVariable` or
   * `privateKeyFile` if that is set, or else the SSH agent.
   *
   * @default - `privateKeyEnvironmentVariable`, or else `privateKeyFile`, or else the SSH agent
   */
  readonly privateKey?: string;

  /**
   * Path of the OpenSSH user certificate that belongs to the key.
   *
   * @default - no certificate
   */
  readonly certificateFile?: string;

  /**
   * Uses the SSH agent at `SSH_AUTH_SOCK`. Terraform then forwards the agent to the machine, where root can meanwhile
   * log in elsewhere with its keys. Without a `hostKey`, this is an error by default, and a warning if you set `true`.
   *
   * @default - true if there is neither `privateKeyFile` nor `privateKeyEnvironmentVariable`; with `privateKey`, for the
   * clean-up at destroy only
   */
  readonly agent?: boolean;

  /**
   * Public host key of the machine, as in `ssh-keyscan -t ecdsa HOST | cut -d ' ' -f 2-`. Pin the ECDSA key if there is
   * one, since Terraform asks for it first. If a certificate authority signs host keys, give its public key.
   *
   * @default - not checked, with a warning; an error if the SSH agent is used
   */
  readonly hostKey?: string;

  /**
   * Directory on the machine to which Terraform uploads: relative to the login directory, or absolute.
   * Letters, digits and `. _ @ + - /`; no `~`, no `..`.
   *
   * Terraform makes each script that it uploads writable for everybody (mode 0777), and root runs it. So only the login
   * user and root may be able to enter this directory. The machine refuses a directory that others can enter. This
   * check is in the script itself, so it comes too late against a local user who waits for the script. Make the
   * directory private before the first apply.
   *
   * The directory must exist, belong to the user, and be on a file system that is not mounted `noexec`. If the home is
   * not suitable, make a directory elsewhere with `mkdir -m 700`.
   *
   * @default ".ssh"
   * @see https://developer.hashicorp.com/terraform/language/resources/provisioners/connection#executing-scripts-using-ssh-scp
   */
  readonly scriptDirectory?: string;

  /**
   * How long to wait until the machine answers, in seconds.
   *
   * @default 60; for the upload of an apply, 300 if `host` is known at apply only, since a new machine has to boot first
   */
  readonly timeoutSeconds?: number;

  /**
   * Bastion through which the connection goes.
   *
   * @default - a direct connection
   */
  readonly bastion?: SshBastion;
}
