# The decision of the kernel: which way a packet goes that this machine itself sends.
#
# Two states are held side by side: 1 is what the kernel has, 2 what it will have. A flow has a
# receiver and a sender (and F_PORT, the port of the sender, and F_OIF, where its socket is bound to a
# device); what differs between its packets is in packet_tos, packet_port (of the receiver) and
# packet_uid. It is TCP and has no mark. Where a rule asks for something that is not known ("?"),
# both ways are followed, so an answer is a set: outcomes, each with a newline behind.
#
# All flows must be there before the first rule or route: what leads to none of them is not kept.

BEGIN { FLOWS = RULES_KEPT = 0 }

function new_flow(family, to, from,    p) {
  p = ++FLOWS
  F_FAMILY[p] = family
  F_TO[p] = to_hex(to)
  F_FROM[p] = to_hex(from)
  F_PORT[p] = F_OIF[p] = ""
  return p
}

function bits_of(prefix,    slash) {
  if (prefix == "default") return 0
  slash = index(prefix, "/")
  return slash ? substr(prefix, slash + 1) + 0 : index(prefix, ":") ? 128 : 32
}

# The prefixes of this length around the ends of all flows, as text: comparing that is quicker
# than calculating anew for each of thousands of routes.
function prepare(family, bits,    p) {
  PREPARED[family, bits] = 1
  for (p = 1; p <= FLOWS; p++) if (F_FAMILY[p] == family) {
    AROUND[p, "to", bits] = around(F_TO[p], bits)
    AROUND[p, "from", bits] = around(F_FROM[p], bits)
    SOME[family, "to", AROUND[p, "to", bits]] = SOME[family, "from", AROUND[p, "from", bits]] = 1
  }
}
function around(hex, bits) { return hex == "" ? "" : short_prefix(to_text(masked(hex, bits)) "/" bits) }

# Is the prefix around the end of some flow?
function concerns_some(family, end, prefix,    bits) {
  bits = bits_of(prefix)
  if (!((family, bits) in PREPARED)) prepare(family, bits)
  return (family, end, prefix) in SOME
}

# Have two hexadecimal numbers a bit in common?
function share_bits(a, b,    i, x, y, bit) {
  sub(/^0x/, "", a)
  sub(/^0x/, "", b)
  while (length(a) < length(b)) a = "0" a
  while (length(b) < length(a)) b = "0" b
  for (i = 1; i <= length(a); i++) {
    x = hex_to_number(substr(a, i, 1))
    y = hex_to_number(substr(b, i, 1))
    for (bit = 8; bit >= 1; bit /= 2) {
      if (x >= bit && y >= bit) return 1
      if (x >= bit) x -= bit
      if (y >= bit) y -= bit
    }
  }
  return 0
}

