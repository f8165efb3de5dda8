import { Construct } from 'constructs';
import { Arguments } from './private/arguments';
import { IpFamily } from './ip-family';
import type { IpProtocol } from './ip-protocol';
import type { LinuxHost } from './linux-host';
import type { FamilyOrAuto } from './model/family';
import { familyName } from './model/family';
import { MAX_RULE_PORT, MAX_UID, MAX_UINT32 } from './model/limits';
import type { Action, Range, Rule } from './model/rule';
import { MAX_PRIORITY, MIN_PRIORITY, hex, rangeWord } from './model/rule';
import { commonFamily, isAny, isKnown } from './model/value';
import type { NumberRange } from './number-range';
import { DEVICE, FAMILY, HOST, IP_PROTOCOL, MARK, PREFIX, RANGE, RULE_ACTION, TABLE } from './private/kinds';
import type { Shape } from './private/shapes';
import { FLAG, list, number, optional } from './private/shapes';
import type { RuleAction } from './rule-action';
import type { SourceRoutingTable } from './source-routing-table';

/**
 * Properties of a `PolicyRule`. All selectors that are set must match.
 */
export interface PolicyRuleProps {
  /**
   * Priority of the rule, 100 to 32765. The kernel tries rules from the lowest number to the highest. It is required,
   * because without it the kernel puts a later rule in front of an earlier one. 10000 to 19999 are a good choice. A
   * rule up to 22765 that looks up a table which fails closed has a guard rule at priority + 10000 (see `failClosed` of
   * the table).
   */
  readonly priority: number;

  /**
   * Table in which matching packets are looked up.
   *
   * @default - none: `action` applies
   */
  readonly table?: SourceRoutingTable;

  /**
   * Action for matching packets, instead of a lookup in `table`.
   *
   * @default - a lookup in `table`
   */
  readonly action?: RuleAction;

  /**
   * The machine that has the rule.
   *
   * @default - the host of `table`
   */
  readonly host?: LinuxHost;

  /**
   * Source prefix of the packet, in CIDR notation (`from` of ip-rule).
   *
   * @default - any
   */
  readonly source?: string;

  /**
   * Destination prefix of the packet, in CIDR notation (`to` of ip-rule).
   *
   * @default - any
   */
  readonly destination?: string;

  /**
   * Interface that the packet came in by (`iif` of ip-rule); `lo` for the machine's own packets. It
   * need not exist yet.
   *
   * @default - any
   */
  readonly inputInterface?: string;

  /**
   * Interface that the sending socket is bound to (`oif` of ip-rule).
   *
   * @default - any
   */
  readonly outputInterface?: string;

  /**
   * Mark that the firewall set on the packet, 1 to 4294967295.
   *
   * @default - any
   */
  readonly firewallMark?: number;

  /**
   * Bits of the mark that count.
   *
   * @default - all
   */
  readonly firewallMask?: number;

  /**
   * Type-of-service byte of the packet without its two ECN bits: a multiple of 4, up to 28 for IPv4
   * and 252 for IPv6.
   *
   * @default - any
   */
  readonly tos?: number;

  /**
   * IP protocol of the packet.
   *
   * @default - any
   */
  readonly ipProtocol?: IpProtocol;

  /**
   * Source ports, 1 to 65534; needs `ipProtocol`.
   *
   * @default - any
   */
  readonly sourcePorts?: NumberRange;

  /**
   * Destination ports, 1 to 65534; needs `ipProtocol`.
   *
   * @default - any
   */
  readonly destinationPorts?: NumberRange;

  /**
   * User ids of sending processes, for the machine's own packets.
   *
   * @default - any
   */
  readonly uidRange?: NumberRange;

  /**
   * Matches the packets that the selectors do not match.
   *
   * @default false
   */
  readonly invert?: boolean;

  /**
   * Ignores routes of the table with a prefix of this length or shorter. 7 ignores the default route, also in halves:
   * OpenVPN sets 0.0.0.0/1 and 128.0.0.0/1, which 0 does not ignore.
   *
   * @default - ignores no route
   */
  readonly suppressPrefixLength?: number;

