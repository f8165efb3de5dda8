/**
 * Routing protocol of our rules and routes in the kernel, so that people see whose they are. Not assigned in iproute2's
 * `rt_protos`.
 */
export const ROUTING_PROTOCOL = 77;
