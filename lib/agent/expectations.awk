# Puts the questions of a generation to the kernel (`ip -batch` does the asking), and judges its answers.
#
# Variables: step, out (directory), rules (what read_kernel prints), without6.
#
#   where  reads the expectations; writes where4 and where6: which interface leads to the sender?
#   ask    reads links, what was said to that, and the expectations; writes questions (each an
#          expectation, or why it cannot be asked now), ask4 and ask6
#   judge  reads links, what was said to that, and the questions; prints the disagreements, one line for
#          each label, and writes counts: how many packets were asked about, how many were not, and why
#
# Files, each after an assignment to `part`: `links` (`ip -o link show`), `errors` and `answers` (of a
# batch, after an assignment to `family`), `questions`.

BEGIN { MOST_REASONS = 5; asked = skipped = reasons = labels = 0; why_not = "" }

part == "links" {
  name = $2
  sub(/(@.*)?:$/, "", name)
  UP[name] = $3 ~ /[<,]UP[,>]/
  POINT_TO_POINT[name] = $3 ~ /POINTOPOINT/
  next
}
# An error comes with the number of its line behind it, answers in the order of the others.
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

# From here on: questions.
$1 == "skip" { skip(substr($0, 6)); next }

{ read_question() }

step == "where" {
  if (IIF == "-" && !((FAMILY_OF, FROM) in PLACE)) {
    PLACE[FAMILY_OF, FROM] = 1
    print "route get fibmatch " FROM > (out "where" FAMILY_OF)
  }
  next
}

step == "ask" {
  obstacle = ""
  if (IIF == "-") {
    if (!((FAMILY_OF, FROM) in PLACE)) PLACE[FAMILY_OF, FROM] = interface_of(FAMILY_OF, ++PLACES[FAMILY_OF])
    if (PLACE[FAMILY_OF, FROM] == "") obstacle = "no interface leads to " FROM
    else {
      sub(/ iif - /, " iif " PLACE[FAMILY_OF, FROM] " ")
      read_question()
    }
  } else if (IIF != "") obstacle = obstacle_at(IIF)
  if (FAMILY_OF == 6 && without6) obstacle = "no IPv6"
  print(obstacle == "" ? $0 : "skip " obstacle) > (out "questions")
  if (obstacle == "") print "route get " PACKET > (out "ask" FAMILY_OF)
  next
}

{ judge(++ASKED[FAMILY_OF]) }

END {
  for (i = 1; i <= labels; i++) {
    n = OTHERWISE[LABELS[i]]
    print "! " LABELS[i] (n == 1 ? "" : ", " n " packets") ": " FIRST[LABELS[i]]
  }
  if (step == "judge") print asked, skipped, why_not (reasons > MOST_REASONS ? ", and more" : "") > (out "counts")
}

# A line of the expectations.
function read_question(    i) {
  FAMILY_OF = $2
  LABEL = $3
  TO = FROM = IIF = PACKET = FATES = ""
  for (i = 4; i < NF && $i != "is"; i += 2) {
    PACKET = PACKET (i == 4 ? "" : " ") ($i == "to" ? "" : $i " ") $(i + 1)
    if ($i == "to") TO = $(i + 1)
    else if ($i == "from") FROM = $(i + 1)
    else if ($i == "iif") IIF = $(i + 1)
  }
  while (++i <= NF) FATES = FATES (FATES == "" ? "" : " ") $i
}

function skip(reason) {
  skipped++
  if ((reason in GIVEN) || ++reasons > MOST_REASONS) return
  GIVEN[reason] = 1
  why_not = why_not (why_not == "" ? "" : ", ") reason
}

function obstacle_at(device) { return !(device in UP) ? "no interface " device : UP[device] ? "" : device " is down" }

# The n-th answer to `where`: the interface, "" if there is none at the moment. Not where everything
# goes to that is not known: then the tunnel is not up.
function interface_of(family, n,    id) {
  if (!((family, n) in ANSWER)) return ""
  id = read_kernel_route(ANSWER[family, n], family)
  if (KIND[id] != "unicast" || DESTINATION[id] == "default" || HOPS[id] || index(" " FATES " ", " dev " DEV[id] " ")) return ""
  return (VIA[id] == "" || POINT_TO_POINT[DEV[id]]) && obstacle_at(DEV[id]) == "" ? DEV[id] : ""
}

function setting(name,    line) {
  line = 0
  getline line < ("/proc/sys/net/ipv4/conf/" name)
  close("/proc/sys/net/ipv4/conf/" name)
  return line + 0
}