# A rule as read_kernel_rule leaves it. Returns its number, 0 if it matches no flow.
function keep_rule(family,    r, n, w, i, t, mark) {
  n = split(rule_spec, w, " ")
  r = RULES_KEPT + 1
  R_NOT[r] = R_NEVER[r] = R_MAYBE[r] = 0
  R_FROM[r] = R_TO[r] = "default"
  R_TOS[r] = R_OIF[r] = R_UID[r] = R_SPORT[r] = R_DPORT[r] = R_TABLE[r] = R_GOTO[r] = R_ACTION[r] = R_GROUP[r] = ""
  R_LENGTH[r] = -1
  for (i = 1; i <= n; i++) {
    t = w[i]
    if (t == "not") R_NOT[r] = 1
    else if (t == "from") R_FROM[r] = w[++i]
    else if (t == "to") R_TO[r] = w[++i]
    else if (t == "tos") R_TOS[r] = w[++i]
    else if (t == "dscp") {
      if (w[++i] ~ /^[0-9]+$/) R_TOS[r] = sprintf("0x%x", w[i] * 4)
      else R_MAYBE[r] = 1
    } else if (t == "fwmark") {
      if (split(w[++i], mark, "/") == 1) mark[2] = "0xffffffff"
      if (share_bits(mark[1], mark[2])) R_NEVER[r] = 1
    } else if (t == "iif") { if (w[++i] != "lo") R_NEVER[r] = 1 }
    else if (t == "oif") R_OIF[r] = w[++i]
    else if (t == "uidrange") R_UID[r] = w[++i]
    else if (t == "ipproto") { if (w[++i] != 6) R_NEVER[r] = 1 }
    else if (t == "sport") R_SPORT[r] = w[++i]
    else if (t == "dport") R_DPORT[r] = w[++i]
    else if (t == "tun_id") { i++; R_NEVER[r] = 1 }
    else if (t == "realms") i++
    else if (t == "lookup") R_TABLE[r] = w[++i]
    else if (t == "goto") R_GOTO[r] = w[++i]
    else if (t == "suppress_prefixlength") R_LENGTH[r] = w[++i] + 0
    else if (t == "suppress_ifgroup") R_GROUP[r] = w[++i]
    else if (t == "blackhole" || t == "unreachable" || t == "prohibit") R_ACTION[r] = t
    else if (t != "nop") R_MAYBE[r] = 1
  }
  if (!R_NOT[r] && (R_NEVER[r] || !concerns_some(family, "from", R_FROM[r]) || !concerns_some(family, "to", R_TO[r]))) return 0
  # Where all are kept by their `not`, their prefixes must be known, too.
  concerns_some(family, "from", R_FROM[r])
  concerns_some(family, "to", R_TO[r])
  FROM_BITS[r] = bits_of(R_FROM[r])
  TO_BITS[r] = bits_of(R_TO[r])
  R_FAMILY[r] = family
  R_PRIORITY[r] = rule_priority
  R_SPEC[r] = rule_spec
  return RULES_KEPT = r
}

# A line of the kernel, as read_kernel prints it: part of both states.
function is_now(family,    name, i) {
  if (/^[0-9]+:\t/) {
    read_kernel_rule($0)
    insert_rule(family, 1, 1)
  } else if (/^[0-9]+: [^ ]+: </) {
    name = substr($2, 1, length($2) - 1)
    sub(/@.*/, "", name)
    for (i = 3; i < NF; i++) if ($i == "group") GROUP[name] = $(i + 1)
  } else if (worth_reading(family, $1, $2)) insert_route(read_kernel_route($0, family), 1, 1)
}

# A line for `ip -batch`, as plan.awk writes it: what makes the second state of the first.
function change(family,    line, id, old) {
  line = $0
  if ($1 == "rule") {
    sub(/^rule [a-z]+ pref /, "", line)
    sub(/ /, ":\t", line)
    read_kernel_rule(line)
    if ($2 == "add") insert_rule(family, 0, 1)
    else delete_rule(family)
  } else if (worth_reading(family, $3, $4)) {
    sub(/^route [a-z]+ /, "", line)
    id = read_kernel_route(line, family)
    old = at_place(id)
    if ($2 != "add" && old) ROUTE_IN[2, old] = 0
    if ($2 != "del") insert_route(id, 0, 1)
  }
}

# Adds the rule last read, to one state or to both.
function insert_rule(family, before, after,    r) {
  if (before) AT_PRIORITY[1, family, rule_priority]++
  if (after) AT_PRIORITY[2, family, rule_priority]++
  r = keep_rule(family)
  if (!r) return
  R_IN[1, r] = before
  R_IN[2, r] = after
  RULE_AT[family, rule_priority, rule_spec, rule_protocol] = r
}

# Takes the rule last read out of the state after the change.
function delete_rule(family,    r) {
  AT_PRIORITY[2, family, rule_priority]--
  r = RULE_AT[family, rule_priority, rule_spec, rule_protocol]
  if (r) R_IN[2, r] = 0
}

