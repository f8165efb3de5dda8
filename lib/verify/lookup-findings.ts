import { canonicalForm } from '../model/canonical-form';
import type { Expectation, Question } from '../model/expectation';
import type { Host, Problem } from '../model/host';
import { LimitedMap } from '../model/maps';
import { checkIntents } from './expectations';
import { lookupErrors, lookupWarnings } from './lookup-checks';

/** What the lookup finds in a declaration without other errors. */
export interface LookupFindings {
  readonly errors: readonly Problem[];
  readonly warnings: readonly Problem[];
  /** The expectations that the kernel can be asked about. */
  readonly expectations: readonly Expectation[];
}

/** Questions for each expectation of a host. */
type Questions = ReadonlyArray<readonly Question[]>;

/** The questions of hosts with which nothing is wrong, by their canonical forms. */
const soundHosts = new LimitedMap<string, Questions>();

/** Computed once for all hosts of a fleet that routing cannot distinguish, unless something is wrong with them. */
export function lookupFindings(declared: Host): LookupFindings {
  const form = canonicalForm(declared);
  const known = soundHosts.get(form);
  if (known) {
    return { errors: [], warnings: [], expectations: expectationsOf(declared, known) };
  }
  // A copy: the maps of the lookup are kept with it, and there may be a thousand hosts.
  const host = { ...declared };
  const checked = checkIntents(host);
  const questions = checked.map((each) => each.questions);
  const errors = [...lookupErrors(host), ...checked.flatMap(({ problem }) => problem ?? [])];
  const warnings = lookupWarnings(host);
  if (errors.length === 0 && warnings.length === 0) {
    soundHosts.set(form, questions);
  }
  return { errors, warnings, expectations: expectationsOf(host, questions) };
}

function expectationsOf({ intents }: Host, all: Questions): Expectation[] {
  return intents
    .map(({ path, label, dispositions }, index) => ({ path, label, questions: all[index], dispositions }))
    .filter(({ questions }) => questions.length > 0);
}
