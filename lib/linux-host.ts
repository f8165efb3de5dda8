import type { ITerraformDependable, TerraformResource } from 'cdktf';
import { Annotations, Aspects, TerraformStack, Token } from 'cdktf';
import { Construct } from 'constructs';
import type { AdoptOptions } from './adopt-options';
import { ADOPT, parseAdoption } from './private/adoption';
import { Arguments } from './private/arguments';
import { Deployment } from './delivery/deployment';
import { referencedResources } from './delivery/escape';
import { ensureProvider } from './delivery/engine';
import { writeHostFile } from './delivery/host-file';
import { Engine } from './engine';
import type { Expected } from './expected';
import type { Flow, LookupOutcome, Packet } from './flow';
import { HostState } from './host-state';
import { lookupErrors, lookupWarnings } from './verify/lookup-checks';
import { decide } from './fib/decide';
import { flowOf } from './fib/flow';
import { machineOf } from './fib/from-host';
import { checkIntents } from './verify/expectations';
import { explain, outcomeText } from './fib/explain';
import { errors, warnings } from './verify/checks';
import type { Egress } from './model/egress';
import { expectEgresses } from './verify/egress-expectations';
import type { Expectation, Intent } from './model/expectation';
import type { Host, Interface, Problem, Table, UpHook } from './model/host';
import type { Network } from './model/networks';
import { networksOf } from './model/networks';
import type { Route } from './model/route';
import type { Rule } from './model/rule';
import type { NetworkInterface } from './network-interface';
import { Persistence } from './persistence';
import { parseConfirmTimeout } from './private/confirm-timeout';
import { checkFlow, checkPacket, parseFlow, parseLinksDown, parsePacket } from './private/flows';
import { INTERFACES, parseInterfaces } from './private/interfaces';
import { EXPECTED, PERSISTENCE, SECONDS } from './private/kinds';
import type { Shape } from './private/shapes';
import { FLAG, instance, list, member, optional, struct, text } from './private/shapes';
import { SSH, checkSshConnection, managementOf } from './private/ssh-checks';
import { expressionOf } from './private/tokens';
import { terminalText } from './report/escape';
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
   * Resources that must exist before the apply and until after the clean-up: a firewall rule, a package installation,
   * an address association.
   *
   * @default - only the resources that the properties refer to
   */
  readonly dependsOn?: ITerraformDependable[];
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
  adopt: optional(struct(ADOPT, 'an object such as { files: ["/etc/openvpn/up"] }')),
  dependsOn: optional(
    list(
      instance<ITerraformDependable>('ITerraformDependable', 'fqn', 'a resource, or a construct of this library'),
      'a list of resources',
    ),
  ),
};
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

  private readonly ssh: SshConnection;
  private readonly interfaces: readonly Interface[];
  private readonly addressTokens: ReadonlyMap<string, readonly string[]>;
  private readonly tables: Table[] = [];
  private readonly rules: Rule[] = [];
  private readonly routes: Route[] = [];
  private readonly discards: Route[] = [];
  private readonly hooks: UpHook[] = [];
  private readonly intents: Intent[] = [];
  private readonly egresses: Egress[] = [];
  private readonly persistence: Persistence;
  private readonly adopts?: readonly string[];
  private readonly absent: boolean;
  private readonly tellsMachines: boolean;
  private readonly deployment: Deployment;
  private modelCache?: Host;
  private findingsCache?: Findings;

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
    this.owner = parseOwner(this, args, props.owner);
    checkSshConnection(this, props.ssh);
    this.ssh = props.ssh;
    ({ interfaces: this.interfaces, addressTokens: this.addressTokens } = parseInterfaces(
      args,
      props.interfaces ?? [],
    ));
    this.persistence = props.persistence ?? Persistence.service();
    this.adopts = parseAdoption(args, props.adopt);
    this.absent = props.ensure === HostState.ABSENT;
    this.tellsMachines = props.replaceTriggeredBy !== undefined;
    const engine = props.engine ?? Engine.TERRAFORM_DATA;
    this.deployment = new Deployment(this, {
      engine,
      owner: this.owner,
      ssh: props.ssh,
      persistence: this.persistence,
      host: () => this.model(),
      absent: this.absent,
      confirmTimeoutSeconds: parseConfirmTimeout(args, props.confirmTimeoutSeconds),
      allowManagementPathChange: props.allowManagementPathChange ?? false,
      replaceTriggeredBy: parseReplaceTriggeredBy(args, props.replaceTriggeredBy),
      dependsOn: props.dependsOn,
    });
    writeHostFile(this, () => this.model());
    this._validate(this);
    this.node.addValidation({ validate: () => this.sameOwners() });
    Aspects.of(this).add({
      visit: (node) => {
        if (node === this) {
          ensureProvider(this, engine);
          this.warn();
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
    const flow = args.attempt(() => flowOf(options));
    const machine = machineOf(this.declared(), linksDown);
    return decide(machine, flow).map((outcome) => ({
      text: outcomeText(outcome),
      via: outcome.via,
      device: outcome.device,
      trail: explain(outcome, flow.family),
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
    if (this.intents.some((other) => other.path === this.node.path && other.label === label)) {
      throw args.error(`id "${id}" is already used by another expectation. Give each expectation its own id.`);
    }
    const fates = expected._fates(args);
    const linksDown = parseLinksDown(args, flow);
    for (const traffic of parseFlow(args, flow, fates)) {
      this.intents.push({ path: this.node.path, label, traffic, fates, linksDown });
    }
    this.changed();
  }

  /** @internal */
  public _addTable(table: Table): void {
    this.tables.push(table);
    this.changed();
  }

  /** @internal */
  public _addRule(rule: Rule): void {
    this.rules.push(rule);
    this.changed();
  }

  /** @internal */
  public _addRoute(route: Route): void {
    this.routes.push(route);
    this.changed();
  }

  /**
   * Adds a route that exists only if its table fails closed.
   *
   * @internal
   */
  public _addDiscard(route: Route): void {
    this.discards.push(route);
    this.changed();
  }

  /** @internal */
  public _addHook(hook: UpHook): void {
    this.hooks.push(hook);
    this.changed();
  }

  /** @internal */
  public _addEgress(egress: Egress): void {
    this.egresses.push(egress);
    this.changed();
  }

  /**
   * Finds a declared interface by its name.
   *
   * @internal
   */
  public _interface(name: string): Interface | undefined {
    return this.interfaces.find((declared) => declared.name === name);
  }

  /**
   * Finds the networks of interfaces that are inside a prefix or around it.
   *
   * @internal
   */
  public _networksAround(prefix: string): readonly Network[] {
    return networksOf(this.interfaces).overlapping(prefix);
  }

  /**
   * Finds the addresses of an interface that are known at apply only.
   *
   * @internal
   */
  public _addressTokens(name: string): readonly string[] {
    return this.addressTokens.get(name) ?? [];
  }

  /**
   * Makes a construct report at synth the problems that it has together with others.
   *
   * @internal
   */
  public _validate(construct: Construct): void {
    construct.node.addValidation({
      validate: () =>
        this.findings()
          .errors.filter((problem) => problem.path === construct.node.path)
          .map((problem) => terminalText(problem.message)),
    });
  }

  /** Two declarations of one machine with one owner would remove each other's rules in turn. */
  private sameOwners(): string[] {
    // Of a host of another copy of this library, only the public side is known.
    const hosts = this.node.root.node.findAll().filter((node) => node instanceof LinuxHost);
    const other = hosts
      .slice(0, hosts.indexOf(this))
      .find((each) => each.owner === this.owner && each.machine() === this.machine());
    return other
      ? [
          terminalText(
            `owner "${this.owner}" already declares this machine in "${other.node.path}". Use one LinuxHost for both, or give this one another owner.`,
          ),
        ]
      : [];
  }

  /** The target of SSH, in a form that can be compared. */
  private machine(): string {
    const { host, port = 22 } = this.ssh;
    return `${managementOf(this.ssh).host ?? host} ${port}`;
  }

  private model(): Host {
    return { ...this.declared(), expectations: this.findings().expectations };
  }

  /** Computed once per change. */
  private declared(): Host {
    const { tables, rules, routes, discards, hooks, interfaces } = this;
    this.modelCache ??= {
      path: this.node.path,
      owner: this.owner,
      management: managementOf(this.ssh),
      interfaces,
      tables,
      rules,
      routes,
      discards,
      hooks,
      markings: this.egresses.map(({ path, device, clients, errorMark }) => ({
        path,
        device,
        destinations: clients,
        mark: errorMark,
      })),
      intents: [...this.intents, ...expectEgresses(this.egresses, interfaces, routes)],
      expectations: [],
      adopts: this.adopts,
      ...(this.absent ? NOTHING : {}),
    };
    return this.modelCache;
  }

  private changed(): void {
    this.modelCache = undefined;
    this.findingsCache = undefined;
  }

  /** Computed once per change. */
  private findings(): Findings {
    if (this.findingsCache === undefined) {
      const host = this.declared();
      const wrong = [...errors(host), ...this.persistence._problems(host)];
      // With errors in the declaration, a lookup would make no sense.
      this.findingsCache =
        wrong.length > 0
          ? { errors: distinct(wrong), warnings: warnings(host), expectations: [] }
          : new Arguments(this).attempt(() => found(host));
    }
    return this.findingsCache;
  }

  private warn(): void {
    const byPath = new Map(this.node.root.node.findAll().map((node) => [node.node.path, node]));
    for (const { path, message: text } of [...this.findings().warnings, ...this.unnoticedReplacement()]) {
      const message = terminalText(text);
      const construct = byPath.get(path) ?? this;
      const annotations = construct.node.metadata.map((entry) => entry.data as unknown);
      // Aspects may visit a construct more than once.
      if (!annotations.includes(message)) {
        Annotations.of(construct).addWarning(message);
      }
    }
  }

  private unnoticedReplacement(): Problem[] {
    const sources = this.tellsMachines || this.absent ? [] : referencedResources(expressionOf(this.ssh.host, this));
    if (sources.length === 0) {
      return [];
    }
    const message =
      `ssh.host comes from ${sources.join(', ')}: if another machine comes to have that address, the plan shows no ` +
      'change, and its clients leave by the uplink. Set replaceTriggeredBy, for example to the id of the instance.';
    return [{ path: this.node.path, message }];
  }
}

/** The results of all checks of a host. */
interface Findings {
  readonly errors: Problem[];
  readonly warnings: Problem[];
  readonly expectations: readonly Expectation[];
}

function found(host: Host): Findings {
  const { problems, expectations } = checkIntents(host);
  return {
    errors: distinct([...lookupErrors(host), ...problems]),
    warnings: distinct([...warnings(host), ...lookupWarnings(host)]),
    expectations,
  };
}

/** The declaration of an absent host. It has nothing that could be wrong. */
const NOTHING: Pick<
  Host,
  'tables' | 'rules' | 'routes' | 'discards' | 'hooks' | 'markings' | 'intents' | 'expectations' | 'adopts'
> = {
  tables: [],
  rules: [],
  routes: [],
  discards: [],
  hooks: [],
  markings: [],
  intents: [],
  expectations: [],
  adopts: undefined,
};

const EXPECTATION_ID = /^[A-Za-z0-9_.-]{1,63}$/;
const OWNER = /^[a-z][a-z0-9-]{0,30}$/;
const OWNER_FORM = 'lower-case letters, digits and "-" (at most 31, a letter first)';

function parseOwner(host: LinuxHost, args: Arguments, given: string | undefined): string {
  if (given !== undefined) {
    return args.text(given, 'owner', OWNER, OWNER_FORM);
  }
  const made = [TerraformStack.of(host).node.id, host.node.id]
    .join('-')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+|-$/g, '');
  if (!OWNER.test(made)) {
    throw args.error(`owner "${made}", made of the ids of stack and construct, is not ${OWNER_FORM}. Set owner.`);
  }
  return made;
}

function parseReplaceTriggeredBy(args: Arguments, given: readonly string[] = []): readonly string[] {
  given.forEach((value, index) => {
    if (Token.isUnresolved(value)) args.checkLiteralPart(value, `replaceTriggeredBy[${index}]`);
  });
  return given;
}

/** A rule of both families has each problem twice. */
function distinct(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()];
}