# Is there anything to keep of this line of `ip route show`? Most lines need no second look.
function worth_reading(family, word, next_word,    prefix) {
  prefix = short_prefix((word in TYPE) ? next_word : word)
  return concerns_some(family, "to", prefix)
}

# Makes route `id` part of one state or of both.
function insert_route(id, before, after,    n, w, i, key) {
  n = split(DESTINATION[id], w, " ")
  D_PREFIX[id] = w[1]
  D_FROM[id] = "default"
  D_TOS[id] = ""
  for (i = 2; i < n; i += 2) {
    if (w[i] == "from") D_FROM[id] = short_prefix(w[i + 1])
    else { D_TOS[id] = tolower(w[i + 1]); sub(/^0x0+/, "0x", D_TOS[id]) }
  }
  if (!concerns_some(FAMILY[id], "to", D_PREFIX[id])) return
  concerns_some(FAMILY[id], "from", D_FROM[id])
  if (D_TOS[id] != "") ROUTE_TOS[D_TOS[id]] = 1
  key = FAMILY[id] " " ROUTE_TABLE[id]
  IN_TABLE[key] = IN_TABLE[key] " " id
  ROUTE_IN[1, id] = before
  ROUTE_IN[2, id] = after
}

# The first route at the place of route `id` after the change, 0 if there is none.
function at_place(id,    n, i, ids) {
  n = split(IN_TABLE[FAMILY[id] " " ROUTE_TABLE[id]], ids, " ")
  for (i = 1; i <= n; i++)
    if (ROUTE_IN[2, ids[i]] && DESTINATION[ids[i]] == DESTINATION[id] && METRIC[ids[i]] + 0 == METRIC[id] + 0) return ids[i]
  return 0
}

# To be called when all rules are there: a new one goes behind those of its priority.
function order_rules(    state, r, i, list, k) {
  for (state = 1; state <= 2; state++) for (r = 1; r <= RULES_KEPT; r++) {
    if (!R_IN[state, r]) continue
    k = state " " R_FAMILY[r]
    for (i = ++IN_ORDER[k]; i > 1 && R_PRIORITY[ORDER[k, i - 1]] + 0 > R_PRIORITY[r] + 0; i--) ORDER[k, i] = ORDER[k, i - 1]
    ORDER[k, i] = r
  }
}

function in_range(value, range,    end) {
  if (value == "?") return 2
  if (split(range, end, "-") == 1) end[2] = end[1]
  return value + 0 >= end[1] + 0 && value + 0 <= end[2] + 0
}

# Does the rule match: 0 no, 1 yes, 2 who knows.
function matches(r, p,    m) {
  m = matches_all(r, p)
  return R_NOT[r] && m != 2 ? !m : m
}
function matches_all(r, p,    unknown, m) {
  if (R_NEVER[r]) return 0
  if (R_FROM[r] != "default" && AROUND[p, "from", FROM_BITS[r]] != R_FROM[r]) return 0
  if (R_TO[r] != "default" && AROUND[p, "to", TO_BITS[r]] != R_TO[r]) return 0
  if (R_OIF[r] != "" && R_OIF[r] != F_OIF[p]) return 0
  unknown = R_MAYBE[r]
  # Not a number, but a mask behind it: a newer kernel than this knows.
  if ((R_SPORT[r] R_DPORT[r]) ~ /[^0-9-]/) unknown = 1
  else {
    if (R_SPORT[r] != "" && !in_range(F_PORT[p], R_SPORT[r])) return 0
    if (R_DPORT[r] != "") {
      m = in_range(packet_port, R_DPORT[r])
      if (!m) return 0
      if (m == 2) unknown = 1
    }
  }
  if (R_UID[r] != "") {
    m = in_range(packet_uid, R_UID[r])
    if (!m) return 0
    if (m == 2) unknown = 1
  }
  if (R_TOS[r] != "") {
    if (packet_tos == "?") unknown = 1
    else if (packet_tos != R_TOS[r]) return 0
  }
  return unknown ? 2 : 1
}

