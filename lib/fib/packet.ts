import type { Family } from '../model/family';
import { familyName, familyOf } from '../model/family';
import { InvalidValue } from '../model/value';
import type { Bits } from './bits';
import { addressBits, isAddress } from './bits';

/** The fields of a packet that routing looks at. */
export interface PacketHeader {
  readonly family: Family;
  readonly destination: Bits;
  /**
   * Unspecified if the machine sends the packet and the kernel chooses the source. In IPv4, this is the address
   * 0.0.0.0, which a rule can match. In IPv6, there is no source.
   */
  readonly source?: Bits;
  /** Input interface; undefined for packets of the machine itself. */
  readonly inputInterface?: string;
  /** Device that the sending socket is bound to. */
  readonly outputInterface?: string;
  readonly mark: number;
  readonly tos: number;
  /** User of the sending process. A packet that came in counts as that of root. */
  readonly uid: number;
  readonly ipProtocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** What routing looks at besides the addresses. */
export type HeaderFields = Omit<PacketHeader, 'source' | 'destination'>;

/** Options of a packet. By default, root of this machine sends it, without a mark and from an unspecified address. */
export interface PacketOptions {
  readonly destination: string;
  readonly source?: string;
  readonly inputInterface?: string;
  readonly outputInterface?: string;
  readonly mark?: number;
  readonly tos?: number;
  readonly uid?: number;
  readonly ipProtocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

export const UNSPECIFIED: Readonly<{ 4: Bits; 6: undefined }> = { 4: '0'.repeat(32), 6: undefined };

/** @throws InvalidValue if the addresses do not fit together, or a packet from outside has no source */
export function packetHeader(options: PacketOptions): PacketHeader {
  const { destination, source, mark = 0, tos = 0, uid = 0 } = options;
  const family = familyOf(destination);
  if (source !== undefined && familyOf(source) !== family) {
    throw new InvalidValue(
      `source "${source}" is ${familyName(familyOf(source))} but destination "${destination}" is ${familyName(family)}. Give both in one family.`,
    );
  }
  if (options.inputInterface !== undefined && source === undefined) {
    throw new InvalidValue(
      `a packet to "${destination}" that comes in through "${options.inputInterface}" needs a source. Give it, or leave out inputInterface.`,
    );
  }
  return asAsked({
    ...options,
    family,
    destination: wholeAddress(destination, 'destination', family),
    source: source === undefined ? UNSPECIFIED[family] : wholeAddress(source, 'source', family),
    mark,
    tos,
    uid,
  });
}

/** Fills in the default of `ip route get`: an IPv4 packet without a protocol is UDP. */
export function asAsked(packet: PacketHeader): PacketHeader {
  return { ...packet, ipProtocol: packet.ipProtocol ?? (packet.family === 4 ? 17 : undefined) };
}

function wholeAddress(text: string, property: string, family: Family): Bits {
  if (!isAddress(text)) {
    throw new InvalidValue(
      `${property} "${text}" is not an ${familyName(family)} address. Write it like "10.10.10.2".`,
    );
  }
  return addressBits(text);
}
