# Writes the questions of a generation for the kernel (`ip -batch` asks them), and judges the answers.
#
# Variables: step, out (directory), rules (what read_kernel prints), tables (those of the owner, a blank around each),
# without6.
#
#   where  reads the expectations; writes where4 and where6: which interface leads to the sender, and which
#          route to the destinations?
#   ask    reads links, the answers to `where`, and the expectations; writes questions (each an
#          expectation, or why it cannot be asked now), ask4 and ask6
#   note   before a change, reads the answers and the questions; prints one line for each packet that must keep its
#          interface or, as a reply to a login, its way: FAMILY, packet and outcome, separated by tabs
#   judge  reads links, the notes, the answers, and the questions; prints the disagreements, one line for
#          each label, and writes counts: how many packets were asked about, how many were not, and why
#
# Files, each after an assignment to `part`: `links` (`ip -o link show`), `noted`, `errors` and `answers` (of a
# batch, after an assignment to `family`), `questions`.

BEGIN { MOST_REASONS = 5; questions = skipped = reasons = labels = 0; why_not = "" }

part == "links" {
  name = $2
  sub(/(@.*)?:$/, "", name)
  UP[name] = $3 ~ /[<,]UP[,>]/
  POINT_TO_POINT[name] = $3 ~ /POINTOPOINT/
  next
}
# The line number of an error follows its message. Answers come in the order of the questions that did not fail.
part == "errors" {
  if (/^Command failed /) { sub(/.*:/, ""); FAILED[family, $0 + 0] = message }
  else message = $0
  next
}
part == "answers" {
  while ((family, ++ANSWERS[family]) in FAILED);
  ANSWER[family, ANSWERS[family]] = $0
  next
}

part == "noted" {
  split($0, noted, "\t")
  BEFORE[noted[1], noted[2]] = noted[3]
  BEFORE_KIND[noted[1], noted[2]] = noted[4]
  BEFORE_TABLE[noted[1], noted[2]] = noted[5]
  next
}

# From here on: questions. Each one is asked, or skipped.
{ questions++ }
$1 == "skip" { skip(substr($0, 6)); next }
$1 == "gateway" || $1 == "probe" { next }

{ read_question() }

# Answers are numbered by the order of the questions, so both steps must use the same order.
step == "where" || step == "ask" {
  if (IIF == "-") place(FROM)
  tunnel = absent_tunnel()
  if (TARGETS > 1 || tunnel != "") for (i = 1; i <= TARGETS; i++) place(TARGET[i])
}

step == "where" { next }

step == "ask" {
  obstacle = ""
  if (TARGETS > 1) choose_destination()
  # A tunnel may have come back under another name.
  if (tunnel != "") {
    device = interface_of(place(TARGET[1]))
    if (device != "") { $0 = $0 " or dev " device; read_question() }
  }
  if (IIF == "-") {
    device = interface_of(place(FROM))
    if (device == "") obstacle = "no interface leads to " FROM
    else {
      sub(/ iif - /, " iif " device " ")
      read_question()
    }
  } else if (IIF != "") obstacle = obstacle_at(IIF)
  if (FAMILY_OF == 6 && without6) obstacle = "no IPv6"
  print(obstacle == "" ? $0 : "skip " obstacle) > (out "questions")
  if (obstacle == "") print "route get " PACKET > (out "ask" FAMILY_OF)
  next
}

step == "note" {
  n = ++ASKED[FAMILY_OF]
  if (FATES == "unchanged") print FAMILY_OF "\t" PACKET "\t" outcome_of(n)
  else if (FATES == "kept") print FAMILY_OF "\t" PACKET "\t" way_of(n)
  next
}

{ judge(++ASKED[FAMILY_OF]) }

END {
  if (step == "logins") ask_about_logins()
  for (i = 1; i <= labels; i++) {
    n = OTHERWISE[LABELS[i]]
    print "! " LABELS[i] (n == 1 ? "" : ", " n " packets") ": " FIRST[LABELS[i]]
  }
  if (step == "judge") print questions - skipped, skipped, why_not (reasons > MOST_REASONS ? ", and more" : "") > (out "counts")
}

