import type { Addresses, Expectation, Fate, Intent, Question, Traffic } from '../model/expectation';
import type { Host, Problem } from '../model/host';
import type { Rule } from '../model/rule';
import { isKnown } from '../model/value';
import type { Bits } from './bits';
import { ADDRESS_LENGTH, prefixBits, prefixText } from './bits';
import type { Description } from './build';
import { buildMachine, withLinksDown } from './build';
import type { Chain } from './chain';
import { chainValueAt, chainValues, prefixWith } from './chain';
import { decide } from './decide';
import type { Decision } from './decision';
import { isCertain, outcomeKey } from './decision';
import type { Flow, Kind } from './flow';
import { UNSPECIFIED } from './flow';
import { describeHost } from './from-host';
import { kindsOf } from './kinds';
import type { Machine } from './machine';
import { KERNEL } from './machine';
import type { Outcome } from './outcome';
import { isRejecting } from './outcome';
import { Paths } from './paths';
import type { SourceClass } from './source-classes';
import { explain, fatesText, outcomeText, packetText, ruleText } from './words';

/** Loopback, link-local and multicast; of IPv4 the lookup says so. */
const NEVER_FORWARDED = ['::', '::1', 'fe80::/10', 'ff00::/8'].map(prefixBits);

/** More of them would say the same again. */
const QUESTIONS_EACH = 8;

const MINE = 'mine';
const OTHERS = 'others';

/** What is untrue of what is expected of a host, and what its kernel is to be asked. */
export interface Checked {
  readonly problems: readonly Problem[];
  readonly expectations: readonly Expectation[];
}

export function checkIntents(host: Host): Checked {
  const description = describeHost(host);
  const checks = groupsOf(host.intents).flatMap((group) => new GroupCheck(description, group).results());
  return {
    problems: checks.flatMap(({ problem }) => problem ?? []),
    expectations: checks.flatMap(({ expectation }) => expectation ?? []),
  };
}

/** Intents that ask about the same kinds of packets to the same places: of thousands, all can be answered at once. */
function groupsOf(intents: readonly Intent[]): Intent[][] {
  const groups = new Map<Addresses, Map<string, Intent[]>>();
  for (const intent of intents) {
    const { sources, destinations, ...selectors } = intent.traffic;
    // What is sent has one source.
    const sent = selectors.inputInterface === undefined ? sources?.within : undefined;
    const key = JSON.stringify([selectors, sent, intent.linksDown, intent.yieldsToOthers === true && intent.path]);
    const same = groups.get(destinations) ?? new Map<string, Intent[]>();
    groups.set(destinations, same.set(key, [...(same.get(key) ?? []), intent]));
  }
  return [...groups.values()].flatMap((same) => [...same.values()]);
}

interface Result {
  readonly problem?: Problem;
  readonly expectation?: Expectation;
}

/** Intents that differ in their sources and in what is expected only. */
class GroupCheck {
  private readonly machine: Machine;
  private readonly paths: readonly Paths[];
  private readonly first: Intent;

  public constructor(
    description: Description,
    private readonly group: readonly Intent[],
  ) {
    [this.first] = group;
    const { traffic, linksDown, yieldsToOthers, path } = this.first;
    this.machine = buildMachine(withLinksDown(description, linksDown));
    const cuts = group.flatMap(({ traffic: { sources } }) => [...(sources?.within ?? []), ...(sources?.except ?? [])]);
    const { within, except } = traffic.destinations;
    const whose = (rule: Rule): string =>
      rule.path === KERNEL ? KERNEL : `${rule.path}/`.startsWith(`${path}/`) ? MINE : OTHERS;
    const sent = traffic.inputInterface === undefined;
    const left = sent || traffic.family === 4 || isOneAddress(traffic) ? [] : NEVER_FORWARDED;
    this.paths = kindsIn(this.machine, traffic).map(
      (kind) =>
        new Paths(this.machine, kind, {
          source: sent ? sentFrom(traffic) : undefined,
          cuts: sent ? [] : cuts.map(prefixBits),
          destinations: { within: within.map(prefixBits), except: [...except.map(prefixBits), ...left] },
          whose: yieldsToOthers ? whose : undefined,
        }),
    );
  }

  public results(): Result[] {
    return this.group.map((intent) => this.check(intent));
  }

  private check(intent: Intent): Result {
    const questions: Question[] = [];
    for (const paths of this.paths) {
      for (const sourceClass of this.classesOf(paths, intent.traffic)) {
        const chain = paths.chainOf(sourceClass);
        for (const decision of chainValues(chain, paths.decisions)) {
          if (decision === paths.elsewhere || !isMeant(decision, intent)) continue;
          const packet = (): Flow => packetOf(paths, sourceClass, chain, decision, intent);
          if (isUntrue(decision, intent)) {
            return { problem: this.problem(intent, packet(), decision) };
          }
          if (questions.length < QUESTIONS_EACH) questions.push(questionOf(packet()));
        }
      }
    }
    const { path, label, fates, linksDown } = intent;
    return linksDown.length > 0 || questions.length === 0 ? {} : { expectation: { path, label, questions, fates } };
  }

  private classesOf(paths: Paths, { sources, inputInterface }: Traffic): SourceClass[] {
    if (inputInterface === undefined) {
      return [''];
    }
    const { within, except } = sources ?? { within: ['default'], except: [] };
    const left = except.map(prefixBits);
    const classes = within.flatMap((prefix) => paths.sources.within(prefixBits(prefix)));
    return [...new Set(classes)].filter((each) => !left.some((prefix) => each.startsWith(prefix)));
  }