# The outcomes for a flow. For each, CHOSEN_RULE and CHOSEN_ROUTE say what decided; JUMPED has the
# rule with a goto, new in state 2, that was followed.
function lookup(state, p,    k, n, i, r, m, reached) {
  split("", CHOSEN_RULE)
  split("", CHOSEN_ROUTE)
  answer = ""
  JUMPED = 0
  k = state " " F_FAMILY[p]
  n = IN_ORDER[k] + 0
  reached[1] = 1
  # A goto leads forward only, so one pass sees every way.
  for (i = 1; i <= n; i++) {
    if (!(i in reached)) continue
    r = ORDER[k, i]
    m = matches(r, p)
    if (m != 1) reached[i + 1] = 1
    if (!m) continue
    if (R_GOTO[r] != "") {
      if (state == 2 && !R_IN[1, r]) JUMPED = r
      reached[target(state, k, i, n)] = 1
    } else if (R_ACTION[r] != "") found(p, R_ACTION[r], r, 0)
    else if (R_TABLE[r] == "" || look_in(state, p, r) != 1) reached[i + 1] = 1
  }
  if ((n + 1) in reached) found(p, "no route", 0, 0)
  return answer
}

# Where the goto of the i-th rule leads: behind itself if there is no such rule.
function target(state, k, i, n,    j, priority) {
  priority = R_GOTO[ORDER[k, i]]
  if (!AT_PRIORITY[state, R_FAMILY[ORDER[k, i]], priority]) return i + 1
  for (j = i + 1; j <= n && R_PRIORITY[ORDER[k, j]] + 0 < priority + 0; j++);
  return j
}

function is_path(outcome) { return outcome ~ /^(dev |local)/ }

function found(p, outcome, r, id) {
  # Without a route IPv4 takes the receiver for a neighbour on the device it is bound to.
  if (F_FAMILY[p] == 4 && F_OIF[p] != "" && !is_path(outcome)) outcome = "dev " F_OIF[p]
  if (outcome in CHOSEN_RULE) return
  CHOSEN_RULE[outcome] = r
  CHOSEN_ROUTE[outcome] = id
  answer = answer outcome "\n"
}

# Follows rule r into its table: 0 if the search goes on with the next rule, 2 if it may.
function look_in(state, p, r,    ids, n, i, id, best, tried, passed, kind) {
  n = split(IN_TABLE[F_FAMILY[p] " " R_TABLE[r]], ids, " ")
  for (;;) {
    best = 0
    for (i = 1; i <= n; i++) {
      id = ids[i]
      if (!(id in tried) && ROUTE_IN[state, id] && leads_to(id, p) && (!best || better(id, best))) best = id
    }
    if (!best) return 0
    tried[best] = 1
    kind = KIND[best]
    if (kind == "throw") return 0
    if (kind == "blackhole" || kind == "unreachable" || kind == "prohibit") {
      # An IPv6 route that is bound to another device is not looked at, and this one is: to lo.
      if (F_FAMILY[p] == 6 && F_OIF[p] != "") continue
      found(p, kind, r, best)
      return 1
    }
    if (kind != "unicast") {
      if (bits_of(D_PREFIX[best]) <= R_LENGTH[r]) return 0
      found(p, kind, r, best)
      return 1
    }
    if (!usable_hops(state, p, best)) continue
    if (bits_of(D_PREFIX[best]) <= R_LENGTH[r]) return 0
    # IPv4 looks at the first next hop before it chooses one, IPv6 at the one chosen.
    if (F_FAMILY[p] == 4 && in_group(state, p, best, 0, r)) return 0
    passed = take_hops(state, p, best, r)
    # Among several equal ones the kernel chooses by what it knows about the neighbours.
    for (i = 1; i <= n; i++) {
      id = ids[i]
      if (!(id in tried) && ROUTE_IN[state, id] && KIND[id] == "unicast" && leads_to(id, p) && !better(best, id) &&
          (F_FAMILY[p] == 6 || D_PREFIX[id] == "default")) passed += take_hops(state, p, id, r)
    }
    return passed ? 2 : 1
  }
}

