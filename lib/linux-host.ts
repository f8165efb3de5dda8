import type { ITerraformDependable, ITerraformIterator, TerraformResource } from 'cdktf';
import { Aspects } from 'cdktf';
import { Construct } from 'constructs';
import type { AdoptOptions } from './adopt-options';
import { Deployment } from './delivery/deployment';
import { ensureProvider } from './delivery/engine';
import { hostFiles } from './delivery/host-file';
import { writeStackFiles } from './delivery/stack-files';
import type { Drift } from './drift';
import { Engine } from './engine';
import type { Expected } from './expected';
import { decide } from './fib/decide';
import { explain, outcomeText } from './fib/explain';
import { packetHeader } from './fib/packet';
import { machineOf } from './fib/from-host';
import type { Flow, LookupOutcome, Packet } from './flow';
import { HostState } from './host-state';
import { canonicalForm } from './model/canonical-form';
import type { Host } from './model/host';
import type { NetworkInterface } from './network-interface';
import { Persistence } from './persistence';
import { ADOPT, parseAdoption } from './private/adoption';
import { Arguments } from './private/arguments';
import { parseConfirmTimeout } from './private/confirm-timeout';
import { checkFlow, checkInterfaces, checkPacket, parseFlow, parseLinksDown, parsePacket } from './private/flows';
import { checkFleet, isKnownByBastion } from './private/fleet';
import { HostDeclaration } from './private/host-declaration';
import { INTERFACES, parseInterfaces } from './private/interfaces';
import { DRIFT, EXPECTED, PERSISTENCE, SECONDS } from './private/kinds';
import { parseOwner, refuseSameOwner } from './private/owner';
import { parseReplaceTriggeredBy, unnoticedReplacement } from './private/replaced-machine';
import type { Shape } from './private/shapes';
import { FLAG, instance, list, member, optional, struct, text } from './private/shapes';
import { SSH, checkLoginOfPlan, checkSshConnection, managementOf } from './private/ssh-checks';
import { parseTextfileDirectory } from './private/textfile-directory';
import type { SshConnection } from './ssh-connection';

/**
 * Properties of a `LinuxHost`.
 */
export interface LinuxHostProps {
  /** How Terraform reaches the machine. */
  readonly ssh: SshConnection;

  /**
   * Id of this declaration on the machine. It marks files, units and state. Two stacks that manage one machine need two
   * owners. Lower-case letters, digits and `-`, at most 31, a letter first. A new owner removes everything of the old
   * one and sets it again, so set this before you rename a construct or stack.
   *
   * @default - made of the ids of the stack and of the construct
   */
  readonly owner?: string;

  /**
   * How rules and routes come back when the machine boots.
   *
   * @default Persistence.service()
   */
  readonly persistence?: Persistence;

  /**
   * Interfaces of the machine. The more you declare, the more synth checks. The machine checks all of it again.
   *
   * @default - not known
   */
  readonly interfaces?: NetworkInterface[];

  /**
   * The type of the Terraform resources.
   *
   * @default Engine.TERRAFORM_DATA
   */
  readonly engine?: Engine;

  /**
   * The desired state of the machine. Apply `HostState.ABSENT` once before you delete the declaration, since Terraform
   * runs no clean-up for what is no longer declared.
   *
   * @default HostState.PRESENT
   */
  readonly ensure?: HostState;

  /**
   * How long the machine waits for the confirmation of a change, or of the clean-up at destroy, in seconds, from 10 to
   * 90. Terraform confirms over a new connection. Without a confirmation, the machine rolls the change back, and the
   * apply fails. A new value shows no change in a plan.
   *
   * @default 60
   */
  readonly confirmTimeoutSeconds?: number;

  /**
   * Keep a change on trial although it moves the way back to whoever is logged in over SSH to another
   * next hop or interface. Otherwise, the machine undoes such a change at once, within 0.2 seconds, and the
   * session lives on. If the new way is a dead end, the machine goes back when the trial ends.
   *
   * @default false
   */
  readonly allowManagementPathChange?: boolean;