# What has become of the n-th packet that was asked about in its family?
function judge(n,    said, id, kind, f, fate, i, w, m, via, device, missing, obstacle) {
  id = 0
  kind = "rejected"
  if ((FAMILY_OF, n) in FAILED) {
    said = reason_for(FAILED[FAMILY_OF, n])
    if (said == "") return
  } else if ((FAMILY_OF, n) in ANSWER) {
    id = read_kernel_route(ANSWER[FAMILY_OF, n], FAMILY_OF)
    kind = said = KIND[id]
    if (kind == "unicast") said = (VIA[id] == "" ? "" : "via " VIA[id] " ") "dev " DEV[id]
    # Some kernels print what others make an error of.
    if (kind ~ /^(blackhole|unreachable|prohibit)$/) kind = "rejected"
  } else {
    skip("ip says nothing")
    return
  }
  f = split(FATES, fate, " or ")
  missing = ""
  for (i = 1; i <= f; i++) {
    m = split(fate[i], w, " ")
    via = w[1] == "via" ? w[2] : ""
    device = w[m - 1] == "dev" ? w[m] : ""
    if (kind == w[1] || kind == "unicast" && (via device) != "" && (via == "" || via == VIA[id]) && (device == "" || device == DEV[id])) {
      asked++
      return
    }
    # Nothing can go to a tunnel that is not up.
    obstacle = via == "" && device != "" ? obstacle_at(device) : ""
    missing = obstacle == "" || i > 1 && missing == "" ? "" : obstacle
  }
  if (missing != "") { skip(missing); return }
  asked++
  # One line for all packets of a label: they mostly have one reason.
  if (OTHERWISE[LABEL]++) return
  LABELS[++labels] = LABEL
  FIRST[LABEL] = "\"ip -" FAMILY_OF " route get " PACKET "\" must say " FATES ", and says " said \
    (kind == "unicast" ? " (" (ROUTE_TABLE[id] == 254 ? "the main table" : "table " ROUTE_TABLE[id]) ")" : "") decided_by(kind, ROUTE_TABLE[id])
}

# What an error says about the packet, "" if nothing.
function reason_for(error) {
  sub(/^(RTNETLINK answers|Error): /, "", error)
  if (error == "No route to host" && FAMILY_OF == 4 && IIF != "" && !setting(IIF "/forwarding")) skip("IPv4 forwarding is off for " IIF)
  else if (error !~ /^(Network is unreachable|No route to host|Permission denied|Invalid argument|Invalid cross-device link)$/) skip("ip says \"" error "\"")
  else {
    if (error == "Invalid cross-device link") error = "dropped by rp_filter of " IIF
    # Newer kernels have one error for both.
    else if (error == "Invalid argument" && FAMILY_OF == 4 && IIF != "" && setting("all/rp_filter") + setting(IIF "/rp_filter") > 0)
      error = error ": a blackhole, or dropped by rp_filter of " IIF
    return "rejected (" error ")"
  }
  return ""
}

# Who is to blame: the first rule that matches and leads there, if nothing else can have decided.
function decided_by(kind, table,    line, of, found, matched, leads) {
  found = ""
  while (found == "" && (getline line < rules) > 0) {
    if (line ~ /^family /) of = substr(line, 8)
    if (of != FAMILY_OF || line !~ /^[0-9]+:\t/) continue
    read_kernel_rule(line)
    # The local table.
    if (rule_priority == 0) continue
    matched = rule_matches(rule_spec)
    if (matched == 0) continue
    leads = kind == "rejected" ? rule_spec ~ /(blackhole|unreachable|prohibit)$/ : rule_spec ~ ("lookup " table "$")
    if (matched == 1 && leads) found = rule_priority " (" rule_spec ")"
    # This one may have decided, too.
    else if (kind == "rejected" || leads || rule_spec ~ ("lookup " table " ")) break
  }
  close(rules)
  if (found != "") return ": rule " found " decides. If that is not meant, take it away, or declare another one in front of it"
  return ": see \"ip -" FAMILY_OF " rule\" and \"ip -" FAMILY_OF " route show table all\""
}
# 0 no, 1 yes, 2 who knows.
function rule_matches(spec,    n, w, i) {
  n = split(spec, w, " ")
  for (i = 1; i < n && w[i] != "lookup"; i += 2) {
    if (w[i] !~ /^(from|to|iif)$/) return 2
    if (w[i] == "from" && !inside(FROM, w[i + 1]) || w[i] == "to" && !inside(TO, w[i + 1]) || w[i] == "iif" && IIF != w[i + 1]) return 0
  }
  return 1
}
