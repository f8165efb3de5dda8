# Would a change cut off somebody who is logged in over SSH? This is a part of expectations.awk, which calls it. A reply
# of the SSH server is a packet that is expected to be `kept`.
#
# Step `logins` reads these files, by their part, and writes login_questions, login4 and login6:
#   logins  LOGIN UID PEER PEER-PORT SERVER PORT, one login a line; LOGIN is `given` for that of --ssh, `login`, or
#           `unknown`. A line for people about one that is given and no login goes to standard output
#   told    the lines for `ip -batch`, and what read_kernel prints: they show which packets rules and routes distinguish
#
# Variables: plan (the lines for `ip -batch` are in plan add4, plan drop4 ...), allow (a login may be moved).
#
# Step `judge` prints "E text" for each peer whose path has changed. It prints "W text" if that is allowed, or if it is
# unknown whether the peer has logged in.

# At most this many logins and classes of packets are checked. The confirmation over a new connection covers the rest.
BEGIN { MOST_LOGINS = 50; MOST_CLASSES = 48; logins = classes = 0 }

step == "logins" && part == "logins" { read_login(); next }
step == "logins" { if (/ (tos|dsfield|dscp|dport) /) tell_apart(); next }

# Keeps a login as FAMILY PEER SERVER PORT DEVICE UID LOGIN PEER-PORT. All connections of a peer are one login.
function read_login(    peer, server, login) {
  zone = "-"
  peer = plain_address($3)
  server = plain_address($5)
  if (to_hex(peer) == "" || length(to_hex(peer)) != length(to_hex(server)) || $4 !~ /^[0-9]+$/ || $6 !~ /^[0-9]+$/ || zone ~ /[^A-Za-z0-9_.:@+-]/) {
    if ($1 == "given") print "note: \"" substr($0, 9) "\" is no SSH connection; whether it survives the change is not looked at"
    return
  }
  login = (index(peer, ":") ? 6 : 4) " " peer " " server " " $6 " " zone " " $2 " " ($1 == "given" ? "login" : $1)
  if ((login in KNOWN) || logins == MOST_LOGINS) return
  KNOWN[login] = 1
  LOGINS[++logins] = login " " $4
}

# The address without what sshd and ss put around it: [fe80::1]%eth0, ::ffff:192.0.2.7. Sets zone to its device.
function plain_address(text) {
  gsub(/\[|\]/, "", text)
  if (match(text, /%.*/)) {
    zone = substr(text, RSTART + 1)
    text = substr(text, 1, RSTART - 1)
  }
  if (text ~ /^::[Ff][Ff][Ff][Ff]:.*[.]/) sub(/.*:/, "", text)
  return text
}

# Adds the classes of packets that a rule or route distinguishes. The type of service differs from packet to packet, and
# the port of the peer from login to login.
function tell_apart(    i, tos, port, end) {
  tos = port = ""
  for (i = 1; i < NF; i++) {
    if ($i == "tos" || $i == "dsfield") tos = $(i + 1)
    else if ($i == "dscp" && $(i + 1) ~ /^[0-9]+$/) tos = sprintf("0x%x", 4 * $(i + 1))
    else if ($i == "dport") port = $(i + 1)
  }
  if (port !~ /^[0-9]+(-[0-9]+)?$/) { add_class(tos, ""); return }
  if (split(port, end, "-") == 1) end[2] = end[1]
  add_class(tos, end[1] + 0)
  if (end[2] < 65535) add_class(tos, end[2] + 1)
}
function add_class(tos, port) {
  if (tos port == "" || classes == MOST_CLASSES || ((tos, port) in CLASS)) return
  CLASS[tos, port] = 1
  CLASS_TOS[++classes] = tos
  CLASS_PORT[classes] = port
}

