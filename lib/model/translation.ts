import { familyName } from './family';
import { isOf } from './marking';
import type { Value } from './value';
import { InvalidValue, secondOfFamily } from './value';

/** Packets of clients whose source the machine changes. */
export interface Translation {
  readonly path: string;
  /** The interface by which they leave. */
  readonly device: Value;
  readonly clients: readonly Value[];
  /** The sources that they get, one of each family; empty for that of the interface. */
  readonly addresses: readonly Value[];
}

/** Throws `InvalidValue` if a pool has no address of its family. */
export function checkTranslation({ clients, addresses }: Translation): void {
  const twice = addresses[secondOfFamily(addresses)];
  if (twice?.family !== undefined) {
    throw new InvalidValue(
      `sourceNat has a second ${familyName(twice.family)} address, "${twice.text}". Give one for each family.`,
    );
  }
  const wanted = new Set(clients.flatMap(({ family }) => family ?? []));
  if (addresses.length > 0 && addresses.length < wanted.size && addresses.some(({ family }) => family === undefined)) {
    throw new InvalidValue('sourceNat has one address for clients of both families. Give one for each family.');
  }
  const without = clients.find(
    ({ family }) => family !== undefined && addresses.length > 0 && !addresses.some((each) => isOf(each, family)),
  );
  if (without?.family !== undefined) {
    throw new InvalidValue(
      `sourceNat has no ${familyName(without.family)} address for the clients of "${without.text}". Add one.`,
    );
  }
}