# A line of the expectations.
function read_question(    i) {
  FAMILY_OF = $2
  LABEL = $3
  PACKET = FATES = ""
  TARGETS = 0
  split("", GIVEN)
  # The kernel treats an IPv4 packet without a protocol as UDP.
  GIVEN["ipproto"] = FAMILY_OF == 4 ? 17 : 0
  for (i = 4; i < NF && $i != "is"; i += 2) {
    if ($i == "to" || $i == "or") TARGET[++TARGETS] = $(i + 1)
    else PACKET = PACKET " " $i " " $(i + 1)
    GIVEN[$i] = $(i + 1)
  }
  FROM = GIVEN["from"]
  IIF = GIVEN["iif"]
  PACKET = TARGET[1] PACKET
  while (++i <= NF) FATES = FATES (FATES == "" ? "" : " ") $i
}

# The expected interface of a packet that needs no router, if the machine has none of that name.
function absent_tunnel(    n, fate, i, w) {
  n = split(FATES, fate, " or ")
  for (i = 1; i <= n; i++) if (split(fate[i], w, " ") == 2 && w[1] == "dev" && !(w[2] in UP)) return w[2]
  return ""
}

# Returns the number of the question about the way to an address; asks it if it was not asked before.
function place(address,    question) {
  question = "route get fibmatch " address (GIVEN["ipproto"] ? " ipproto " GIVEN["ipproto"] : "")
  if (!((FAMILY_OF, question) in PLACE)) {
    PLACE[FAMILY_OF, question] = ++PLACES[FAMILY_OF]
    if (step == "where") print question > (out "where" FAMILY_OF)
  }
  return PLACE[FAMILY_OF, question]
}

# Chooses the first destination that only a default route leads to: a firewall may have blackhole routes for
# documentation prefixes.
function choose_destination(    i, chosen) {
  for (i = 1; i <= TARGETS && !is_default(route_at(place(TARGET[i]))); i++);
  chosen = $1 " " $2 " " $3 " to " TARGET[i > TARGETS ? 1 : i]
  for (i = 4 + 2 * TARGETS; i <= NF; i++) chosen = chosen " " $i
  $0 = chosen
  read_question()
}

# The unicast route in the n-th answer to `where`, 0 if there is none.
function route_at(n,    id) {
  if (!((FAMILY_OF, n) in ROUTE_AT)) {
    id = (FAMILY_OF, n) in ANSWER ? read_kernel_route(ANSWER[FAMILY_OF, n], FAMILY_OF) : 0
    ROUTE_AT[FAMILY_OF, n] = id && KIND[id] == "unicast" ? id : 0
  }
  return ROUTE_AT[FAMILY_OF, n]
}

function skip(reason) {
  skipped++
  if ((reason in TOLD) || ++reasons > MOST_REASONS) return
  TOLD[reason] = 1
  why_not = why_not (why_not == "" ? "" : ", ") reason
}

function obstacle_at(device) { return !(device in UP) ? "no interface " device : UP[device] ? "" : device " is down" }

# Returns the interface in the n-th answer to `where`, or "" if there is none now. The interface of a
# default route does not count: such an answer means that the tunnel is not up.
function interface_of(n,    id) {
  id = route_at(n)
  if (!id || is_default(id) || HOPS[id] || leads_to_router(DEV[id]) || DEV[id] ~ /[^A-Za-z0-9_.:@+-]/) return ""
  return (VIA[id] == "" || POINT_TO_POINT[DEV[id]]) && obstacle_at(DEV[id]) == "" ? DEV[id] : ""
}

# Does an expected fate go through a router on this interface? Then the interface is no tunnel.
function leads_to_router(device,    n, fate, i, w) {
  n = split(FATES, fate, " or ")
  for (i = 1; i <= n; i++) if (split(fate[i], w, " ") == 4 && w[4] == device) return 1
  return 0
}

# Reads the outcome of the n-th packet that was asked about in its family. Sets id, kind and said; fails if there is
# no outcome to judge.
function read_answer(n) {
  id = 0
  kind = "rejected"
  if ((FAMILY_OF, n) in FAILED) {
    said = reason_for(FAILED[FAMILY_OF, n])
    return said != ""
  }
  if (!((FAMILY_OF, n) in ANSWER)) {
    skip("ip says nothing")
    return 0
  }
  id = read_kernel_route(ANSWER[FAMILY_OF, n], FAMILY_OF)
  kind = said = KIND[id]
  if (kind == "unicast") said = (VIA[id] == "" ? "" : "via " VIA[id] " ") "dev " DEV[id]
  # Some kernels print as a route what others return as an error.
  if (kind ~ /^(blackhole|unreachable|prohibit)$/) kind = "rejected"
  return 1
}

