import { Annotations } from 'cdktf';
import type { Construct, IConstruct } from 'constructs';
import type { Egress } from '../model/egress';
import type { Expectation, Intent } from '../model/expectation';
import type { Forwarding } from '../model/forwarding';
import type { Host, Interface, Problem, Table, UpHook } from '../model/host';
import type { Network } from '../model/networks';
import { networksOf } from '../model/networks';
import type { Route } from '../model/route';
import type { Rule } from '../model/rule';
import type { Translation } from '../model/translation';
import type { Persistence } from '../persistence';
import { terminalText } from '../report/escape';
import { errors, warnings } from '../verify/checks';
import { expectEgresses } from '../verify/egress-expectations';
import { expectRouters } from '../verify/router-expectations';
import { lookupFindings } from '../verify/lookup-findings';
import { Arguments } from './arguments';
import type { ParsedInterfaces } from './interfaces';

/** The part of a declaration that the properties of the host give. */
export interface HostProperties
  extends
    ParsedInterfaces,
    Pick<
      Host,
      'path' | 'owner' | 'interfaces' | 'management' | 'adopts' | 'verifyIntervalSeconds' | 'textfileDirectory'
    > {
  readonly persistence: Persistence;
  /** Whether nothing may be left on the machine. */
  readonly absent: boolean;
}

/** The results of all checks of a host. */
interface Findings {
  readonly errors: Problem[];
  readonly warnings: Problem[];
  readonly expectations: readonly Expectation[];
}

/** Collects what the constructs declare for one host, and checks it. */
export class HostDeclaration {
  private readonly tables: Table[] = [];
  private readonly rules: Rule[] = [];
  private readonly routes: Route[] = [];
  private readonly discards: Route[] = [];
  private readonly hooks: UpHook[] = [];
  private readonly intents: Intent[] = [];
  private readonly egresses: Egress[] = [];
  private readonly forwardings: Forwarding[] = [];
  private readonly translations: Translation[] = [];
  /** The last priority that a rule of an egress has. */
  private lastPriority?: number;
  private modelCache?: Host;
  private findingsCache?: Findings;
  private completeCache?: Host;

  public constructor(
    private readonly host: Construct,
    private readonly properties: HostProperties,
  ) {}

  public addTable(table: Table): void {
    this.add(this.tables, table);
  }

  public addRule(rule: Rule): void {
    this.add(this.rules, rule);
  }

  public addRoute(route: Route): void {
    this.add(this.routes, route);
  }

  /** Adds a route that exists only if its table fails closed. */
  public addDiscard(route: Route): void {
    this.add(this.discards, route);
  }

  public addHook(hook: UpHook): void {
    this.add(this.hooks, hook);
  }

  public addEgress(egress: Egress, lastPriority: number): void {
    this.lastPriority = Math.max(this.lastPriority ?? 0, lastPriority);
    this.add(this.egresses, egress);
  }

  /**
   * The priority for the first pool of the next egress: that of the first one, or one in the next hundred.
   *
   * @param inFront - the number of rules in front of that for the first pool
   */
  public nextPriority(first: number, inFront: number): number {
    if (this.lastPriority === undefined) {
      return first;
    }
    const step = 100;
    const after = this.lastPriority + 1 + inFront;
    return Math.max(first, first + Math.ceil((after - first) / step) * step);
  }

  public addForwarding(forwarding: Forwarding): void {
    this.add(this.forwardings, forwarding);
  }

  public addTranslation(translation: Translation): void {
    this.add(this.translations, translation);
  }

  public addIntent(intent: Intent): void {
    this.add(this.intents, intent);
  }

  public hasIntent(label: string): boolean {
    return this.intents.some((intent) => intent.label === label);
  }

  public get interfaces(): readonly Interface[] {
    return this.properties.interfaces;
  }

  /** Finds a declared interface by its name. */
  public interfaceNamed(name: string): Interface | undefined {
    return this.properties.interfaces.find((declared) => declared.name === name);
  }

  /** Finds the addresses of an interface that are known at apply only. */
  public addressTokens(name: string): readonly string[] {
    return this.properties.addressTokens.get(name) ?? [];
  }

  /** Finds the networks of interfaces that are inside a prefix or around it. */
  public networksOverlapping(prefix: string): readonly Network[] {
    return networksOf(this.properties.interfaces).overlapping(prefix);
  }

