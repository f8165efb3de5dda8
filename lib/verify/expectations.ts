import type { Addresses, Disposition, Intent, Question, Selectors, Traffic } from '../model/expectation';
import { INTERFACE_TOWARD_SOURCE } from '../model/expectation';
import type { Family } from '../model/family';
import type { Host, Problem } from '../model/host';
import { getOrInsertComputed } from '../model/maps';
import { networksOf } from '../model/networks';
import type { Rule } from '../model/rule';
import { isKnown } from '../model/value';
import { partOf } from '../reachability/prefix-trie';
import type { Bits } from '../fib/bits';
import { ADDRESS_LENGTH, hostIn, prefixBits, prefixText } from '../fib/bits';
import { interfacesToldApart } from '../reachability/header-classes';
import type { Chain } from '../reachability/trie-chain';
import { chainValueAt, chainValues, prefixWith } from '../reachability/trie-chain';
import { decide } from '../fib/decide';
import type { Decision, DecisionInterner } from '../reachability/decision';
import { isCertain, outcomeKey } from '../reachability/decision';
import type { PacketHeader, HeaderFields } from '../fib/packet';
import { UNSPECIFIED } from '../fib/packet';
import { machineOf } from '../fib/from-host';
import { decisionsOf } from '../reachability/decision';
import { headersOf } from '../reachability/header-fields';
import type { Machine } from '../fib/machine';
import { KERNEL } from '../fib/machine';
import type { Outcome } from '../fib/outcome';
import { isRejected } from '../fib/outcome';
import type { Scope } from '../reachability/reachability';
import { SPECIAL_PURPOSE_PREFIXES, Reachability } from '../reachability/reachability';
import type { SourceClass } from '../reachability/source-classes';
import { explain, dispositionsText, outcomeText, packetText, ruleText } from '../fib/explain';

/** Loopback, link-local and multicast. For IPv4, the lookup excludes them itself. */
const NEVER_FORWARDED: readonly Bits[] = [prefixBits('::'), ...SPECIAL_PURPOSE_PREFIXES[6]];

/** More questions would only repeat these. */
const QUESTIONS_EACH = 8;

/** What came of an expectation. */
export interface Checked {
  /** Set if it is untrue. */
  readonly problem?: Problem;
  /** For the kernel of the host, unless it cannot be asked. */
  readonly questions: readonly Question[];
  /** Whether there are packets that it is about. */
  readonly hasPackets: boolean;
}

/** Checks each expectation of a host, in their order. */
export function checkIntents(host: Host): Checked[] {
  const check = new IntentCheck(host);
  const checked = host.intents.map((intent) => check.check(intent));
  const ofSomething = new Set(host.intents.filter((_, index) => checked[index].hasPackets).map(({ label }) => label));
  return checked.map((each, index) => {
    const { path, label, overridable } = host.intents[index];
    return overridable || ofSomething.has(label) ? each : { ...each, problem: each.problem ?? ofNothing(path, label) };
  });
}

/** An expectation may be of packets in one family, and have none in the other. */
function ofNothing(path: string, label: string): Problem {
  return {
    path,
    message:
      `expectation "${label}" checks nothing: no packet from its source to its destination is forwarded. Those to the machine itself, ` +
      'and to loopback, broadcast and multicast addresses, count only if destination is one address. Correct the addresses.',
  };
}

class IntentCheck {
  private readonly decisions: DecisionInterner;
  /** Constructs whose expectations yield to rules of other constructs. */
  private readonly yielding: ReadonlySet<string>;
  private readonly owners = new Map<string, string>();
  /** Reachability by kinds of packets and destinations. Most of thousands of intents share theirs. */
  private readonly reachabilities = new Map<Addresses | 'anywhere', Map<string, Reachability[]>>();
  private readonly cuts: Readonly<Record<Family, readonly Bits[]>>;
  private readonly toldApart: Readonly<Record<Family, ReadonlySet<string>>>;
  /** A protocol that no rule selects, for questions about IPv4 packets. */
  private readonly unnamedProtocol: number | undefined;

  public constructor(private readonly host: Host) {
    this.decisions = decisionsOf(host);
    this.yielding = new Set(host.intents.flatMap(({ path, overridable }) => (overridable ? path : [])));
    const cuts = (family: Family): Bits[] => {
      const incoming = host.intents.filter(({ traffic }) => traffic.inputInterface && traffic.family === family);
      const prefixes = incoming.flatMap(({ traffic: { sources } }) =>
        sources ? [...sources.within, ...sources.except] : [],
      );
      return [...new Set(prefixes)].map(prefixBits);
    };
    this.cuts = { 4: cuts(4), 6: cuts(6) };
    this.unnamedProtocol = ASKABLE.find((protocol) => host.rules.every(({ ipProtocol }) => ipProtocol !== protocol));
    const toldApart = (family: Family): Set<string> => new Set(interfacesToldApart([machineOf(host)], family));
    this.toldApart = { 4: toldApart(4), 6: toldApart(6) };
  }