# Returns what must stay the same for a packet that our tables do not route. The kernel may choose between two
# routers of one interface at any time, so the router does not count.
function outcome_of(n) {
  if (!read_answer(n) || is_ours(id)) return "?"
  return kind == "unicast" ? "dev " DEV[id] : kind
}
function is_ours(id) { return id && index(tables, " " ROUTE_TABLE[id] " ") > 0 }

# Is the outcome the same as before? Without an earlier answer, it only must not come from a table of ours.
function is_unchanged(n,    before) {
  before = (FAMILY_OF, PACKET) in BEFORE ? BEFORE[FAMILY_OF, PACKET] : "?"
  return !is_ours(id) && (before == "?" || before == "rejected" || before == outcome_of(n))
}

function judge(n,    f, fate, i, w, m, via, device, missing, obstacle) {
  if (FATES == "kept") { judge_login(n); return }
  if (!read_answer(n)) return
  if (FATES == "unchanged" && is_unchanged(n)) return
  f = split(FATES, fate, " or ")
  missing = ""
  for (i = 1; i <= f; i++) {
    m = split(fate[i], w, " ")
    via = w[1] == "via" ? w[2] : ""
    device = w[m - 1] == "dev" ? w[m] : ""
    if (kind == w[1] || kind == "unicast" && (via device) != "" && (via == "" || via == VIA[id] || "inet6 " via == VIA[id]) && (device == "" || device == DEV[id])) return
    # A tunnel that is not up cannot take packets.
    obstacle = via == "" && device != "" ? obstacle_at(device) : ""
    missing = obstacle == "" || i > 1 && missing == "" ? "" : obstacle
  }
  if (missing != "") { skip(missing); return }
  # One line covers all packets of a label, because they mostly have the same reason.
  if (OTHERWISE[LABEL]++) return
  LABELS[++labels] = LABEL
  FIRST[LABEL] = "\"ip -" FAMILY_OF " route get " PACKET "\" must say " wanted() ", and says " said \
    (kind == "unicast" ? " (" (ROUTE_TABLE[id] == 254 ? "the main table" : "table " ROUTE_TABLE[id]) ")" : "") decided_by(kind, ROUTE_TABLE[id])
}

# Returns what an error says about the packet, or "" if it says nothing.
function reason_for(error) {
  sub(/^(RTNETLINK answers|Error): /, "", error)
  if (error == "No route to host" && FAMILY_OF == 4 && IIF != "" && !setting("ipv4/conf/" IIF "/forwarding")) skip("IPv4 forwarding is off for " IIF)
  else if (error !~ /^(Network is unreachable|No route to host|Permission denied|Invalid argument|Invalid cross-device link)$/) skip("ip says \"" error "\"")
  else {
    if (error == "Invalid cross-device link") error = "dropped by rp_filter of " IIF
    # Newer kernels return the same error for both causes.
    else if (error == "Invalid argument" && FAMILY_OF == 4 && IIF != "" && reverse_path_filter(IIF) > 0)
      error = error ": a blackhole, or dropped by rp_filter of " IIF
    return "rejected (" error ")"
  }
  return ""
}

function wanted() {
  if (FATES != "unchanged") return FATES
  return (FAMILY_OF, PACKET) in BEFORE && BEFORE[FAMILY_OF, PACKET] != "?" ? BEFORE[FAMILY_OF, PACKET] ", as before" : "what it says without our tables"
}