  /**
   * Ignores routes of the table whose interface is in this group.
   *
   * @default - ignores no route
   */
  readonly suppressInterfaceGroup?: number;

  /**
   * Address families of the rule.
   *
   * @default - the family of `source` and `destination`; if neither is set, both
   */
  readonly families?: IpFamily[];
}

const PROPS: Shape<PolicyRuleProps> = {
  priority: number(`an integer from ${MIN_PRIORITY} to ${MAX_PRIORITY}`),
  table: optional(TABLE),
  action: optional(RULE_ACTION),
  host: optional(HOST),
  source: optional(PREFIX),
  destination: optional(PREFIX),
  inputInterface: optional(DEVICE),
  outputInterface: optional(DEVICE),
  firewallMark: optional(MARK),
  firewallMask: optional(MARK),
  tos: optional(number('a multiple of 4')),
  ipProtocol: optional(IP_PROTOCOL),
  sourcePorts: optional(RANGE),
  destinationPorts: optional(RANGE),
  uidRange: optional(RANGE),
  invert: optional(FLAG),
  suppressPrefixLength: optional(number('an integer')),
  suppressInterfaceGroup: optional(number('an integer')),
  families: optional(list(FAMILY, 'a list such as [IpFamily.IPV4]')),
};
const POLICY_RULE = Symbol.for('cdktf-source-routing/PolicyRule');

/**
 * A rule: it looks up packets in a table, or rejects them.
 *
 * @example
 * new PolicyRule(this, 'clients', { table, source: '10.10.10.0/24', priority: 10010 });
 *
 * @see https://man7.org/linux/man-pages/man8/ip-rule.8.html
 */
export class PolicyRule extends Construct {
  /**
   * Tells whether a value is a `PolicyRule`, also of another copy of this library.
   *
   * @param x - any value
   */
  public static isPolicyRule(x: unknown): x is PolicyRule {
    return typeof x === 'object' && x !== null && POLICY_RULE in x;
  }

  /** The machine that has the rule. */
  public readonly host: LinuxHost;

  /** Priority of the rule. */
  public readonly priority: number;

  /**
   * @param scope - parent in the tree
   * @param id - unique in its scope
   * @param props - priority, selectors and table or action
   * @throws ValidationError if an argument is wrong or two contradict each other
   */
  public constructor(scope: Construct, id: string, props: PolicyRuleProps) {
    super(scope, id);
    Object.defineProperty(this, POLICY_RULE, { value: true });
    const args = new Arguments(this);
    args.checkOptions(PROPS, props);
    this.host = hostOf(args, props);
    this.priority = args.integer(
      props.priority,
      'priority',
      MIN_PRIORITY,
      MAX_PRIORITY,
      "The kernel's own rules have 0, 32766 and 32767. A rule near 0 changes the order of rules that other tools add without a priority.",
    );
    for (const rule of parseRules(this, args, props, this.priority)) {
      this.host._declaration.addRule(rule);
    }
    this.host._declaration.validate(this);
  }

  /** Address of the host's `apply` resource. With it, `dependsOn: [rule]` works on any resource. */
  public get fqn(): string {
    return this.host.fqn;
  }
}

function hostOf(args: Arguments, props: PolicyRuleProps): LinuxHost {
  const host = props.host ?? props.table?.host;
  if (props.table && props.action) {
    throw args.error('table and action are both set. Leave out action to look up the table, or leave out table.');
  }
  if (!props.table && !props.action) {
    throw args.error('has neither table nor action. Set table, or an action such as RuleAction.unreachable().');
  }
  if (!host) {
    throw args.error('host is not set, and there is no table to take it from. Set host.');
  }
  if (props.table && props.table.host !== host) {
    throw args.error(`host "${host.node.path}" is not the host of table "${props.table.node.path}". Leave out host.`);
  }
  return host;
}

