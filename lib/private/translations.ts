import type { LinuxHost } from '../linux-host';
import type { Translation } from '../model/translation';
import { checkTranslation } from '../model/translation';
import type { SourceNat } from '../source-nat';
import type { Arguments } from './arguments';

/** Has a host change the source of clients' packets, if that is what `sourceNat` says. */
export function addTranslation(
  host: LinuxHost,
  args: Arguments,
  sourceNat: SourceNat | undefined,
  packets: Omit<Translation, 'addresses'>,
): void {
  if (sourceNat?._addresses) {
    const addresses = sourceNat._addresses.map((text, index) => args.value('address', text, `sourceNat[${index}]`));
    const translation = { ...packets, addresses };
    args.attempt(() => checkTranslation(translation));
    host._declaration.addTranslation(translation);
  }
}
