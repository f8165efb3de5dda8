# Plans the changes that give the kernel the wanted rules and routes. It is the one answer behind apply, assert,
# verify, diff, undo (wanted is what was there before) and remove (wanted is nothing).
#
# Files, each after an assignment to `part`: `want` (state file of what the kernel must have), `own` (state files of
# what this owner has or may have made before), `kernel` (what read_kernel prints).
# Variables: out (prefix of the names of written files), both (what is wanted is also owned), without6 (this kernel
# has no IPv6), families (those that read_kernel has read), most (lines in the report), snapshot (file for the rules and routes that we have in the kernel now),
# restore (restore the own rules of the kernel, if they were removed together with ours), protect (add only what
# rejects, and drop only what others have put at its place).
#
# Writes the lines for `ip -batch`: add4, add6 (run first) and drop4, drop6. Writes `report` for people, and `front`
# (foreign rules and default routes in front of ours). Prints four numbers: added, dropped, essential (all but routes through a device,
# which may have to wait for the network), and restored.

function without_words(spec) {
  spec = " " spec " "
  sub(/^ not /, " ", spec)
  sub(/ from [^ ]+ /, " ", spec)
  sub(/ to [^ ]+ /, " ", spec)
  sub(/ tos [^ ]+ /, " ", spec)
  sub(/ goto [^ ]+ /, " goto ", spec)
  return spec
}

# Would the kernel refuse to add rule `new` beside rule `old` at the same priority, because it takes them for the same
# rule? It ignores `not` and goto targets, and treats selectors that are not given as equal.
function kernel_confuses(new, old,    v) {
  if (without_words(new) != without_words(old)) return 0
  v = word_after(new, "from"); if (v != "" && v != word_after(old, "from")) return 0
  v = word_after(new, "to"); if (v != "" && v != word_after(old, "to")) return 0
  v = word_after(new, "tos"); if (v != "" && v != word_after(old, "tos")) return 0
  return 1
}

# Rules have the key "FAMILY PRIORITY". A key may also be the family alone.
function family_of(key) { return substr(key, 1, 1) }
function priority_of(key) { return substr(key, 3) }

function rule_line(verb, key, spec, protocol) {
  return "rule " verb " pref " priority_of(key) " " spec " proto " protocol
}

# A route as in a state file, except that the type comes first.
function route_line(verb, table, destination, metric, words, protocol,    kind) {
  kind = ""
  if (words ~ /^type /) {
    kind = word_after(words, "type") " "
    sub(/^type [^ ]+ ?/, "", words)
  }
  return "route " verb " " kind destination " table " table " metric " metric " proto " protocol \
    (words == "" ? "" : " ") words
}

# Sorts list[1..n] by WEIGHT, ascending: a merge sort, which keeps the order of equals.
function sort_by_weight(list, n,    size, i, left, right, middle, end, merged) {
  for (i = 2; i <= n && WEIGHT[list[i - 1]] <= WEIGHT[list[i]]; i++);
  if (i > n) return
  for (size = 1; size < n; size *= 2) {
    for (i = 1; i <= n; i++) {
      if (i % (2 * size) == 1) { left = i; right = middle = i + size; end = middle + size }
      if (right < end && right <= n && (left >= middle || WEIGHT[list[right]] < WEIGHT[list[left]])) merged[i] = list[right++]
      else merged[i] = list[left++]
    }
    for (i = 1; i <= n; i++) list[i] = merged[i]
  }
}

function add(key, line, run) { write("add" family_of(key), line, run); added++; essential++ }
function drop(key, line, run) { write("drop" family_of(key), line, run); dropped++; essential++ }

# Lines that follow each other in one run are written in reverse. A run is rules with one action and protocol: whichever
# of them is there first, each packet has its old path, then its new one. The kernel walks along all rules with a lower
# priority than the one that it adds or deletes. So rules are added from the last to the first, and deleted from the
# first to the last.
function write(file, line, run) {
  if (run == "" || run != RUN[file]) end_run(file)
  RUN[file] = run
  HELD[file, ++held[file]] = line
}
function end_run(file) { for (; held[file] > 0; held[file]--) print HELD[file, held[file]] > (out file) }
function run_of(spec, protocol) { return protocol " " substr(spec, match_action(spec)) }