  private problem({ path, label, fates, linksDown }: Intent, packet: Flow, decision: Decision): Problem {
    const bad = decision.outcomes.find((outcome) => !meets(outcome, fates));
    const outcomes = decide(this.machine, packet);
    const outcome = outcomes.find((each) => bad && outcomeKey(each) === outcomeKey(bad)) ?? outcomes[0];
    const rule = outcome.trail?.rule.rule;
    const fault =
      rule === undefined || rule.path === KERNEL
        ? 'No declared rule takes it.'
        : `Rule ${rule.priority} of "${rule.path}" decides: ${ruleText(rule)}.`;
    return {
      path,
      message: [
        `expectation "${label}" is untrue: ${linksDown.length > 0 ? `with ${linksDown.join(', ')} down, ` : ''}a packet ${packetText(packet)} ` +
          `${fateOf(outcome)}, where "${fatesText(fates)}" is expected. ${fault} Its way through the rules:`,
        ...explain(outcome, packet.family).map((line) => `  ${line}`),
      ].join('\n'),
    };
  }
}

function fateOf(outcome: Outcome): string {
  return outcome.kind === 'unicast' ? `goes ${outcomeText(outcome)}` : `ends as "${outcomeText(outcome)}"`;
}

/** The kinds of packets that the traffic has, as far as rules tell them apart. */
function kindsIn(machine: Machine, traffic: Traffic): Kind[] {
  const { family, inputInterface, firewallMark = 0, uid = 0, tos, ipProtocol, sourcePort, destinationPort } = traffic;
  const given = Object.fromEntries(
    Object.entries({ tos, ipProtocol, sourcePort, destinationPort }).filter(([, value]) => value !== undefined),
  );
  const kinds = kindsOf(machine, family, inputInterface).map((kind): Kind => ({
    ...kind,
    mark: firewallMark,
    uid,
    ...given,
  }));
  return [...new Map(kinds.map((kind) => [JSON.stringify(kind), kind])).values()];
}

/** What the machine sends has one source, or leaves that to the kernel. */
function sentFrom({ family, sources }: Traffic): Bits | undefined {
  return sources ? prefixBits(sources.within[0]) : UNSPECIFIED[family];
}

/** Whether it is about packets that somebody is to forward, or about one address; and nobody else wants it so. */
function isMeant({ outcomes }: Decision, { traffic, fates, yieldsToOthers }: Intent): boolean {
  const here = fates.some(({ kind }) => kind === 'local');
  const isForwarded = ({ kind }: Outcome): boolean =>
    !(kind === 'broadcast' || kind === 'multicast' || kind === 'invalid') &&
    (here || !(kind === 'local' || kind === 'anycast'));
  return (
    !(yieldsToOthers && outcomes.some(({ by }) => by === OTHERS)) &&
    (isOneAddress(traffic) || outcomes.some(isForwarded))
  );
}

function isOneAddress({ family, destinations: { within, except } }: Traffic): boolean {
  return except.length === 0 && within.every((prefix) => prefixBits(prefix).length === ADDRESS_LENGTH[family]);
}

/** Whether it is wrong whatever becomes known at apply. */
function isUntrue(decision: Decision, { fates }: Intent): boolean {
  const wrong = (outcome: Outcome): boolean => !meets(outcome, fates);
  return isCertain(decision) ? decision.outcomes.some(wrong) : decision.outcomes.every(wrong);
}

/** What is not known may be what is expected. */
function meets(outcome: Outcome, fates: readonly Fate[]): boolean {
  return outcome.kind === 'unknown' || fates.some((fate) => meetsFate(outcome, fate));
}

function meetsFate(outcome: Outcome, fate: Fate): boolean {
  switch (fate.kind) {
    case 'unicast': {
      const { via, device } = fate;
      return (
        outcome.kind === 'unicast' &&
        (!via || outcome.via === via.text || !isKnown(via) || outcome.via?.startsWith('<') === true) &&
        (!device || outcome.device === undefined || outcome.device === device.text || !isKnown(device))
      );
    }
    case 'local':
      return outcome.kind === 'local' || outcome.kind === 'anycast';
    case 'rejected':
      return isRejecting(outcome);
  }
}

/** Addresses for documentation: nobody has them, so a kernel knows nothing in particular about them. */
const NOBODYS = { 4: prefixBits('198.51.100.1'), 6: prefixBits('2001:db8::1') };

/** A packet of a class that is decided so. */
function packetOf(
  paths: Paths,
  sourceClass: SourceClass,
  chain: Chain<Decision>,
  decision: Decision,
  { traffic }: Intent,
): Flow {
  const { family } = paths.kind;
  const length = ADDRESS_LENGTH[family];
  const probes = [
    NOBODYS[family],
    ...traffic.destinations.within.slice(0, QUESTIONS_EACH).map((text) => hostIn(prefixBits(text), length)),
  ];
  const probe = probes.find((address) => chainValueAt(chain, address, paths.decisions) === decision);
  const destination = probe ?? hostIn(prefixWith(chain, paths.decisions, decision) ?? '', length);
  return { ...paths.kind, source: paths.sourceOf(sourceClass), destination };
}

/** The third address: neither that of the network nor, most often, a router's. */
function hostIn(prefix: Bits, length: number): Bits {
  return prefix.length > length - 2 ? prefix.padEnd(length, '0') : prefix + '11'.padStart(length - prefix.length, '0');
}

function questionOf({ family, source, destination, mark, tos, uid, ...rest }: Flow): Question {
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