  /**
   * Values that identify the machine behind its address, such as the id of its instance. When one changes, everything
   * is applied again, and the plan shows it as `machine`. Without this, the plan shows no changes when an instance is
   * replaced behind an elastic address. Then nobody configures the new instance, and its clients leave by the uplink.
   *
   * Takes tokens, also of another stack, and literal strings. Terraform destroys the resources that they refer to only
   * after the clean-up of the machine. No clean-up runs on the old machine. A pinned `ssh.hostKey` must be that of the
   * new machine.
   *
   * @default - not known, with a warning if `ssh.host` comes from a resource; `[]` turns the warning off
   * @see https://developer.hashicorp.com/terraform/language/meta-arguments/lifecycle#replace_triggered_by
   */
  readonly replaceTriggeredBy?: string[];

  /**
   * Takes over rules, routes and files that somebody made by hand on this machine, such as those of a how-to. The
   * machine removes them once the declared ones are in force, so no packet is lost. A rollback restores them. The plan
   * shows this as `adopt`. You may remove it from the program after it was applied.
   *
   * @default - what others made stays; an apply is refused if it is in the way
   */
  readonly adopt?: AdoptOptions;

  /**
   * How often the machine verifies itself, in seconds, from 30 to 86400: rules, routes, files, firewall, and whether
   * packets of clients get through. A timer of systemd runs `source-routing verify`. What it finds is in the journal, and
   * the unit `source-routing-OWNER.verify.service` has failed until it is mended. Without systemd there is no timer.
   *
   * @default - only after an apply, and when somebody runs `source-routing verify`
   */
  readonly verifyIntervalSeconds?: number;

  /**
   * The directory of the textfile collector of Prometheus' node_exporter. Debian's package reads
   * `/var/lib/prometheus/node-exporter`. Each time the machine verifies itself, it leaves the results there in
   * `source-routing-OWNER.prom`: whether the declaration is in force, how much differs, what was repaired, whether packets
   * of clients get through. Needs `verifyIntervalSeconds`. The directory must exist by then.
   *
   * @default - no such file; `source-routing status --json` on the machine says the same
   * @see https://github.com/prometheus/node_exporter#textfile-collector
   */
  readonly textfileDirectory?: string;

  /**
   * Whether a plan shows that the machine is not as declared, such as when somebody deleted a rule, or installed the
   * machine again.
   *
   * @default - a plan compares with what was applied last; `npx cdktf-source-routing verify` asks the machines
   */
  readonly drift?: Drift;

  /**
   * Declares one machine for each element of a list, set or map that only Terraform knows, such as a variable. Each has
   * the rules and routes of this declaration, its own lines in a plan, and its own clean-up when it leaves the list. Take
   * what differs from the iterator: the address, pools, gateways. What must be known at synth is the same for all:
   * interface names, priorities, table ids.
   *
   * The key is the identity of a machine. Under another key, or when a host gets or loses `forEach`, Terraform cleans the
   * machine up, and then applies again. In between, it has no rules, unless the two resources are moved in the state.
   *
   * @default - one machine
   * @see https://developer.hashicorp.com/terraform/language/meta-arguments/for_each
   */
  readonly forEach?: ITerraformIterator;

  /**
   * Resources that must exist before the apply and until after the clean-up: a firewall rule, a package installation,
   * an address association.
   *
   * @default - only the resources that the properties refer to
   */
  readonly dependsOn?: ITerraformDependable[];
}

/** What cdktf uses of an iterator. A TerraformCount has no keys, by which Terraform could tell machines apart. */
interface IteratorLike {
  _getForEachExpression(): unknown;
}