# Counts a line of the report. Only lines that will be shown are put into words.
function reporting() { return ++reported <= most }
function report(line) { print line > (out "report") }
function report_rule(sign, key, name, spec) {
  if (reporting()) report(sign " " rule_text(family_of(key), name, priority_of(key), spec))
}

BEGIN {
  added = dropped = essential = reported = restored = 0
  split("", highest); split("", highest_stale)
  wanted_rules = wanted_guards = wanted_adopted = wanted_routes = kernel_rules = settled = 0
}

# Rules and guards are stored under "FAMILY PRIORITY", since an owner has only one at a priority. Rules that somebody made
# by hand and that this change adopts (see 63-adopt.sh) may share a priority.
(part == "want" || part == "own") && ($1 in TAG_OF || $1 == "adopted") {
  if (without6 && $2 == 6) next
  read_state_rule()
  if (part == "own") {
    OWN_RULE[key, rule_spec, rule_protocol] = OWN_PRIORITY[key] = 1
    if ($1 == "adopted") ADOPTED[key, rule_spec, rule_protocol] = 1
    next
  }
  if ($1 != "guard" && $3 + 0 > highest[$2]) highest[$2] = $3 + 0
  if ($1 == "adopted") {
    WANT_ADOPTED[key, rule_spec, rule_protocol] = 1
    ADOPTED_WANTED[++wanted_adopted] = key SUBSEP rule_spec SUBSEP rule_protocol
    next
  }
  WANT_RULE[key] = rule_spec
  if (rule_protocol != OURS) TAG[key] = rule_protocol
  # `ip -N` prints the number of the action.
  sub(/unreachable$/, "7", rule_spec)
  sub(/blackhole$/, "6", rule_spec)
  WANT_TEXT[key] = rule_spec " proto " rule_protocol
  if ($1 == "guard") GUARDS[++wanted_guards] = key
  else RULES[++wanted_rules] = key
  next
}

part == "want" || part == "own" {
  if ($1 == "replaced") OWN_ROUTE[$2 " " $3 " " $4 " " $5] = 1
  else if ($1 == "table") {
    if (part == "want") WANT_TABLE[$2] = 1
    if (part == "own" || both) OWN_TABLE[$2] = 1
    OUR_TABLE[$2] = 1
  } else if ($1 == "hooked") {
    if (part == "want") HOOKED[$2] = 1
  } else if ($1 == "retired") {
    if ($3 == 254) NEED_MAIN = 1
    RETIRED[$3] = OWN_TAG[$2 " " $3 " " $4 " " $5, BY_MANAGER] = 1
  } else if ($1 == "route" && !(without6 && $2 == 6)) {
    key = $2 " " $3 " " $4 " " $5
    if ($3 == 254) NEED_MAIN = 1
    if (part == "own" || both) {
      OWN_ROUTE[key] = 1
      OWN_TAG[key, tag_given($0)] = 1
    }
    if (part == "own") next
    WANT_ROUTE[key] = $0
    WANTED[++wanted_routes] = key
  }
  next
}

part == "wait" { next }

