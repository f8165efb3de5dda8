import type { Embedded } from './texts';

/** Nothing in the repository, where the files are read. `scripts/packages.ts` writes it for the packages. */
export const EMBEDDED: Embedded | undefined = undefined;