  /** The model without the questions for the kernel. Computed once per change. */
  public declared(): Host {
    this.modelCache ??= this.properties.absent ? this.nothing() : this.everything();
    return this.modelCache;
  }

  /** The same object until something is added. */
  public model(): Host {
    this.completeCache ??= { ...this.declared(), expectations: this.findings().expectations };
    return this.completeCache;
  }

  /** Makes a construct report at synth the errors that it has together with others. */
  public validate(construct: Construct): void {
    construct.node.addValidation({
      validate: () =>
        this.findings()
          .errors.filter((problem) => problem.path === construct.node.path)
          .map((problem) => terminalText(problem.message)),
    });
  }

  /**
   * Adds the warnings to their constructs.
   *
   * @param others - warnings about the properties of the host
   */
  public warn(others: readonly Problem[]): void {
    for (const { path, message: text } of [...this.findings().warnings, ...others]) {
      const message = terminalText(text);
      const construct = constructAt(this.host, path);
      const annotations = construct.node.metadata.map((entry) => entry.data as unknown);
      // Aspects may visit a construct more than once.
      if (!annotations.includes(message)) {
        Annotations.of(construct).addWarning(message);
      }
    }
  }

  private add<T>(list: T[], item: T): void {
    list.push(item);
    this.modelCache = undefined;
    this.findingsCache = undefined;
    this.completeCache = undefined;
  }

  private everything(): Host {
    const { tables, rules, routes, discards, hooks, intents, egresses, translations, forwardings } = this;
    const { interfaces } = this.properties;
    return {
      ...this.nothing(),
      ...{ tables, rules, routes, discards, hooks, translations },
      markings: egresses.map(({ path, device, clients, errorMark }) => ({
        path,
        device,
        destinations: clients,
        mark: errorMark,
      })),
      forwardings: [
        ...egresses.map(({ forwarding, localTraffic, ...egress }) => ({
          ...egress,
          ...forwarding,
          isolated: localTraffic === 'isolated',
        })),
        ...forwardings,
      ],
      intents: [
        ...intents,
        ...expectEgresses(egresses, interfaces, routes),
        ...expectRouters(forwardings, interfaces, routes),
      ],
      adopts: this.properties.adopts,
      verifyIntervalSeconds: this.properties.verifyIntervalSeconds,
      textfileDirectory: this.properties.textfileDirectory,
    };
  }

  /** The declaration of an absent host. It has nothing that could be wrong. */
  private nothing(): Host {
    const { path, owner, management, interfaces } = this.properties;
    return {
      ...{ path, owner, management, interfaces },
      tables: [],
      rules: [],
      routes: [],
      discards: [],
      hooks: [],
      markings: [],
      forwardings: [],
      translations: [],
      intents: [],
      expectations: [],
      adopts: undefined,
    };
  }

  /** Computed once per change. */
  private findings(): Findings {
    this.findingsCache ??= new Arguments(this.host).attempt(() => findingsOf(this.declared(), this.properties));
    return this.findingsCache;
  }
}

function findingsOf(host: Host, { persistence }: HostProperties): Findings {
  const wrong = [...errors(host), ...persistence._problems(host)];
  if (wrong.length > 0) {
    // With errors in the declaration, a lookup would make no sense.
    return { errors: distinctProblems(wrong), warnings: warnings(host), expectations: [] };
  }
  const lookup = lookupFindings(host);
  return {
    errors: distinctProblems(lookup.errors),
    warnings: distinctProblems([...warnings(host), ...lookup.warnings]),
    expectations: lookup.expectations,
  };
}

/** The construct with a path in the tree of a host, or the host itself. */
function constructAt(host: Construct, path: string): IConstruct {
  const { root } = host.node;
  const [first, ...rest] = path.split('/');
  const ids = root.node.id === '' ? [first, ...rest] : rest;
  return ids.reduce<IConstruct | undefined>((construct, id) => construct?.node.tryFindChild(id), root) ?? host;
}

/** A rule of both families has each problem twice. */
function distinctProblems(problems: readonly Problem[]): Problem[] {
  return [...new Map(problems.map((problem) => [`${problem.path} ${problem.message}`, problem])).values()];
}