# `rule show` prints "100:" and a tab, `link show` prints "2: eth0: <". A route begins with neither.
/^[0-9]+:\t/ {
  at = index($0, ":")
  key = family " " substr($0, 1, at - 1)
  if (key in WANT_RULE) {
    # Most lines are exactly as wanted, so they need not be parsed.
    text = substr($0, at + 2)
    if (text == WANT_TEXT[key] || text == WANT_TEXT[key] " ") {
      HAS_RULE[key] = 1
      SETTLED[++settled] = key
      next
    }
  } else if (!(key in OWN_PRIORITY)) {
    if (restore) leads_to_main($0)
    if (substr($0, 1, at - 1) + 0 < highest[family]) { read_kernel_rule($0); stands_in_front() }
    next
  }
  read_kernel_rule($0)
  if ((key, rule_spec, rule_protocol) in WANT_ADOPTED) { HAS_ADOPTED[key, rule_spec, rule_protocol] = 1; next }
  wanted = (key in WANT_RULE) && WANT_RULE[key] == rule_spec
  our_guard = wanted ? tag(key) == BY_KERNEL : ((key, rule_spec, BY_KERNEL) in OWN_RULE)
  our_rule = wanted ? !our_guard : ((key, rule_spec, OURS) in OWN_RULE) || ((key, rule_spec, BY_MANAGER) in OWN_RULE)
  # It stands in for one of ours while systemd-networkd reads its files (see 67-load.sh).
  stand_in = rule_protocol == BY_KERNEL && our_rule && !our_guard
  guard = rule_protocol == BY_HOOK ? !our_rule : rule_protocol == BY_KERNEL && !stand_in
  if (rule_protocol == BY_HOOK) {
    if (!our_rule && !our_guard) next
    if (wanted) HAS_COPY[key] = 1
  } else if (!stand_in) {
    wanted = wanted && rule_protocol == tag(key)
    if (!wanted && !((key, rule_spec, rule_protocol) in OWN_RULE)) { stands_in_front(); next }
    if (wanted) HAS_RULE[key] = 1
  }
  kernel_rules++
  K_KEY[kernel_rules] = key
  K_SPEC[kernel_rules] = rule_spec
  K_BY[kernel_rules] = rule_protocol
  if (guard) K_GUARD[kernel_rules] = 1
  if (stand_in) STANDS_IN[kernel_rules] = 1
  next
}

/^[0-9]+: [^ ]+: </ { next }

/^family [46]$/ { family = $2; next }
/^failed [46]$/ { unreadable = $2; exit }
/^whole [46]$/ { WHOLE[$2] = 1; next }

# The main table may hold all routes of the Internet. It is read only if a route of ours is in it.
!NEED_MAIN && !index($0, " table ") { next }

{
  id = read_kernel_route($0, family)
  # A table that no generation has any more can still get routes that a network manager brings back.
  if (!(ROUTE_TABLE[id] in RETIRED) && !(ROUTE_TABLE[id] in OUR_TABLE) && !shared_table(ROUTE_TABLE[id])) next
  key = route_key(id)
  if (!(key in FIRST)) FIRST[key] = id
  KERNEL_ROUTE[id] = key
  AT_PLACE[key] = AT_PLACE[key] " " id
  if (takes_all_in_our_table(id, key))
    print route_text(family, ROUTE_TABLE[id], DESTINATION[id], METRIC[id], substr(attributes(id), 2)) " proto " BY[id] > (out "front")
}

# Has somebody else put a default route into a table of ours, before the one that rejects?
function takes_all_in_our_table(id, key) {
  if (!(ROUTE_TABLE[id] in WANT_TABLE) || shared_table(ROUTE_TABLE[id]) || !is_default(id) || METRIC[id] >= 4278190000) return 0
  return BY[id] != OURS && BY[id] != BY_HOOK && !(key in WANT_ROUTE) && !(key in OWN_ROUTE)
}

END {
  for (i = split(families, w, " "); i > 0; i--) if (!(w[i] in WHOLE) && !(w[i] == 6 && without6)) unreadable = w[i]
  if (unreadable) { print "failed", unreadable; exit }
  if (snapshot != "") write_snapshot()
  plan_rules()
  sort_routes()
  for (i = 1; i <= wanted_routes; i++)
    if (!protect || WANT_ROUTE[WANTED[i]] ~ / type (blackhole|unreachable|prohibit)/) put_route(WANTED[i])
  # A guard is added before its rule, and removed after it.
  for (i = 1; i <= wanted_guards; i++) if (protect || !cuts_off(GUARDS[i], highest_stale)) put_rule(GUARDS[i])
  if (!protect) change_the_rest()
  for (file in held) end_run(file)
  if (reported > most) print "... and " (reported - most) " more" > (out "report")
  print added, dropped, essential, restored
}

