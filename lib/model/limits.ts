export const MAX_UINT32 = 0xffffffff;

/** The kernel reserves the number above. */
export const MAX_UID = MAX_UINT32 - 1;

export const MAX_PORT = 65535;

/** In a rule, 65535 means "no port" to the kernel. */
export const MAX_RULE_PORT = MAX_PORT - 1;

/** The form of an owner, which is part of paths, names of units and commands on the machine. */
export const OWNER_PATTERN = /^[a-z][a-z0-9-]{0,30}$/;
