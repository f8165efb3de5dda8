import { Fn, Token } from 'cdktf';
import type { FamilyOrAuto } from '../model/family';
import { familyName } from '../model/family';
import type { InterfaceAddress, Value } from '../model/value';
import { isLinkLocal, secondOfFamily } from '../model/value';
import type { Arguments } from './arguments';

/** A pool whose return route needs an address of the server. */
interface ReturnPool {
  /** Name in error messages: `clients[0]`. */
  readonly property: string;
  readonly text: string;
  readonly value: Value;
  readonly family: FamilyOrAuto;
}

/** The addresses of the server that a return route may lead to. */
interface Candidates {
  readonly device: string;
  /** Those that the user named. */
  readonly chosen: readonly Value[];
  readonly addresses: readonly InterfaceAddress[];
  /** Addresses of the interface that are known at apply only. */
  readonly tokens: readonly string[];
}

/** The addresses that return routes lead to, one for each family. */
export function parseReturnAddresses(args: Arguments, texts: readonly string[]): Value[] {
  const addresses = texts.map((text, index) => args.nextHopAddress(text, `returnAddresses[${index}]`));
  const index = secondOfFamily(addresses);
  const twice = addresses[index];
  if (twice?.family !== undefined) {
    throw args.error(
      `returnAddresses[${index}] "${twice.text}" is the second ${familyName(twice.family)} address. Give one for each family.`,
    );
  }
  return addresses;
}

/** The address of the server that the return route of a pool leads to. */
export function returnAddress(pool: ReturnPool, candidates: Candidates, args: Arguments): string {
  const { family } = pool.value;
  const { chosen, addresses, tokens } = candidates;
  const named = chosen.find((address) => family === undefined || (address.family ?? family) === family);
  if (named) {
    return named.text;
  }
  // Another machine may have the same link-local address.
  const global = addresses.filter(({ address }) => !isLinkLocal(address));
  const ofFamily = global.filter((address) => family === undefined || address.family === family);
  const [address] = ofFamily;
  // The family of a token is unknown, so it must be the only candidate.
  const [token] = tokens;
  if (address && ofFamily.length === 1 && (family !== undefined || tokens.length === 0)) {
    return address.address;
  }
  if (token !== undefined && ofFamily.length === 0 && tokens.length === 1) {
    return Token.asString(Fn.element(Fn.split('/', token), 0));
  }
  const device = Token.isUnresolved(candidates.device) ? 'a token' : candidates.device;
  const shown = `${pool.property} "${Token.isUnresolved(pool.text) ? 'a token' : pool.text}" needs a return route via`;
  const which = family === undefined ? '' : `${familyName(family)} `;
  throw ofFamily.length + tokens.length > 1
    ? args.error(
        `${shown} one ${which}address of this server, and "${device}" has several ` +
          `(${[...ofFamily.map((each) => each.address), ...tokens.map(() => 'a token')].join(', ')}). Name it in returnAddresses.`,
      )
    : args.error(
        `${shown} this server's ${which}address on "${device}", which is not declared. Add it to the addresses of "${device}" in the host's interfaces, or to returnAddresses.`,
      );
}
