import { createHash } from 'node:crypto';
import { agentProgram, dispatcherText, upHookText } from '../agent/program';
import type { Host } from '../model/host';
import { allRoutes } from '../model/host';
import type { Route } from '../model/route';
import { routeMetric, routeWords } from '../model/route';
import type { Rule, Word } from '../model/rule';
import { ruleWords } from '../model/rule';
import { isKnown } from '../model/value';
import { hookFiles } from './bundle';
import { literal } from './escape';

/**
 * What a generation consists of, keyed so that a plan shows the rules and routes that change and
 * little else. Keys must be known at synth time.
 */
export function generationTriggers(host: Host, persistence: string): Record<string, string> {
  return Object.fromEntries([
    ['agent', agentDigest()],
    ['persistence', persistence],
    ...host.tables.map((table) => [`table ${table.id}`, table.name ?? '']),
    ...host.rules.map((rule) => [ruleKey(rule), plain(ruleWords(rule))]),
    ...allRoutes(host).map((route) => [routeKey(route), plain(routeWords(route))]),
    ...hookFiles(host.hooks).map((hook) => [
      literal(`hook ${hook.path}`),
      `${hook.daemon}, table ${hook.tableIds.join(' ')}`,
    ]),
  ]) as Record<string, string>;
}

function ruleKey(rule: Rule): string {
  return rule.family === 'auto' ? `rule ${rule.priority}` : `rule ipv${rule.family} ${rule.priority}`;
}

function routeKey(route: Route): string {
  if (route.family === 'auto' || !isKnown(route.destination)) {
    return literal(`route ${route.path}`);
  }
  const metric = route.metric === undefined ? '' : ` metric ${routeMetric(route)}`;
  return `route ipv${route.family} ${route.tableId} ${route.destination.text}${metric}`;
}

function plain(words: readonly Word[]): string {
  return words.map((word) => (typeof word === 'string' ? literal(word) : word.text)).join(' ');
}

/** Changes with a new version of what runs on the host, so that an upgrade reaches it. */
function agentDigest(): string {
  const hash = createHash('sha256');
  for (const text of [agentProgram(), dispatcherText(), upHookText([])]) {
    hash.update(text);
  }
  return `sha256:${hash.digest('hex').slice(0, 16)}`;
}
