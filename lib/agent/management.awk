# Would this change move the replies of the SSH server of this machine, or stop them?
#
# Files, each after an assignment to `part`: `peers` (FAMILY PEER SERVER PORT DEVICE UID LOGIN, one
# connection a line; LOGIN is `login` or `unknown`), `change` (the lines for `ip -batch`, in their
# order, after one to `family`; once before and once after `kernel`), `kernel` (what read_kernel
# prints), `answers` (what `ip route get` says about the peers, before the change).
#
# Variable: allow (not empty: what changes is only worth a remark).
#
# Prints "E text" for each peer whose way changes, "W text" for what cannot be foreseen, or if it is
# unknown whether the peer has logged in.

# More different ports or kinds of packets than that are not told apart: then both ways are
# followed at each rule.
BEGIN { MOST_CLASSES = 24; peers = 0 }

part == "peers" {
  p = new_flow($1, $2, $3)
  peers = p
  PEER[p] = $2
  SERVER[p] = $3
  F_PORT[p] = $4
  F_OIF[p] = $5 == "-" ? "" : $5
  UID[p] = $6 + 0
  ALLOWED[p] = allow != "" || $7 == "unknown"
  next
}

# Gateways without a device come first, for they are flows, too: see device_of_hop.
part == "change" && !have_kernel {
  if ($1 == "route" && $2 != "del" && (/ nexthop / || !/ dev /))
    for (i = 3; i < NF; i++) if ($i == "via") gateway_flow(family, $(i + 1))
  next
}

part == "change" { change(family); next }

part == "answers" {
  id = read_kernel_route($0, 0)
  answers++
  ANSWER_TO[answers] = DESTINATION[id]
  ANSWER[answers] = KIND[id] == "unicast" ? "dev " DEV[id] (VIA[id] == "" ? "" : " via " VIA[id]) : KIND[id]
  next
}

# From here on: kernel.
{ have_kernel = 1 }
/^family [46]$/ { family = $2; DUMPED[family] = 1; next }
{ is_now(family) }

END {
  order_rules()
  for (p = 1; p <= peers; p++) if ((F_FAMILY[p] in DUMPED) && foreseen(p)) check(p)
}

# Do the rules say what the kernel says?
function foreseen(p,    before, says, i) {
  packet_tos = "0x0"
  packet_port = packet_uid = 0
  before = lookup(1, p)
  says = ""
  for (i = 1; i <= answers; i++)
    if (ANSWER_TO[i] == PEER[p] " from " SERVER[p]) {
      if (has(before, ANSWER[i])) { says = ANSWER[i]; break }
      says = says (says == "" ? "" : " or ") ANSWER[i]
    }
  if (i <= answers && is_path(says)) return 1
  if (says == "" && !any_path(before)) before = "no route\n"
  # Who has a connection has a path: without one something is at work that is not seen here.
  print "W cannot foresee where packets to " PEER[p] " go after the change (the kernel says " quoted_set(says == "" ? "no route\n" : says "\n") \
    ", the rules say " quoted_set(before) "); the confirmation over a new connection decides"
  return 0
}

function has(set, outcome) { return index("\n" set, "\n" outcome "\n") > 0 }
function any_path(set,    n, i, o) {
  n = split(set, o, "\n")
  for (i = 1; i < n; i++) if (is_path(o[i])) return 1
  return 0
}
function quoted_set(set) {
  sub(/\n$/, "", set)
  gsub(/\n/, "\" or \"", set)
  return "\"" set "\""
}