const PROPS: Shape<LinuxHostProps> = {
  ssh: struct(SSH, 'an object such as { host: "192.0.2.1", privateKeyFile: "~/.ssh/id_ed25519" }'),
  owner: optional(text('a name such as "vpn"')),
  persistence: optional(PERSISTENCE),
  interfaces: optional(INTERFACES),
  engine: optional(member('Engine', Engine)),
  ensure: optional(member('HostState', HostState)),
  confirmTimeoutSeconds: optional(SECONDS),
  allowManagementPathChange: optional(FLAG),
  replaceTriggeredBy: optional(list(text('an id, such as that of an instance'), 'a list such as [instance.id]')),
  verifyIntervalSeconds: optional(SECONDS),
  textfileDirectory: optional(text('a path such as "/var/lib/prometheus/node-exporter"')),
  drift: optional(DRIFT),
  adopt: optional(struct(ADOPT, 'an object such as { files: ["/etc/openvpn/up"] }')),
  forEach: optional(
    instance<IteratorLike>(
      'TerraformIterator',
      '_getForEachExpression',
      'TerraformIterator.fromMap(...) or fromList(...)',
    ),
  ),
  dependsOn: optional(
    list(
      instance<ITerraformDependable>('ITerraformDependable', 'fqn', 'a resource, or a construct of this library'),
      'a list of resources',
    ),
  ),
};
const EXPECTATION_ID = /^[A-Za-z0-9_.-]{1,63}$/;
const LINUX_HOST = Symbol.for('cdktf-source-routing/LinuxHost');

/**
 * A Linux machine. It has two Terraform resources, which carry everything that the other constructs declare for it:
 *
 * - `anchor` holds the address and the owner. When Terraform destroys it, the machine goes back to what it was.
 * - `apply` holds the declaration. A plan that replaces it shows exactly the rules and routes that change. The machine
 *   is never without rules in between.
 *
 * Do not set `create_before_destroy` on a resource that depends on this host. Terraform passes it on to these two, and
 * then skips the clean-up.
 *
 * @example
 * new LinuxHost(this, 'vpn', {
 *   ssh: { host: '192.168.178.2', privateKeyFile: '~/.ssh/id_ed25519' },
 *   interfaces: [
 *     { name: 'eth0', addresses: ['192.168.178.2/24'], gateways: ['192.168.178.1'] },
 *     { name: 'eth1', addresses: ['192.168.1.100/24'] },
 *     { name: 'tun0', addresses: ['10.10.10.1/24'] },
 *   ],
 * });
 */
export class LinuxHost extends Construct {
  /**
   * Tells whether a value is a `LinuxHost`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isLinuxHost(x: unknown): x is LinuxHost {
    return typeof x === 'object' && x !== null && LINUX_HOST in x;
  }

  /** Id of this declaration on the machine. */
  public readonly owner: string;

  /**
   * What the constructs declare for the machine.
   *
   * @internal
   */
  public readonly _declaration: HostDeclaration;

