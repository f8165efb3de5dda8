import { createHash } from 'node:crypto';
import { dispatcherText, upHookText } from '../agent/program';
import { dispositionWords, questionWords, trafficWords } from '../model/expectation';
import { guards } from '../model/guard';
import type { Host } from '../model/host';
import { allRoutes } from '../model/host';
import { pushTo } from '../model/maps';
import type { Route } from '../model/route';
import { defaultMetric, routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { ruleWords } from '../model/rule';
import { isKnown } from '../model/value';
import type { Choice, Lines, Piece } from '../persistence/persistence';
import { hookFiles } from './bundle';
import { literal } from './escape';
import { forwardingFiles, forwardingTriggers } from './forwarding';
import { sharedFiles } from './scripts';
import { verifyTimer } from './verify-timer';
import { killSwitchFiles, killSwitchTriggers, markingTriggers } from './kill-switch';

/**
 * The parts of a generation, with keys such that a plan shows the rules and routes that change and little else. Keys
 * must be known at synth.
 */
export function generationTriggers(host: Host, choice: Choice): Record<string, string> {
  return Object.fromEntries([
    ['agent', agentDigest()],
    ['persistence', choice.kind === 'automatic' ? 'auto' : choice.among[0].name],
    ['files', filesDigest(choice, host)],
    ...host.tables.map((table) => [`table ${table.id}`, table.name ?? '']),
    ...host.rules.map((rule) => [ruleKey('rule', rule), plain(ruleWords(rule))]),
    ...guards(host).map((guard) => [ruleKey('guard', guard), plain(ruleWords(guard))]),
    ...allRoutes(host).map((route) => [routeKey(route), plain(routeWords(route))]),
    ...killSwitchTriggers(host, (word) => plain([word])),
    ...markingTriggers(host, (word) => plain([word])),
    ...hookFiles(host.hooks).map((hook) => [
      literal(`hook ${hook.path}`),
      `${hook.daemon}, table ${hook.tableIds.join(' ')}`,
    ]),
    ...expectationTriggers(host),
    ...forwardingTriggers(host, (parts) => parts.map((part) => plain([part])).join('')),
    ...verifyTriggers(host),
    ...(host.adopts ? [['adopt', ['rules and routes made by hand', ...host.adopts].join(', ')]] : []),
  ]) as Record<string, string>;
}

function verifyTriggers({ verifyIntervalSeconds, textfileDirectory }: Host): Array<[string, string]> {
  if (verifyIntervalSeconds === undefined) {
    return [];
  }
  const result = textfileDirectory ? [`result in ${textfileDirectory}`] : [];
  return [['verify', [`every ${verifyIntervalSeconds} seconds`, ...result].join(', ')]];
}

/**
 * Expectations are readable in a plan, except those that follow from the rest of the declaration. The questions for the
 * kernel, which may be hundreds, have one digest.
 */
function expectationTriggers({ intents, expectations, interfaces }: Host): Array<[string, string]> {
  const declared = new Map<string, string[]>();
  for (const { label, traffic, linksDown, dispositions } of intents.filter(({ overridable }) => !overridable)) {
    const down = linksDown.length > 0 ? `with ${linksDown.join(', ')} down ` : '';
    pushTo(declared, label, `${plain(trafficWords(traffic))} ${down}is ${plain(dispositionWords(dispositions))}`);
  }
  const packets = expectations.flatMap(({ label, questions, dispositions }) =>
    questions.map((each) =>
      [label, each.family, ...[...questionWords(each), 'is', ...dispositionWords(dispositions)].map(named)].join(' '),
    ),
  );
  const gateways = interfaces.map(({ name, gateways: via }) => [name, ...via.map(named)].join(' '));
  return [
    ...[...declared].map(([label, texts]): [string, string] => [`expect ${label}`, texts.join('; ')]),
    ...(packets.length === 0 ? [] : [['packets', digest([[...packets, ...gateways].join('\n')])] as [string, string]]),
  ];
}

function ruleKey(word: string, rule: Rule): string {
  return rule.family === 'auto' ? `${word} ${rule.priority}` : `${word} ipv${rule.family} ${rule.priority}`;
}

function routeKey(route: Route): string {
  if (route.family === 'auto' || !isKnown(route.destination)) {
    return literal(`route ${route.path}`);
  }
  const metric = routeMetric(route) === defaultMetric(route.family) ? '' : ` metric ${routeMetric(route)}`;
  return `route ipv${route.family} ${route.tableId} ${route.destination.text}${metric}`;
}

function plain(words: readonly Word[]): string {
  return words.map((word) => (typeof word === 'string' ? literal(word) : word.text)).join(' ');
}

/** Names a value in a digest. The text of a token has a number that depends on other tokens in the stack. */
function named(word: Word): string {
  return typeof word === 'string' ? word : word.deferredFor === undefined ? word.text : `@${word.deferredFor}@`;
}

let agent: string | undefined;

/** Changes with the version of the agent, so that an upgrade reaches the host. Made once for each program. */
function agentDigest(): string {
  const shared = sharedFiles();
  agent ??= digest([shared.agent.text, dispatcherText(), upHookText([]), shared.deliver.text]);
  return agent;
}

/** Changes with files that no other key covers: with their paths and contents. */
function filesDigest({ among }: Choice, host: Host): string {
  const text = (piece: Piece): string => named(typeof piece !== 'string' && 'value' in piece ? piece.value : piece);
  const texts = (files: ReadonlyArray<{ readonly lines: Lines }>): string[] =>
    files.flatMap(({ lines, ...file }) => [
      JSON.stringify({ ...file, length: lines.length }),
      ...lines.map((pieces) => `${pieces.map(text).join('\0')}\n`),
    ]);
  return digest([
    ...among.flatMap((persistence) => {
      const { files, dropIns = [], blocks = [], ...rest } = persistence.render(host);
      return [JSON.stringify([persistence.name, rest]), ...texts([...files, ...dropIns, ...blocks])];
    }),
    ...texts([...killSwitchFiles(host).files, ...forwardingFiles(host), ...verifyTimer(host).files]),
  ]);
}

function digest(texts: readonly string[]): string {
  return `sha256:${createHash('sha256').update(texts.join('')).digest('hex').slice(0, 16)}`;
}