function ask_about_logins(    l, c, w, packet) {
  for (l = 1; l <= logins; l++) {
    split(LOGINS[l], w, " ")
    if (w[1] == 6 && without6) continue
    # Class 0 is the packets of the present connection.
    for (c = 0; c <= classes; c++) {
      packet = w[2] " from " w[3] " ipproto 6 sport " w[4] " dport " (CLASS_PORT[c] == "" ? w[8] : CLASS_PORT[c]) \
        (CLASS_TOS[c] == "" ? "" : " tos " CLASS_TOS[c]) (w[5] == "-" ? "" : " oif " w[5])
      ask_about_login(w[1], w[7] ":" w[2], packet)
      if (w[6]) ask_about_login(w[1], w[7] ":" w[2], packet " uid " w[6])
    }
  }
}
function ask_about_login(family, label, packet) {
  print "expect", family, label, "to", packet " is kept" > (out "login_questions")
  print "route get " packet > (out "login" family)
}

# What is noted of a reply before the change: its path, and the kind and table of the route that decides it.
function way_of(n) { return read_answer(n) ? said "\t" kind "\t" (id ? ROUTE_TABLE[id] : 0) : "?" }

function judge_login(n,    was, text) {
  was = BEFORE[FAMILY_OF, PACKET]
  # A peer without a route before the change cannot lose it.
  if (!read_answer(n) || was == said || BEFORE_KIND[FAMILY_OF, PACKET] !~ /^(unicast|local)$/ || OTHERWISE[LABEL]++) return
  text = "this change moved the replies of this machine\047s SSH server to " TARGET[1] " from \"" was "\" to \"" said "\" (" \
    fault(BEFORE_KIND[FAMILY_OF, PACKET], BEFORE_TABLE[FAMILY_OF, PACKET]) "; ip -" FAMILY_OF " route get " PACKET ")"
  if (allow != "" || LABEL ~ /^unknown:/) print "W " text
  else print "E " text ". You could be locked out: " mend ", or set allowManagementPathChange: true to try it under the rollback timer"
}

# Finds what is to blame: something new, or else something that is gone. Sets mend.
function fault(was_kind, was_table,    old, new, route, gone) {
  split("", RULES_BEFORE)
  split("", RULES_AFTER)
  old = decider(out "rules_before", was_kind, was_table, RULES_BEFORE)
  new = decider(rules, kind, id ? ROUTE_TABLE[id] : 0, RULES_AFTER)
  # If no rule certainly decides, a rule that was added or removed is more likely to blame than a route.
  if (new == "") new = first_not_in(RULES_BEFORE, rules)
  if (new == "") old = first_not_in(RULES_AFTER, out "rules_before")
  mend = "narrow that rule, or put one for " TARGET[1] " with the main table in front of it"
  if (new != "" && !(new in RULES_BEFORE)) return "rule " with_colon(new)
  mend = "keep it until you come in another way"
  if (old != "" && !(old in RULES_AFTER)) return "rule " with_colon(old) ", which goes away"
  gone = planned_route("drop")
  route = planned_route("add")
  if (route == "" && gone != "") return gone ", which goes away"
  mend = "leave that route out, or put a rule for " TARGET[1] " with another table in front of all"
  if (route != "") return route
  mend = "leave the way of " TARGET[1] " as it is"
  return "see \"ip -" FAMILY_OF " rule\" and \"ip -" FAMILY_OF " route show table all\""
}
function with_colon(rule) { sub(/ /, ": ", rule); return rule }

# The first rule in a file that may match the packet and is not in `others`.
function first_not_in(others, file,    first) {
  first = ""
  while (next_rule(file))
    if (first == "" && !((rule_priority " " rule_spec) in others) && rule_matches(rule_spec))
      first = rule_priority " " rule_spec
  return first
}

# The route in the plan that has the longest prefix match for the peer.
function planned_route(what,    line, route, bits, longest, best) {
  best = ""
  longest = -1
  while ((getline line < (plan what FAMILY_OF)) > 0) {
    if (!sub(/^route [a-z]+ /, "", line)) continue
    route = read_kernel_route(line, FAMILY_OF)
    bits = DESTINATION[route] == "default" ? 0 : DESTINATION[route] ~ /\// ? substr(DESTINATION[route], index(DESTINATION[route], "/") + 1) + 0 : 128
    if (bits <= longest || bits && !inside(TARGET[1], DESTINATION[route])) continue
    longest = bits
    best = route_text(FAMILY_OF, ROUTE_TABLE[route], DESTINATION[route], METRIC[route], substr(attributes(route), 2))
  }
  close(plan what FAMILY_OF)
  return substr(best, index(best, " ") + 1)
}