  private readonly deployment: Deployment;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - the machine, and how to reach it
   * @throws ValidationError if the owner, an interface, the connection or `confirmTimeoutSeconds` is wrong
   */
  public constructor(scope: Construct, id: string, props: LinuxHostProps) {
    super(scope, id);
    Object.defineProperty(this, LINUX_HOST, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    const { ssh, persistence = Persistence.service(), engine = Engine.TERRAFORM_DATA, replaceTriggeredBy } = props;
    this.owner = parseOwner(this, args, props.owner);
    checkSshConnection(this, ssh);
    checkFleet(args, this, ssh, props.forEach);
    if (props.drift) {
      checkLoginOfPlan(args, ssh);
    }
    const absent = props.ensure === HostState.ABSENT;
    this._declaration = new HostDeclaration(this, {
      path: this.node.path,
      owner: this.owner,
      management: managementOf(ssh),
      ...parseInterfaces(args, props.interfaces ?? []),
      persistence,
      adopts: parseAdoption(args, props.adopt),
      verifyIntervalSeconds: args.optionalInteger(props.verifyIntervalSeconds, 'verifyIntervalSeconds', 30, 86400),
      textfileDirectory: parseTextfileDirectory(args, props),
      absent,
    });
    const host = (): Host => this._declaration.model();
    this.deployment = new Deployment(this, {
      engine,
      owner: this.owner,
      ssh,
      knownByBastion: isKnownByBastion(this, ssh),
      persistence,
      host,
      absent,
      confirmTimeoutSeconds: parseConfirmTimeout(args, props.confirmTimeoutSeconds),
      allowManagementPathChange: props.allowManagementPathChange ?? false,
      replaceTriggeredBy: parseReplaceTriggeredBy(args, replaceTriggeredBy),
      driftTimeoutSeconds: props.drift?._timeoutSeconds,
      forEach: props.forEach,
      dependsOn: props.dependsOn,
    });
    writeStackFiles(this, () => [
      ...hostFiles(host(), canonicalForm(this._declaration.declared())),
      ...this.deployment.files(),
    ]);
    this._declaration.validate(this);
    refuseSameOwner(this, this.owner, ssh, props.forEach);
    Aspects.of(this).add({
      visit: (node) => {
        if (node === this) {
          ensureProvider(this, engine);
          this._declaration.warn(absent || replaceTriggeredBy ? [] : unnoticedReplacement(this, ssh, props.forEach));
        }
      },
    });
  }

  /**
   * Address of the `apply` resource. With it, `dependsOn: [host]` works on any resource, which then waits until the
   * host is configured.
   */
  public get fqn(): string {
    return this.deployment.apply.fqn;
  }

  /** The resource that holds the address and the owner, and runs the clean-up. */
  public get anchor(): TerraformResource {
    return this.deployment.anchor;
  }

  /** The resource that holds the declaration, and runs the apply. */
  public get apply(): TerraformResource {
    return this.deployment.apply;
  }

  /**
   * Looks up where a packet goes, as the kernel would, with everything that is declared so far. Returns several
   * outcomes if the kernel chooses among next hops, or if a value is known at apply only.
   *
   * The lookup knows only what is declared, so declare all addresses and gateways in `interfaces`.
   *
   * @param packet - the packet
   * @throws ValidationError if an address is wrong, or a packet that comes in has no source
   */
  public lookup(packet: Packet): LookupOutcome[] {
    const args = new Arguments(this);
    checkPacket(args, packet);
    const options = parsePacket(args, packet);
    const linksDown = parseLinksDown(args, packet);
    checkInterfaces(args, packet, this._declaration.interfaces);
    const parsed = args.attempt(() => packetHeader(options));
    const machine = machineOf(this._declaration.declared(), linksDown);
    return decide(machine, parsed).map((outcome) => ({
      text: outcomeText(outcome),
      via: outcome.via,
      device: outcome.device,
      trail: explain(outcome, parsed.family),
    }));
  }

  /**
   * Declares where packets must go. If the declaration sends them elsewhere, synth fails, and shows a packet, its way
   * through the rules, and the rule at fault. Before the machine keeps a change, it asks the kernel about packets that
   * stand for all of them. If the kernel disagrees, the change is rolled back.
   *
   * @param id - names the expectation in errors and plans; letters, digits and `_ . -`, unique in the host
   * @param flow - the packets
   * @param expected - the outcome of each of them
   * @throws ValidationError if the id is taken, or a value is wrong
   */
  public expect(id: string, flow: Flow, expected: Expected): void {
    const args = new Arguments(this);
    args.check(text('a name such as "clients-leave"'), id, 'id');
    checkFlow(args, flow);
    args.check(EXPECTED, expected, 'expected');
    const label = args.text(id, 'id', EXPECTATION_ID, 'letters, digits, "_", "." and "-"');
    if (this._declaration.hasIntent(label)) {
      throw args.error(`id "${id}" is already used by another expectation. Give each expectation its own id.`);
    }
    const dispositions = expected._dispositions(args);
    const linksDown = parseLinksDown(args, flow);
    const traffics = parseFlow(args, flow, dispositions);
    checkInterfaces(args, flow, this._declaration.interfaces);
    for (const traffic of traffics) {
      this._declaration.addIntent({ path: this.node.path, label, traffic, dispositions, linksDown });
    }
  }
}