function change_the_rest(    i, id) {
  for (i = 1; i <= wanted_rules; i++) put_rule(RULES[i])
  for (i = 1; i <= wanted_guards; i++) if (cuts_off(GUARDS[i], highest_stale)) put_rule(GUARDS[i])
  for (i = 1; i <= wanted_adopted; i++) put_adopted(ADOPTED_WANTED[i])
  if (restore) put_back_own()
  for (i = stale_rules; i >= 1; i--) if ((STALE[i] in K_GUARD) && cuts_off(K_KEY[STALE[i]], highest)) drop_rule(STALE[i])
  for (i = stale_rules; i >= 1; i--) if (!(STALE[i] in K_GUARD)) drop_rule(STALE[i])
  for (i = stale_rules; i >= 1; i--) if ((STALE[i] in K_GUARD) && !cuts_off(K_KEY[STALE[i]], highest)) drop_rule(STALE[i])
  for (id = 1; id <= ROUTES; id++) if ((id in KERNEL_ROUTE) && is_stale(id, KERNEL_ROUTE[id])) drop_route(id)
}

# Does a guard at this place stand in front of rules that are still, or already, in use during the change? `last` has
# the highest priority of these rules by family: of the rules to remove, or of the wanted ones. Without its own rule,
# the guard would reject their packets.
function cuts_off(key, last) { return priority_of(key) + 0 < last[family_of(key)] + 0 }

# Notes a foreign rule in front of ours, which may match packets of clients.
function stands_in_front() {
  if (rule_protocol == OURS || rule_protocol == BY_HOOK || rule_protocol == BY_KERNEL || rule_spec == "lookup 255") return
  print rule_text(family, "rule", rule_priority, rule_spec) > (out "front")
}

# The name of a rule with this protocol: in messages, and in a state file.
function name_of(by) { return by == BY_KERNEL ? "guard" : "rule" }
function word_of(by) { return by == BY_MANAGER ? "static" : name_of(by) }

# Notes rules that do the work of the own rules of the kernel. Somebody may have moved these to another priority on
# purpose.
function leads_to_main(line) {
  if (key ~ / 3276[67]$/) HAS_OWN[key] = 1
  if (line ~ /^[0-9]+:\tfrom all lookup (254|main)( proto [0-9a-z]+)? *$/) HAS_OWN[family " 32766"] = 1
  if (line ~ /^[0-9]+:\tfrom all lookup (255|local)( proto [0-9a-z]+)? *$/) HAS_OWN[family " 0"] = 1
}

# Restores the own rules of the kernel. `ip rule flush` removes them together with ours, and then no packet has a route. It
# spares the rule for the local table only at priority 0, where set-ups with VRFs do not have it.
# If ours are still there, somebody has removed the rules of the kernel on purpose, so they are not restored.
function put_back_own(    family) {
  for (family = 4; family <= 6; family += 2) {
    if (!(family in MISSING)) continue
    if (!((family " 0") in HAS_OWN)) put_back(family " 0", 255, "local")
    if ((family " 32766") in HAS_OWN) continue
    put_back(family " 32766", 254, "main")
    if (family == 4 && !((family " 32767") in HAS_OWN)) put_back(family " 32767", 253, "default")
  }
}

function put_back(key, table, name) {
  restored++
  report_rule("+", key, "rule", "lookup " name " (the kernel\047s own)")
  add(key, rule_line("add", key, "lookup " table, BY_KERNEL))
}

