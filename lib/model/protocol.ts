/**
 * Routing protocol number that tags our rules and routes in the kernel, so that a person sees
 * whose they are. Not assigned in iproute2's `rt_protos`.
 */
export const ROUTING_PROTOCOL = 77;