# Names the rule to blame: the first rule that matches and leads there, if no other rule can have decided.
function decided_by(kind, table,    rule, ip) {
  rule = decider(rules, kind, table, SEEN)
  ip = "ip -" FAMILY_OF " "
  if (LOCAL_AT != "" && FATES == "local")
    return ": rule " in_brackets(FIRST_MATCH) " comes first, as \"lookup local\" stands behind it, at " LOCAL_AT ". Give ours a priority behind that, or put it in front: " ip "rule add pref 0 lookup local"
  if (FATES == "local" && said !~ /rp_filter/) return ": is that address still on an interface? " ip "address show to " TARGET[1]
  if (rule == "") return ": see \"" ip "rule\" and \"" ip "route show table all\""
  return ": rule " in_brackets(rule) " decides. If that is not meant, take it away, or declare another one in front of it" \
    (FATES != "unchanged" && is_ours(id) ? ", or take away what others have put into its table: " ip "route show table " table : "")
}
function in_brackets(rule) { sub(/ /, " (", rule); return rule ")" }

# Returns the rule in a file that decides about the packet, as PRIORITY and selectors; "" if that is not certain. Fills
# `seen` with all rules of the family. Sets FIRST_MATCH. Sets LOCAL_AT if the first rule that matches comes before the
# local table.
function decider(file, kind, table, seen,    found, unsure, matched, leads) {
  FIRST_MATCH = LOCAL_AT = found = ""
  unsure = 0
  while (next_rule(file)) {
    seen[rule_priority " " rule_spec] = 1
    if (rule_spec == "lookup 255") {
      # Before all other rules, this one takes only packets for the machine itself. Behind a match, it comes too late.
      if (FIRST_MATCH != "") LOCAL_AT = rule_priority
      continue
    }
    if (found != "" || unsure) continue
    matched = rule_matches(rule_spec)
    if (matched == 0) continue
    if (FIRST_MATCH == "") FIRST_MATCH = rule_priority " " rule_spec
    leads = kind == "rejected" ? rule_spec ~ /(blackhole|unreachable|prohibit)$/ : rule_spec ~ ("lookup " table "$")
    if (matched == 1 && leads) found = rule_priority " " rule_spec
    # This rule may have decided as well.
    else if (kind == "rejected" || leads || rule_spec ~ ("lookup " table " ")) unsure = 1
  }
  return found
}

# Reads the next rule of the family from a file of read_kernel. At the end of the file, closes it and fails.
function next_rule(file,    line) {
  while ((getline line < file) > 0) {
    if (line ~ /^family /) RULES_OF = substr(line, 8)
    if (RULES_OF != FAMILY_OF || line !~ /^[0-9]+:\t/) continue
    read_kernel_rule(line)
    return 1
  }
  close(file)
  return 0
}

# Does the rule match the packet? 0 no, 1 yes, 2 unknown.
function rule_matches(spec,    n, w, i, negated, hit, one) {
  n = split(spec, w, " ")
  negated = w[1] == "not"
  hit = 1
  for (i = 1 + negated; i < n && w[i] != "lookup"; i += 2) {
    one = is_selected(w[i], w[i + 1])
    if (one == 0) { hit = 0; break }
    if (one == 2) hit = 2
  }
  return negated && hit != 2 ? !hit : hit
}
function is_selected(word, value,    part) {
  if (word == "from") return FROM != "" && inside(FROM, value)
  if (word == "to") return inside(TARGET[1], value)
  if (word == "iif") return value == (IIF == "" ? "lo" : IIF)
  if (word == "oif" || word == "ipproto") return value == GIVEN[word]
  if (word == "sport" || word == "dport") return in_range(GIVEN[word], value)
  if (word == "uidrange") return in_range(GIVEN["uid"], value)
  if (word == "tos" && FAMILY_OF == 6) return number_of(value) == number_of(GIVEN["tos"])
  if (word == "fwmark") {
    split(value, part, "/")
    return same_bits(number_of(GIVEN["mark"]), number_of(part[1]), part[2] == "" ? 4294967295 : number_of(part[2]))
  }
  return 2
}
function in_range(number, range,    end) {
  if (range !~ /^[0-9]+(-[0-9]+)?$/) return 2
  split(range, end, "-")
  return number + 0 >= end[1] + 0 && number + 0 <= (end[2] == "" ? end[1] : end[2]) + 0
}
function number_of(text) { return text ~ /^0x/ ? hex_to_number(substr(text, 3)) : text + 0 }
function same_bits(a, b, mask) {
  for (; mask > 0; mask = int(mask / 2)) {
    if (mask % 2 && a % 2 != b % 2) return 0
    a = int(a / 2)
    b = int(b / 2)
  }
  return 1
}