function parseRules(scope: Construct, args: Arguments, props: PolicyRuleProps, priority: number): Rule[] {
  const action = parseAction(args, props, priority);
  const source = args.optional('prefix', props.source, 'source');
  const destination = args.optional('prefix', props.destination, 'destination');
  const own = args.attempt(() =>
    commonFamily([
      ['source', source],
      ['destination', destination],
    ]),
  );
  const families = parseFamilies(args, props, own);
  checkPorts(args, props);
  const { firewallMark, firewallMask } = parseMark(args, props);
  if (action.kind !== 'lookup') {
    rejectSuppressors(args, props);
  }
  const rules = families.map((family): Rule => ({
    path: scope.node.path,
    family,
    priority,
    action,
    invert: props.invert,
    source,
    destination,
    tos: parseTos(args, props.tos, family),
    firewallMark,
    firewallMask,
    inputInterface: args.optional('device', props.inputInterface, 'inputInterface'),
    outputInterface: args.optional('device', props.outputInterface, 'outputInterface'),
    uidRange: parseRange(args, props.uidRange, 'uidRange', 0, MAX_UID),
    ipProtocol: props.ipProtocol && args.integer(props.ipProtocol.number, 'ipProtocol', 1, 255),
    sourcePorts: parseRange(args, props.sourcePorts, 'sourcePorts', 1, MAX_RULE_PORT),
    destinationPorts: parseRange(args, props.destinationPorts, 'destinationPorts', 1, MAX_RULE_PORT),
    suppressPrefixLength: args.optionalInteger(
      props.suppressPrefixLength,
      'suppressPrefixLength',
      0,
      family === 4 ? 32 : 128,
    ),
    suppressInterfaceGroup: args.optionalInteger(props.suppressInterfaceGroup, 'suppressInterfaceGroup', 0, 2147483647),
  }));
  for (const rule of rules) {
    refuseMixedOrigin(args, rule);
    refuseNotFromAll(args, rule);
  }
  return rules;
}

/** A packet that comes in has no socket, and counts as one of root. */
function refuseMixedOrigin(args: Arguments, { inputInterface, outputInterface, uidRange }: Rule): void {
  if (!inputInterface || !isKnown(inputInterface) || inputInterface.text === 'lo') {
    return;
  }
  const own = outputInterface
    ? `outputInterface${isKnown(outputInterface) ? ` "${outputInterface.text}"` : ''} is that of a local socket`
    : uidRange && `uidRange ${rangeWord(uidRange)} is that of local processes`;
  if (own !== undefined) {
    throw args.error(
      `${own}, but inputInterface "${inputInterface.text}" means that the packet comes in. ` +
        'Leave out one of them, or set inputInterface to "lo", which means packets of the machine itself.',
    );
  }
}

/** "not from all". A prefix of length 0 and a tos of 0 select nothing either. */
function refuseNotFromAll(args: Arguments, { invert, source, destination, ...rule }: Rule): void {
  const { tos, firewallMark, inputInterface, outputInterface, uidRange, ipProtocol } = rule;
  const prefixes = [source, destination].filter((prefix) => prefix && !(isKnown(prefix) && isAny(prefix)));
  const selectors = [...prefixes, tos, firewallMark, inputInterface, outputInterface, uidRange, ipProtocol];
  if (invert === true && selectors.every((selector) => selector === undefined)) {
    throw args.error(
      'invert is true, but no selector says which packets not to match, so the rule would match none. ' +
        'Set a selector such as source, or leave out invert.',
    );
  }
}

function parseAction(args: Arguments, props: PolicyRuleProps, priority: number): Action {
  if (props.table) {
    return { kind: 'lookup', tableId: props.table.tableId };
  }
  const action = props.action?._action;
  if (action === undefined) {
    throw args.error('has neither table nor action. Set table, or an action such as RuleAction.unreachable().');
  }
  if (action.kind === 'goto') {
    args.integer(action.priority, 'action goTo', 1, 32767);
    if (action.priority <= priority) {
      throw args.error(
        `action goes to priority ${action.priority}, which is not higher than its own priority ${priority}. Give a higher one: the kernel only goes forward.`,
      );
    }
  }
  return action;
}