  public check(intent: Intent): Checked {
    const questions: Question[] = [];
    let hasPackets = false;
    let dropped: Problem | undefined;
    for (const reachability of this.reachabilitiesOf(intent)) {
      for (const { sourceClass, chain, prefix } of chainsOf(reachability, intent.traffic)) {
        for (const decision of chainValues(chain, reachability.decisions)) {
          if (decision === reachability.elsewhere) continue;
          const packet = (): PacketHeader => packetOf(reachability, sourceClass, chain, prefix, decision, intent);
          if (!isMeant(decision, intent)) {
            if (!intent.overridable && isDropped(decision)) dropped ??= this.problem(intent, packet(), decision);
            continue;
          }
          hasPackets = true;
          if (isUntrue(decision, intent)) {
            return { problem: this.problem(intent, packet(), decision), questions: [], hasPackets };
          }
          if (questions.length < QUESTIONS_EACH) {
            questions.push(...this.questions(packet(), reachability, chain, prefix, decision));
          }
        }
      }
    }
    // A source that no packet can have would make everything true.
    if (!hasPackets && dropped) {
      return { problem: dropped, questions: [], hasPackets };
    }
    return { questions: intent.linksDown.length > 0 ? [] : questions, hasPackets };
  }

  private reachabilitiesOf({ traffic, linksDown, overridable = false }: Intent): Reachability[] {
    const { sources, destinations, inputInterface, ...selectors } = traffic;
    const sent = inputInterface === undefined;
    const input = sent || this.toldApart[traffic.family].has(inputInterface) ? inputInterface : INTERFACE_TOWARD_SOURCE;
    const own = sent && sources !== undefined && networksOf(this.host.interfaces).hasAddress(sources.within[0]);
    const places = hasPlainDestinations(traffic) ? 'anywhere' : destinations;
    const key = JSON.stringify([selectors, input, sent && !own && sources?.within, linksDown, overridable]);
    const made = getOrInsertComputed(this.reachabilities, places, () => new Map<string, Reachability[]>());
    return getOrInsertComputed(made, key, () => {
      const machine = machineOf(this.host, linksDown);
      const left = sent || traffic.family === 4 ? [] : NEVER_FORWARDED;
      const scope: Scope = {
        decisions: this.decisions,
        source: sent ? sentFrom(traffic) : undefined,
        anyOwnSource: own,
        cuts: sent ? [] : this.cuts[traffic.family],
        destinations:
          places === 'anywhere'
            ? undefined
            : {
                within: places.within.map(prefixBits),
                except: [...places.except.map(prefixBits), ...left],
              },
        whose: overridable ? this.ownerOf : undefined,
      };
      return headersIn(machine, { ...traffic, inputInterface: input }).map(
        (header) => new Reachability(machine, header, scope),
      );
    });
  }

  /** The yielding construct that contains a rule; otherwise the rule itself. */
  private readonly ownerOf = ({ path }: Rule): string => {
    return getOrInsertComputed(this.owners, path, () => {
      const ids = path.split('/');
      const ancestors = ids.map((_, index) => ids.slice(0, ids.length - index).join('/'));
      return ancestors.find((each) => this.yielding.has(each)) ?? path;
    });
  };

  /** The question about a packet; none if `ip route get` cannot ask it. */
  private questions(
    packet: PacketHeader,
    reachability: Reachability,
    chain: Chain<Decision>,
    prefix: Bits,
    decision: Decision,
  ): Question[] {
    const { family } = packet;
    const ipProtocol = packet.ipProtocol ?? (family === 4 ? this.unnamedProtocol : undefined);
    if (family === 4 && ipProtocol === undefined) {
      return [];
    }
    const [first, ...alternatives] = SAMPLE_DESTINATIONS[family].filter((address) =>
      isDecided(reachability, chain, prefix, decision, address),
    );
    return [
      {
        ...questionOf({ ...packet, ipProtocol }),
        alternatives: packet.destination === first ? alternatives.map((each) => prefixText(each, family)) : [],
      },
    ];
  }