# Lists the rules in the kernel that are ours and not wanted, in the order of the kernel. These are rules with our
# protocol, and copies that a killed run has left (see put_rule).
function plan_rules(    i, k) {
  stale_rules = 0
  for (i = 1; i <= kernel_rules; i++) {
    k = K_KEY[i]
    if (K_BY[i] == BY_HOOK) COPIES[k] = COPIES[k] " " i
    else if (K_BY[i] == tag(k)) {
      if ((k in WANT_RULE) && WANT_RULE[k] == K_SPEC[i]) continue
      AT[k] = AT[k] " " i
    }
    STALE[++stale_rules] = i
    if (!(i in K_GUARD) && priority_of(k) + 0 > highest_stale[family_of(k)]) highest_stale[family_of(k)] = priority_of(k) + 0
  }
  for (k in WANT_RULE) WEIGHT[k] = family_of(k) * 10000000000 + priority_of(k)
  sort_by_weight(RULES, wanted_rules)
  sort_by_weight(GUARDS, wanted_guards)
}

function put_rule(k,    n, s, i) {
  if (k in HAS_RULE) return
  MISSING[family_of(k)] = 1
  report_rule("+", k, name_of(tag(k)), WANT_RULE[k])
  n = (k in AT) ? split(AT[k], s, " ") : 0
  for (i = 1; i <= n; i++) if (kernel_confuses(WANT_RULE[k], K_SPEC[s[i]])) {
    # A copy with another protocol holds the place until the old rule is gone. A copy that a killed run has left would
    # be in its way.
    clear_copies(k)
    if (!(k in HAS_COPY)) add(k, rule_line("add", k, WANT_RULE[k], BY_HOOK))
    SWAP[k] = 1
    return
  }
  add(k, rule_line("add", k, WANT_RULE[k], tag(k)), run_of(WANT_RULE[k], tag(k)))
}

# Restores an adopted rule. The caller keeps the old order, since rules may share a priority.
function put_adopted(rule,    w) {
  if (rule in HAS_ADOPTED) return
  split(rule, w, SUBSEP)
  report_rule("+", w[1], "rule", w[2])
  add(w[1], rule_line("add", w[1], w[2], w[3]))
}

function clear_copies(k,    n, s, i) {
  n = split(COPIES[k], s, " ")
  for (i = 1; i <= n; i++) if (K_SPEC[s[i]] != WANT_RULE[k]) {
    add(k, rule_line("del", k, K_SPEC[s[i]], BY_HOOK))
    CLEARED[s[i]] = 1
  }
}

function drop_rule(i,    k, s) {
  if (i in CLEARED) return
  k = K_KEY[i]
  # The swap below removes a copy that holds the place.
  if (K_BY[i] == BY_HOOK && (k in SWAP) && WANT_RULE[k] == K_SPEC[i]) return
  if (K_BY[i] != BY_HOOK && !(i in STANDS_IN)) report_rule("-", k, name_of(K_BY[i]), K_SPEC[i])
  drop(k, rule_line("del", k, K_SPEC[i], K_BY[i]), run_of(K_SPEC[i], K_BY[i]))
  if (!(k in SWAP) || K_BY[i] != tag(k)) return
  # The rules are dropped in reverse order, so the first of the old rules is the last one.
  split(AT[k], s, " ")
  if (s[1] != i) return
  drop(k, rule_line("add", k, WANT_RULE[k], tag(k)))
  drop(k, rule_line("del", k, WANT_RULE[k], BY_HOOK))
}

# Sorts the wanted routes. Routes without a gateway come first, since a gateway may need them. Then they are sorted by
# falling metric, so that routes that reject traffic are there before routes that let it through.
function sort_routes(    i, key, w) {
  for (i = 1; i <= wanted_routes; i++) {
    key = WANTED[i]
    split(WANT_ROUTE[key], w, " ")
    WEIGHT[key] = -w[5] + (WANT_ROUTE[key] ~ / via / ? 10000000000 : 0)
  }
  sort_by_weight(WANTED, wanted_routes)
}