function parseFamilies(args: Arguments, props: PolicyRuleProps, own: FamilyOrAuto | undefined): FamilyOrAuto[] {
  const wanted = props.families && [...new Set(props.families)].map((family) => (family === IpFamily.IPV4 ? 4 : 6));
  if (wanted?.length === 0) {
    throw args.error('families is empty. Give IpFamily.IPV4 or IpFamily.IPV6, or leave it out.');
  }
  if (own === undefined) {
    return wanted ?? [4, 6];
  }
  if (wanted === undefined) {
    return [own];
  }
  if (wanted.length > 1) {
    throw args.error(
      'families has both families, but source or destination has one. Declare one rule for each family.',
    );
  }
  const [family] = wanted as [4 | 6];
  if (own !== 'auto' && own !== family) {
    throw args.error(
      `families is ${familyName(family)} but "${props.source ?? props.destination}" is ${familyName(own)}. Leave out families.`,
    );
  }
  return wanted;
}

function parseMark(args: Arguments, props: PolicyRuleProps): Pick<Rule, 'firewallMark' | 'firewallMask'> {
  const mark = args.optionalInteger(props.firewallMark, 'firewallMark', 1, MAX_UINT32);
  const mask = args.optionalInteger(props.firewallMask, 'firewallMask', 1, MAX_UINT32);
  if (mask === undefined) {
    return { firewallMark: mark };
  }
  if (mark === undefined) {
    throw args.error(`firewallMask ${mask} is set without firewallMark. Set the mark too.`);
  }
  // Operators on bits give signed numbers.
  const within = (mark & mask) >>> 0;
  if (within !== mark) {
    const effect =
      within === 0 ? 'so the rule would match packets without a mark' : `so the rule would match ${hex(within)}`;
    const fix = `firewallMask ${hex((mark | mask) >>> 0)}${within === 0 ? '' : `, or firewallMark ${hex(within)}`}`;
    throw args.error(
      `firewallMark ${hex(mark)} has bits outside firewallMask ${hex(mask)}, which the kernel ignores, ${effect}. Did you mean ${fix}?`,
    );
  }
  return { firewallMark: mark, firewallMask: mask };
}

function parseTos(args: Arguments, tos: number | undefined, family: FamilyOrAuto): number | undefined {
  // IPv4 routing compares only the bits of RFC 1349.
  const last = family === 6 ? 0xfc : 0x1c;
  const hint = family === 6 ? '' : 'That is the limit of IPv4; for IPv6, set families to [IpFamily.IPV6].';
  const value = tos === undefined ? undefined : args.integer(tos, 'tos', 0, last, hint);
  if (value !== undefined && value % 4 !== 0) {
    throw args.error(`tos ${value} has ECN bits set. Did you mean ${value - (value % 4)}?`);
  }
  // For the kernel, zero means "any".
  return value === 0 ? undefined : value;
}

function parseRange(
  args: Arguments,
  range: NumberRange | undefined,
  property: string,
  first: number,
  last: number,
): Range | undefined {
  if (range === undefined) {
    return undefined;
  }
  args.integer(range.first, property, first, last);
  args.integer(range.last, property, first, last);
  if (range.first > range.last) {
    throw args.error(
      `${property} ${range.first}-${range.last} runs backwards. Did you mean ${range.last}-${range.first}?`,
    );
  }
  return { first: range.first, last: range.last };
}

function checkPorts(args: Arguments, props: PolicyRuleProps): void {
  const property = props.sourcePorts ? 'sourcePorts' : props.destinationPorts ? 'destinationPorts' : undefined;
  if (property && ![6, 17, 132].includes(props.ipProtocol?.number ?? 0)) {
    throw args.error(`${property} needs ipProtocol to be IpProtocol.TCP, UDP or SCTP: no other has ports.`);
  }
}

function rejectSuppressors(args: Arguments, props: PolicyRuleProps): void {
  const property =
    props.suppressPrefixLength !== undefined
      ? 'suppressPrefixLength'
      : props.suppressInterfaceGroup !== undefined
        ? 'suppressInterfaceGroup'
        : undefined;
  if (property) {
    throw args.error(
      `${property} is set, but the rule looks up no table whose routes it could ignore. Set table instead of action.`,
    );
  }
}