  private problem({ path, label, dispositions, linksDown }: Intent, packet: PacketHeader, decision: Decision): Problem {
    const bad = decision.outcomes.find((outcome) => !meets(outcome, dispositions));
    const outcomes = decide(machineOf(this.host, linksDown), packet);
    const outcome = outcomes.find((each) => bad && outcomeKey(each) === outcomeKey(bad)) ?? outcomes[0];
    const rule = outcome.trail?.rule.rule;
    const fault =
      rule === undefined || rule.path === KERNEL
        ? 'No declared rule matches it.'
        : `Rule ${rule.priority} of "${rule.path}" decides: ${ruleText(rule)}.`;
    return {
      path,
      message: [
        `expectation "${label}" is untrue: ${linksDown.length > 0 ? `with ${linksDown.join(', ')} down, ` : ''}a packet ${packetText(questionOf(packet))} ` +
          `${outcomePhrase(outcome)}, where "${dispositionsText(dispositions)}" is expected. ${fault} Its way through the rules:`,
        ...explain(outcome, packet.family).map((line) => `  ${line}`),
      ].join('\n'),
    };
  }
}

function outcomePhrase(outcome: Outcome): string {
  return outcome.kind === 'unicast' ? `goes ${outcomeText(outcome)}` : `ends as "${outcomeText(outcome)}"`;
}

/** The kinds of packets in the traffic that rules distinguish. */
function headersIn(machine: Machine, traffic: Traffic): HeaderFields[] {
  const { family, inputInterface, firewallMark = 0, uid = 0, tos, ipProtocol, sourcePort, destinationPort } = traffic;
  const { except = [] } = traffic;
  const given = Object.fromEntries(
    Object.entries({ tos, ipProtocol, sourcePort, destinationPort }).filter(([, value]) => value !== undefined),
  );
  const headers = headersOf(machine, family, inputInterface, firewallMark)
    .map((header): HeaderFields => ({ ...header, uid, ...given }))
    .filter((header) => !except.some((selectors) => isExcepted(selectors, header)));
  return [...new Map(headers.map((header) => [JSON.stringify(header), header])).values()];
}

function isExcepted({ firewallMark, ...selectors }: Selectors, header: HeaderFields): boolean {
  return Object.entries({ ...selectors, mark: firewallMark }).every(
    ([key, value]) => value === undefined || value === header[key as keyof HeaderFields],
  );
}

/** A packet of the machine itself has a given source, or one that the kernel chooses. */
function sentFrom({ family, sources }: Traffic): Bits | undefined {
  return sources ? prefixBits(sources.within[0]) : UNSPECIFIED[family];
}

/**
 * Tells whether an expectation applies to a decision: to forwarded packets, or to a single address, and not to packets
 * that a rule of another construct decides.
 */
function isMeant({ outcomes }: Decision, { path, traffic, dispositions, overridable }: Intent): boolean {
  const isOthers = ({ by = KERNEL }: Outcome): boolean => by !== KERNEL && !`${by}/`.startsWith(`${path}/`);
  const here = dispositions.some(({ kind }) => kind === 'local');
  const isForwarded = ({ kind }: Outcome): boolean =>
    !(kind === 'broadcast' || kind === 'multicast' || kind === 'invalid') &&
    (here || !(kind === 'local' || kind === 'anycast'));
  return !(overridable && outcomes.some(isOthers)) && (isOneAddress(traffic) || outcomes.some(isForwarded));
}

/** Tells whether the kernel drops the packets because of an address. */
function isDropped({ outcomes }: Decision): boolean {
  return outcomes.every(({ kind }) => kind === 'invalid');
}

function isOneAddress({ family, destinations: { within, except } }: Traffic): boolean {
  return except.length === 0 && within.every((prefix) => prefixBits(prefix).length === ADDRESS_LENGTH[family]);
}

/** Tells whether an expectation is untrue for all values known at apply only. */
function isUntrue(decision: Decision, { dispositions }: Intent): boolean {
  const wrong = (outcome: Outcome): boolean => !meets(outcome, dispositions);
  return isCertain(decision) ? decision.outcomes.some(wrong) : decision.outcomes.every(wrong);
}

/** An unknown outcome may be the expected one. */
function meets(outcome: Outcome, dispositions: readonly Disposition[]): boolean {
  return outcome.kind === 'unknown' || dispositions.some((disposition) => meetsDisposition(outcome, disposition));
}