function leads_to(id, p) {
  if (AROUND[p, "to", bits_of(D_PREFIX[id])] != D_PREFIX[id]) return 0
  if (D_FROM[id] != "default" && AROUND[p, "from", bits_of(D_FROM[id])] != D_FROM[id]) return 0
  return D_TOS[id] == "" || D_TOS[id] == packet_tos
}

# Of two routes that lead to the same flow, is the first one preferred?
function better(a, b,    x, y) {
  x = bits_of(D_PREFIX[a]); y = bits_of(D_PREFIX[b])
  if (x != y) return x > y
  x = bits_of(D_FROM[a]); y = bits_of(D_FROM[b])
  if (x != y) return x > y
  if ((D_TOS[a] == "") != (D_TOS[b] == "")) return D_TOS[a] != ""
  return METRIC[a] + 0 < METRIC[b] + 0
}

# A route has HOPS[id] next hops, or is itself one (hop 0).
function usable(state, p, id, h) {
  if (h ? ((id, h) in HOP_DEAD) : (id in DEAD)) return 0
  return F_OIF[p] == "" || device_of_hop(state, p, id, h) == F_OIF[p]
}
function usable_hops(state, p, id,    h, n) {
  if (!HOPS[id]) return usable(state, p, id, 0)
  n = 0
  for (h = 1; h <= HOPS[id]; h++) n += usable(state, p, id, h)
  return n
}
# How many of them does the rule pass over?
function take_hops(state, p, id, r,    h, passed) {
  passed = 0
  for (h = HOPS[id] ? 1 : 0; h <= HOPS[id]; h++) {
    if (!usable(state, p, id, h)) continue
    if (F_FAMILY[p] == 6 && in_group(state, p, id, h, r)) passed++
    else found(p, hop_text(state, p, id, h), r, id)
  }
  return passed
}
function in_group(state, p, id, h, r) {
  return R_GROUP[r] != "" && R_GROUP[r] + 0 == GROUP[device_of_hop(state, p, id, h)] + 0
}
function hop_text(state, p, id, h,    via) {
  via = h ? HOP_VIA[id, h] : VIA[id]
  return "dev " device_of_hop(state, p, id, h) (via == "" ? "" : " via " via)
}

# A route that is not in the kernel yet need not name its device: that of the gateway is meant,
# which is looked for where links are, in its own table and in main, not by the rules. For that
# there must be a flow to the gateway (gateway_flow).
function device_of_hop(state, p, id, h,    name, via, i, n, ids, best, tables) {
  if (HOPS[id] && !h) h = 1
  name = h ? HOP_DEV[id, h] : DEV[id]
  via = h ? HOP_VIA[id, h] : VIA[id]
  if (name != "" || !((F_FAMILY[p] " " via) in GATEWAY)) return name
  p = GATEWAY[F_FAMILY[p] " " via]
  best = 0
  n = split(IN_TABLE[FAMILY[id] " " ROUTE_TABLE[id]] " " IN_TABLE[FAMILY[id] " 254"], ids, " ")
  for (i = 1; i <= n; i++)
    if (ROUTE_IN[state, ids[i]] && KIND[ids[i]] == "unicast" && VIA[ids[i]] == "" && !HOPS[ids[i]] && leads_to(ids[i], p) &&
        (!best || better(ids[i], best))) best = ids[i]
  return best ? DEV[best] : "?"
}
function gateway_flow(family, via) {
  if (!((family " " via) in GATEWAY)) GATEWAY[family " " via] = new_flow(family, via, "")
}