# Packets that some rule tells apart: by type of service, port of the peer, user.
function classes_of(p,    r, t, seen, end) {
  split("", TOS); split("", PORT); split("", USER)
  toses = ports = users = 0
  TOS[++toses] = "0x0"
  PORT[++ports] = 1
  USER[++users] = 0
  if (UID[p]) USER[++users] = UID[p]
  packet_tos = packet_port = packet_uid = "?"
  for (r = 1; r <= RULES_KEPT; r++) {
    if (R_FAMILY[r] != F_FAMILY[p] || matches(r, p) != 2) continue
    if (R_TOS[r] != "" && !(R_TOS[r] in seen)) { seen[R_TOS[r]] = 1; if (R_TOS[r] != "0x0") TOS[++toses] = R_TOS[r] }
    if (R_DPORT[r] != "" && !(R_DPORT[r] in seen) && R_DPORT[r] ~ /^[0-9-]+$/) {
      seen[R_DPORT[r]] = 1
      if (split(R_DPORT[r], end, "-") == 1) end[2] = end[1]
      add_port(end[1], seen)
      add_port(end[2] + 1, seen)
    }
  }
  for (t in ROUTE_TOS) if (!(t in seen)) TOS[++toses] = t
  if (toses > 1) TOS[++toses] = "another"
  if (toses > MOST_CLASSES) { toses = 1; TOS[1] = "?" }
  if (ports > MOST_CLASSES) { ports = 1; PORT[1] = "?" }
}
function add_port(port, seen) {
  port += 0
  if (port < 2 || port > 65535 || (("port", port) in seen)) return
  seen["port", port] = 1
  PORT[++ports] = port
}

function check(p,    a, b, c) {
  classes_of(p)
  for (a = 1; a <= toses; a++) for (b = 1; b <= ports; b++) for (c = 1; c <= users; c++) {
    packet_tos = TOS[a]; packet_port = PORT[b]; packet_uid = USER[c]
    if (moved(p)) return
  }
}

# One kind of packets: does it take a way that it did not take before, or none any more?
function moved(p,    before, after, o, n, i, rule, route, fault) {
  before = lookup(1, p)
  if (!any_path(before)) return 0
  n = split(before, o, "\n")
  for (i = 1; !is_path(o[i]); i++);
  rule = CHOSEN_RULE[o[i]]
  route = CHOSEN_ROUTE[o[i]]
  after = lookup(2, p)
  n = split(after, o, "\n")
  for (i = 1; i < n && has(before, o[i]); i++);
  if (i == n && any_path(after)) return 0
  if (i == n) i = 1
  print (ALLOWED[p] ? "W" : "E") " this change would move the replies of this machine\047s SSH server to " PEER[p] kind_of_packet() " from " quoted_set(before) \
    " to " quoted_set(after) " (" fault_of(CHOSEN_RULE[o[i]], CHOSEN_ROUTE[o[i]], rule, route) ")" (ALLOWED[p] ? "" : ": you could be locked out. " mend \
    ", or set allowManagementPathChange: true to try it under the rollback timer")
  return 1
}

function kind_of_packet(    text) {
  text = ""
  if (packet_port != 1 && packet_port != "?") text = text " port " packet_port
  if (packet_tos != "0x0" && packet_tos != "?") text = text " with " packet_tos " type of service"
  if (packet_uid) text = text " (user " packet_uid ")"
  return text
}

# What is to blame: something new, or else something that goes away. Sets mend.
function fault_of(rule, route, old_rule, old_route,    text) {
  if (JUMPED && (!rule || R_IN[1, rule])) rule = JUMPED
  if (rule && !R_IN[1, rule]) {
    mend = "Narrow that rule, or put one for " PEER[p] " with " table_name(R_TABLE[old_rule]) " in front of it"
    return rule_name(rule)
  }
  if (route && !ROUTE_IN[1, route]) {
    mend = "Leave that route out, or put a rule for " PEER[p] " with another table in front of all"
    return route_name(route)
  }
  mend = "Keep it until you come in another way"
  if (old_rule && !R_IN[2, old_rule]) return rule_name(old_rule) ", which goes away"
  if (old_route && !ROUTE_IN[2, old_route]) return route_name(old_route) ", which goes away"
  mend = "Leave the way of " PEER[p] " as it is"
  return rule ? rule_name(rule) : "no rule matches"
}

function table_name(id) { return id == 254 || id == "" ? "the main table" : "table " id }
function rule_name(r) { return "rule " R_PRIORITY[r] ": " R_SPEC[r] }
function route_name(id,    text) {
  text = route_text(FAMILY[id], ROUTE_TABLE[id], DESTINATION[id], METRIC[id], substr(attributes(id), 2))
  return substr(text, index(text, " ") + 1)
}