function meetsDisposition(outcome: Outcome, disposition: Disposition): boolean {
  switch (disposition.kind) {
    case 'unicast': {
      const { via, device } = disposition;
      return (
        outcome.kind === 'unicast' &&
        (!via || outcome.via === via.text || !isKnown(via) || outcome.via?.startsWith('<') === true) &&
        (!device || outcome.device === undefined || outcome.device === device.text || !isKnown(device))
      );
    }
    case 'local':
      return outcome.kind === 'local' || outcome.kind === 'anycast';
    case 'rejected':
      return isRejected(outcome);
    case 'unchanged':
      return (outcome.by ?? KERNEL) === KERNEL;
  }
}

/**
 * Destinations that stand for the rest of the world. Machines rarely have routes to documentation prefixes, but
 * firewalls may have blackhole routes, so some public addresses follow. No packet is sent there.
 */
const SAMPLE_DESTINATIONS: Readonly<Record<Family, readonly Bits[]>> = {
  4: ['198.51.100.1', '203.0.113.1', '23.0.0.1', '101.0.0.1', '185.0.0.1'].map(prefixBits),
  6: ['2001:db8::1', '2400::1', '2600::1', '2a00::1'].map(prefixBits),
};

/** The protocols of IPv4 that `ip route get` can ask about. Its default comes first. */
const ASKABLE = [17, 6, 1];

/** Tells whether the destinations are plain prefixes, without exceptions and special addresses. */
function hasPlainDestinations({ family, destinations: { within, except } }: Traffic): boolean {
  const special = family === 4 ? [] : NEVER_FORWARDED;
  return (
    except.length === 0 &&
    within.map(prefixBits).every((prefix) => !special.some((each) => each.startsWith(prefix) && each !== prefix))
  );
}

interface ChainPart {
  readonly sourceClass: SourceClass;
  /** Decisions about packets to a prefix. */
  readonly chain: Chain<Decision>;
  readonly prefix: Bits;
}

function* chainsOf(
  reachability: Reachability,
  { sources, destinations, inputInterface }: Traffic,
): Generator<ChainPart> {
  const prefixes = destinations.except.length > 0 ? [''] : destinations.within.map(prefixBits);
  for (const sourceClass of classesOf(reachability, sources, inputInterface === undefined)) {
    const chain = reachability.chainOf(sourceClass);
    for (const prefix of prefixes) {
      yield { sourceClass, chain: chain.map((map) => partOf(map, prefix)), prefix };
    }
  }
}

function classesOf(reachability: Reachability, sources: Addresses | undefined, sent: boolean): SourceClass[] {
  if (sent) {
    const own = sources && reachability.sources.of(prefixBits(sources.within[0]));
    return [own ?? ''];
  }
  const { within, except } = sources ?? { within: ['default'], except: [] };
  const left = except.map(prefixBits);
  const classes = within.flatMap((prefix) => reachability.sources.within(prefixBits(prefix)));
  return [...new Set(classes)].filter((each) => !left.some((prefix) => each.startsWith(prefix)));
}

/** A packet of a source class to a prefix that gets this decision. */
function packetOf(
  reachability: Reachability,
  sourceClass: SourceClass,
  chain: Chain<Decision>,
  prefix: Bits,
  decision: Decision,
  { traffic }: Intent,
): PacketHeader {
  const { family } = reachability.header;
  const probe = [...SAMPLE_DESTINATIONS[family], hostIn(prefix, family)].find((address) =>
    isDecided(reachability, chain, prefix, decision, address),
  );
  const destination = probe ?? hostIn(prefix + (prefixWith(chain, reachability.decisions, decision) ?? ''), family);
  const { inputInterface } = traffic;
  const source = inputInterface === undefined ? sentFrom(traffic) : reachability.sourceOf(sourceClass);
  return { ...reachability.header, inputInterface, source, destination };
}

/** Whether an address is in a prefix, and packets to it get this decision. */
function isDecided(
  reachability: Reachability,
  chain: Chain<Decision>,
  prefix: Bits,
  decision: Decision,
  address: Bits,
): boolean {
  return (
    address.startsWith(prefix) && chainValueAt(chain, address.slice(prefix.length), reachability.decisions) === decision
  );
}

function questionOf({ family, source, destination, mark, tos, uid, ...rest }: PacketHeader): Question {
  const { inputInterface, ipProtocol, sourcePort, destinationPort } = rest;
  return {
    family,
    destination: prefixText(destination, family),
    source: source === undefined || source === UNSPECIFIED[family] ? undefined : prefixText(source, family),
    inputInterface,
    firewallMark: mark || undefined,
    tos: tos || undefined,
    uid: inputInterface === undefined ? uid : undefined,
    ipProtocol,
    sourcePort,
    destinationPort,
  };
}
