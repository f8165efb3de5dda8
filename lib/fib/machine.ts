import type { Family } from '../model/family';
import { MAIN_TABLE_ID } from '../model/host';
import type { Rule } from '../model/rule';
import { MAIN_RULE_PRIORITY } from '../model/rule';
import type { InterfaceAddress } from '../model/value';
import type { Bits } from './bits';
import { addressBits } from './bits';
import type { RuleList } from './rules';
import type { CompiledTable } from './table';

export type LinkState = 'up' | 'no carrier' | 'down';

/** The kernel's check of the source of a forwarded IPv4 packet, by the value of `rp_filter`. */
export enum ReversePathFilter {
  OFF = 0,
  STRICT = 1,
  LOOSE = 2,
}

export interface LinkAddress extends InterfaceAddress {
  /** What `ip address add … brd` names. */
  readonly broadcast?: string;
}

export interface Link {
  readonly name: string;
  readonly addresses: readonly LinkAddress[];
  readonly group?: number;
  /** @default 'up' */
  readonly state?: LinkState;
  /**
   * The greater of `conf.all.rp_filter` and that of the link. The kernel uses this one.
   *
   * @default - not known
   */
  readonly reversePathFilter?: ReversePathFilter;
}

export const LOOPBACK: Link = {
  name: 'lo',
  addresses: [
    { text: '127.0.0.1/8', address: '127.0.0.1', family: 4 },
    { text: '::1/128', address: '::1', family: 6 },
  ],
};

/** Settings of the kernel that change where packets go. */
export interface Sysctls {
  /** `ignore_routes_with_linkdown`: a link without carrier counts as down. */
  readonly ignoreRoutesWithLinkdown?: boolean;
  /** `src_valid_mark`: the check of the source uses the mark, too. */
  readonly srcValidMark?: boolean;
}

/** The routing state of one family. */
export interface FamilyState {
  readonly rules: RuleList;
  readonly tables: ReadonlyMap<number, CompiledTable>;
}

/** A machine compiled for lookups. It forwards in both families. */
export interface Machine {
  readonly links: ReadonlyMap<string, Link>;
  readonly families: Readonly<Record<Family, FamilyState>>;
  readonly sysctls: Sysctls;
  /** Whether all addresses of the machine are known. */
  readonly complete: boolean;
}

export const LOCAL_TABLE_ID = 255;
export const DEFAULT_TABLE_ID = 253;

/** Path of the rules that are not declared. */
export const KERNEL = 'kernel';

/** The owner of a rule, as far as it matters: the kernel or not. */
export function ownerOf({ path }: Rule): string {
  return path === KERNEL ? KERNEL : 'declared';
}

/** Addresses that all of the machines have. Packets from the loopback network do not leave. */
export function commonAddresses(machines: readonly Machine[], family: Family): Bits[] {
  const [first, ...others] = machines.map(
    ({ links }) =>
      new Set(
        [...links.values()]
          .flatMap(({ addresses }) => addresses)
          .filter((each) => each.family === family)
          .map(({ address }) => addressBits(address)),
      ),
  );
  return [...first].filter((address) => others.every((own) => own.has(address)));
}

/** The rules that the kernel makes itself; IPv6 has no table "default". */
export function kernelRules(): Rule[] {
  const rule = (family: Family, priority: number, tableId: number): Rule => ({
    path: KERNEL,
    family,
    priority,
    action: { kind: 'lookup', tableId },
  });
  return [
    rule(4, 0, LOCAL_TABLE_ID),
    rule(4, MAIN_RULE_PRIORITY, MAIN_TABLE_ID),
    rule(4, MAIN_RULE_PRIORITY + 1, DEFAULT_TABLE_ID),
    rule(6, 0, LOCAL_TABLE_ID),
    rule(6, MAIN_RULE_PRIORITY, MAIN_TABLE_ID),
  ];
}