# Is this route in the kernel ours and not wanted?
function is_stale(id, key,    table) {
  table = ROUTE_TABLE[id]
  if (key in WANT_ROUTE) return 0
  if ((key, BY[id]) in OWN_TAG || BY[id] == OURS && (key in OWN_ROUTE)) return 1
  if (!(table in OUR_TABLE) || shared_table(table)) return 0
  if (BY[id] == OURS) return (table in OWN_TABLE) && !(table in WANT_TABLE)
  if (BY[id] == BY_HOOK) return !(table in HOOKED)
  # This route stood in for one of ours (see 67-load.sh).
  return BY[id] == BY_KERNEL && METRIC[id] >= 4278190000 && METRIC[id] <= 4278198000
}

function put_route(key,    line, w, text, id, verb, by, i, j, n, there) {
  line = WANT_ROUTE[key]
  split(line, w, " ")
  text = substr(line, length(w[2]) + length(w[3]) + length(w[4]) + length(w[5]) + 11)
  id = read_state_route(line)
  verb = "add"
  n = split(AT_PLACE[key], there, " ")
  for (i = 1; i <= n && !agrees(id, there[i]); i++);
  if (i <= n && (i == 1 || !shared_table(w[3]))) {
    # The kernel does not replace what others have put in front of ours by the same again.
    for (j = 1; j < i; j++) drop_route(there[j])
    # IPv6 takes what stands behind ours if the next hop of ours does not answer.
    if (w[2] == 6 && !shared_table(w[3]))
      for (j = i + 1; j <= n; j++) if (BY[there[j]] != BY[there[i]]) drop_route(there[j])
    return
  }
  if (n) {
    # In a table of our own the place is ours, even if somebody has changed it since. In other tables `add` fails
    # instead of replacing a foreign route.
    by = BY[FIRST[key]]
    if (by == OURS || by == BY_HOOK || (key, by) in OWN_TAG || !shared_table(w[3])) verb = "replace"
    if (reporting()) report("- " route_text(w[2], w[3], w[4], w[5], substr(attributes(FIRST[key]), 2)) \
      (by == OURS ? "" : " proto " by))
  }
  if (reporting()) report("+ " route_text(w[2], w[3], w[4], w[5], text))
  sub(/ ?proto [0-9]+$/, "", text)
  add(w[2], route_line(verb, w[3], w[4], w[5], text, BY[id]))
  if (KIND[id] == "unicast") essential--
}

function drop_route(id,    text) {
  text = KIND[id] == "unicast" ? "" : "type " KIND[id]
  if (reporting()) report("- " route_text(FAMILY[id], ROUTE_TABLE[id], DESTINATION[id], METRIC[id], substr(attributes(id), 2)))
  drop(FAMILY[id], route_line("del", ROUTE_TABLE[id], DESTINATION[id], METRIC[id], text, BY[id]))
}

# Writes our rules and routes in the kernel as a state file. An undo restores them if the change fails.
function write_snapshot(    i, id, key, t) {
  print "families 4 6" > snapshot
  for (t in OWN_TABLE) print "table " t > snapshot
  for (i = 1; i <= settled; i++) print word_of(tag(SETTLED[i])), SETTLED[i], WANT_RULE[SETTLED[i]] > snapshot
  for (i = 1; i <= kernel_rules; i++)
    if ((K_KEY[i], K_SPEC[i], K_BY[i]) in ADOPTED) print "adopted", K_KEY[i], K_SPEC[i], "proto", K_BY[i] > snapshot
    else if (K_BY[i] != BY_HOOK && !(i in STANDS_IN)) print word_of(K_BY[i]), K_KEY[i], K_SPEC[i] > snapshot
  for (id = 1; id <= ROUTES; id++) {
    if (!(id in KERNEL_ROUTE)) continue
    key = KERNEL_ROUTE[id]
    if (FIRST[key] != id) continue
    if ((key in OWN_ROUTE) || (key in WANT_ROUTE) ||
        (BY[id] == OURS || BY[id] == BY_HOOK) && (ROUTE_TABLE[id] in OWN_TABLE) && !shared_table(ROUTE_TABLE[id]))
      print "route " key attributes(id) " proto " BY[id] > snapshot
  }
  close(snapshot)
}
