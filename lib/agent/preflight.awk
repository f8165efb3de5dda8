# Finds what prevents a change. Reads what plan.awk reads, and also: `other` (states of the other owners, with
# `whose`), `names` (rt_tables files, with `where`), `expected` (expectations of the new generation).
# Variables: without6, adopt (set to take over what was made by hand), forwards (the families whose forwarding the new
# generation switches on).
#
# Prints "E text" for what forbids the change, "W text" for a note, "A line" for a rule or a route to take over,
# "N file line" for a line that names a table of ours.

BEGIN { TAKE_OVER = "Take over what was made by hand: set adopt of the LinuxHost to {} (docs/adopting.md)" }

# Does rule i have a protocol? It compares texts: in BusyBox awk, a number that was an array index becomes text, and the
# text "0" is true.
function tagged(i) { return K_BY[i] "" != "0" }

function problem(text) { print "E " text }
function remark(text) { if (!(text in SAID)) print "W " text; SAID[text] = 1 }

# The command that deletes rule i.
function how_to_delete_rule(i) {
  return "ip -" K_FAMILY[i] " rule del pref " K_PRIORITY[i] " " K_SPEC[i] (tagged(i) ? " proto " K_BY[i] : "")
}

part == "want" || part == "own" {
  if ($1 == "table") {
    if (part == "want") { WANT_TABLE[$2] = $3; if ($3 != "-") WANT_NAME[$3] = $2 }
  } else if ($1 in TAG_OF) {
    read_state_rule()
    if (part == "own") OWN_RULE[key, rule_spec, rule_protocol] = 1
    else {
      WANT_RULE[key] = rule_spec
      TAG[key] = rule_protocol
      any_rule[$2] = 1
      # A rule with `iif lo` is for marked ICMP errors. These get no replies, so src_valid_mark does not matter for it.
      if (rule_spec ~ /fwmark/ && rule_spec !~ / iif lo /) marks = 1
      if ($2 == 4 && rule_spec ~ /uidrange/) users = 1
      if ($2 == 4 && rule_spec ~ /^from .* dport /) answers = 1
    }
  } else if ($1 == "route" || $1 == "retired") {
    key = $2 " " $3 " " $4 " " $5
    if (part == "own") OWN_ROUTE[key] = OWN_TAG[key, tag_given($0)] = 1
    else { WANT_ROUTE[key] = $0; WANTED[++wanted] = key; WAYS[$2, $3, $4] = WAYS[$2, $3, $4] " " wanted }
  } else if ($1 == "hooked" && part == "want") HOOKED[$2] = 1
  next
}

part == "other" {
  if ($1 == "table" && !shared_table($2)) {
    if ($2 in WANT_TABLE) problem("table " $2 " belongs to owner " whose " on this machine: choose another id")
    else if ($3 in WANT_NAME) problem("the table name " $3 " belongs to owner " whose " on this machine: choose another name")
  } else if (($1 in TAG_OF) && ($2 " " $3) in WANT_RULE)
    problem("priority " $3 " (IPv" $2 ") belongs to owner " whose " on this machine: choose another priority")
  else if ($1 == "route" && ($2 " " $3 " " $4 " " $5) in WANT_ROUTE)
    problem("the IPv" $2 " route to " $4 " with metric " $5 " in table " $3 " belongs to owner " whose " on this machine: choose another metric")
  next
}

part == "names" {
  sub(/#.*/, "")
  if (NF < 2) next
  id = $1
  if (id ~ /^0x/) id = hex_to_number(tolower(substr(id, 3)))
  if (adopt && (id in WANT_TABLE) && WANT_TABLE[id] == $2 && where ~ /^\/etc\/iproute2\/rt_tables(\.d\/[^\/ ]*)?$/) print "N " where " " FNR
  if ((id in WANT_TABLE) && WANT_TABLE[id] != "-" && WANT_TABLE[id] != $2)
    problem("table id " id " is already named " $2 " in " where ": give the table that name, or choose another id")
  if (($2 in WANT_NAME) && WANT_NAME[$2] != id)
    problem("the table name " $2 " is already used for table " id " in " where ": give the table that id, or choose another name")
  # ip looks for a name before it takes a number for an id.
  if (($2 in WANT_TABLE) && $2 != id) problem("for ip, table " $2 " is table " id ", which has that name in " where ": choose another id")
  next
}

part == "expected" {
  if ($1 == "gateway") DECLARED[++declared] = substr($0, 9)
  next
}

/^family [46]$/ { family = $2; next }
/^whole [46]$/ { READ[$2] = 1; next }
# read_plan reports this.
/^failed [46]$/ { next }

/^[0-9]+:\t/ {
  read_kernel_rule($0)
  n = ++kernel_rules
  K_KEY[n] = family " " rule_priority; K_FAMILY[n] = family; K_PRIORITY[n] = rule_priority; K_SPEC[n] = rule_spec; K_BY[n] = rule_protocol
  K_LINE[n] = $0
  # This is a rule for ordinary packets of the machine. It mostly leads to the main table.
  if (rule_spec ~ /^(iif lo |not [^ ]+ [^ ]+ )?lookup [0-9]+$/ && rule_spec !~ / 25[35]$/ && rule_protocol != OURS && rule_protocol != BY_HOOK)
    LEADS_ON[family] = 1
  next
}

/^[0-9]+: [^ ]+: </ {
  name = substr($2, 1, length($2) - 1)
  sub(/@.*/, "", name)
  DEVICE[name] = $3 ~ /[<,]UP[,>]/ ? "up" : "down"
  if ($3 ~ /[<,]BROADCAST[,>]/ && $3 !~ /[<,]NOARP[,>]/) ASKS[name] = 1
  next
}

{
  id = read_kernel_route($0, family)
  key = route_key(id)
  if (ROUTE_TABLE[id] == 254 && VIA[id] == "" && HOPS[id] == 0) MAIN_ROUTE[FAMILY[id], DESTINATION[id], DEV[id]] = 1
  if ((key in WANT_ROUTE) || (ROUTE_TABLE[id] in WANT_TABLE) && !shared_table(ROUTE_TABLE[id])) { THERE[id] = key; LINE[id] = $0; COUNT[key]++ }
  if (is_default(id) && ROUTE_TABLE[id] == 254) gateways_of(id)
  next
}

END {
  foreign_rules()
  for (id = 1; id <= ROUTES; id++) if (id in THERE) foreign_route(id)
  if (hands) remark(first_hand (hands > 1 ? ", and " hands - 1 " more like it, were" : " was") " made by hand, beside what is declared. " TAKE_OVER)
  for (i = 1; i <= wanted; i++) devices_of(WANTED[i])
  # Guards do not count: they exist for both families, whatever a client may send.
  for (k in WANT_RULE) if (k ~ /^6/ && without6 && TAG[k] != BY_KERNEL) needs6 = 1
  for (i = 1; i <= declared; i++) compare_gateways(DECLARED[i])
  for (f = 4; f <= 6; f += 2)
    if ((f in READ) && !(f in LEADS_ON) && !(f == 6 && without6))
      problem("no IPv" f " rule leads to the main table, so this machine itself has no way to anywhere: ip -" f " rule add pref 32766 lookup main")
  if (needs6) problem("IPv6 rules or routes are wanted, but this kernel has no IPv6 (/proc/net/if_inet6 is missing): enable IPv6, or declare IPv4 only")
  sysctls()
}

# Works in passes, since a rule that stays may keep others: those of its priority, and those that would move behind it.
function foreign_rules(    i, again) {
  for (i = 1; i <= kernel_rules; i++) TAKEN[i] = is_foreign(i) && has_declared_twin(i)
  if (adopt) do {
    again = 0
    for (i = 1; i <= kernel_rules; i++) if (TAKEN[i] && (WHY[i] = why_kept(i)) != "") { TAKEN[i] = 0; again = 1 }
  } while (again)
  for (i = 1; i <= kernel_rules; i++) if (is_foreign(i)) foreign_rule(i)
}

# Is rule i of the kernel a foreign rule?
function is_foreign(i,    k, word) {
  if (i in FOREIGN) return FOREIGN[i]
  k = K_KEY[i]
  FOREIGN[i] = 0
  # A copy with protocol 78 may hold the place of a rule or of a guard. The protocol of network managers alone does not
  # tell who has made a rule.
  if ((k in WANT_RULE) && (K_BY[i] == tag(k) && K_BY[i] != BY_MANAGER || K_BY[i] == BY_HOOK) && WANT_RULE[k] == K_SPEC[i]) return 0
  if ((k, K_SPEC[i], K_BY[i]) in OWN_RULE) return 0
  if (K_BY[i] == BY_HOOK || K_BY[i] == BY_KERNEL) for (word in TAG_OF) if ((k, K_SPEC[i], TAG_OF[word]) in OWN_RULE) return 0
  return FOREIGN[i] = 1
}

function foreign_rule(i,    in_place, uses, text) {
  in_place = K_KEY[i] in WANT_RULE
  uses = word_after(K_SPEC[i], "lookup")
  uses = (uses in WANT_TABLE) && !shared_table(uses)
  text = rule_text(K_FAMILY[i], "rule", K_PRIORITY[i], K_SPEC[i])
  if (TAKEN[i]) {
    if (adopt) print "A adopted " K_FAMILY[i] " " K_PRIORITY[i] " " K_SPEC[i] " proto " K_BY[i] + 0
    else if (in_place) problem(foreign_rule_text(i) TAKE_OVER)
    else if (uses) made_by_hand(text)
  } else if (in_place) problem(foreign_rule_text(i) "Choose another priority" (uses ? "" : ", or remove it: " how_to_delete_rule(i)))
  else if (adopt && WHY[i] != "") remark(text " stays: " WHY[i])
  else if (adopt && uses) stays(text, K_BY[i])
  else if (adopt && by_hand(i) && !compare_table(i, text) && match_action(K_SPEC[i]) > 1 && is_in_front(i)) stays(text, K_BY[i])
}

# Why a rule with a declared twin must still stay, "" if it can go. The twin may stand behind it. Then a foreign rule
# between the two would match first. And within a priority, `ip rule del` may delete another rule than the intended one.
function why_kept(i,    j) {
  for (j = 1; j <= kernel_rules; j++) {
    if (j == i || K_FAMILY[j] != K_FAMILY[i]) continue
    if (K_PRIORITY[j] == K_PRIORITY[i]) {
      if (!TAKEN[j]) return "another rule has its priority"
      if (deletes(K_SPEC[i], K_SPEC[j]) || deletes(K_SPEC[j], K_SPEC[i])) return "another rule of its priority has its selectors and more"
    } else if (is_foreign(j) && !TAKEN[j] && K_SPEC[j] != "lookup 255" && K_PRIORITY[j] + 0 > K_PRIORITY[i] + 0 && K_PRIORITY[j] + 0 < TWIN[i] && overlap(K_SPEC[i], K_SPEC[j]))
      return "rule " K_PRIORITY[j] " stands between it and the declared one"
  }
  return ""
}

function is_in_front(i,    place) {
  for (place in WANT_RULE) if (WANT_RULE[place] ~ /^from / && substr(place, 1, 1) == K_FAMILY[i] && substr(place, 3) + 0 > K_PRIORITY[i] + 0 && overlap(K_SPEC[i], WANT_RULE[place])) return 1
  return 0
}

function foreign_rule_text(i) {
  # The text below says this in words.
  sub(/ proto 0 *$/, "", K_LINE[i])
  sub(/\t/, " ", K_LINE[i])
  sub(/ +$/, "", K_LINE[i])
  return "someone else has an IPv" K_FAMILY[i] " rule at priority " K_PRIORITY[i] \
    (tag(K_KEY[i]) == BY_KERNEL ? ", where a guard of ours goes" : "") ": \"" K_LINE[i] "\" (" \
    (tagged(i) ? "proto " K_BY[i] : "no proto, so made by hand or by a script") "). "
}

# Did a person or a script make rule i? Such rules have no protocol, or "boot".
function by_hand(i) { return K_BY[i] + 0 == 0 || K_BY[i] == 3 }

# Does a declared rule do all the work of rule i, so that rule i can go? Sets TWIN[i] to the priority of the declared
# rule. A rule without a selector routes the whole machine, and is never ours. A rule that rejects must stand behind
# ours: in front, it rejects what ours lets through.
function has_declared_twin(i,    k, place, all, rejects) {
  k = K_KEY[i]
  if (match_action(K_SPEC[i]) == 1) return 0
  if (!by_hand(i) && !((k in WANT_RULE) && K_BY[i] == tag(k) && WANT_RULE[k] == K_SPEC[i])) return 0
  if (!adopt && !(k in WANT_RULE) && !(word_after(K_SPEC[i], "lookup") in WANT_TABLE)) return 0
  if ((k in WANT_RULE) && WANT_RULE[k] == K_SPEC[i]) { TWIN[i] = K_PRIORITY[i] + 0; return 1 }
  rejects = K_SPEC[i] ~ /(blackhole|unreachable|prohibit)$/
  TWIN[i] = -1
  for (place in WANT_RULE) {
    split(place, all, " ")
    if (all[1] != K_FAMILY[i] || rejects && all[2] + 0 > K_PRIORITY[i] + 0 || !covers(WANT_RULE[place], K_SPEC[i])) continue
    if (TWIN[i] < 0 || all[2] + 0 < TWIN[i]) TWIN[i] = all[2] + 0
  }
  return TWIN[i] >= 0
}

# Does the declaration send the packets of rule i to another table? Then the rule that was made by hand stays.
function compare_table(i, text,    theirs, ours, spec, place) {
  theirs = word_after(K_SPEC[i], "lookup")
  if (theirs == "" || shared_table(theirs)) return 0
  for (ours in WANT_TABLE) {
    spec = K_SPEC[i]
    sub(/lookup [0-9]+/, "lookup " ours, spec)
    for (place in WANT_RULE) if (substr(place, 1, 1) == K_FAMILY[i] && covers(WANT_RULE[place], spec)) {
      remark(text " stays: what is declared for its packets is table " ours ". To take it over, declare table " theirs " instead")
      return 1
    }
  }
  return 0
}

function foreign_route(id,    key, in_place, twin, text, lost) {
  key = THERE[id]
  if (BY[id] == OURS || (key, BY[id]) in OWN_TAG) return
  # In a table of our own, a place that we had stays ours, even if somebody has changed it since.
  if ((key in OWN_ROUTE) && !shared_table(ROUTE_TABLE[id])) return
  in_place = key in WANT_ROUTE
  if (!in_place && (BY[id] == BY_HOOK || BY[id] == BY_KERNEL)) return
  twin = declared_twin_of_route(id, in_place)
  text = route_text(FAMILY[id], ROUTE_TABLE[id], DESTINATION[id], METRIC[id], substr(attributes(id), 2))
  lost = what_a_rollback_loses(id, key)
  if (twin != "" && adopt && lost == "") print "A " twin " " key attributes(id) " proto " BY[id]
  else if (in_place && twin != "" && adopt) problem(text " cannot be taken over, since a rollback could not give back " lost)
  else if (in_place) problem("someone else has a route where ours goes, IPv" FAMILY[id] " table " ROUTE_TABLE[id] ": \"" trimmed(LINE[id]) "\". " \
    (twin != "" ? TAKE_OVER : "Choose another metric or table, or remove it: ip -" FAMILY[id] " route del " \
    (KIND[id] == "unicast" ? "" : KIND[id] " ") DESTINATION[id] " table " ROUTE_TABLE[id] " metric " METRIC[id]))
  else if (adopt) stays(text, BY[id])
  else if (twin != "") made_by_hand(text)
}

# How route id can be taken over. A "route" is removed when ours are there. A "replaced" route is replaced by one of an
# up hook. It is "" if nothing declared does the work of the route.
function declared_twin_of_route(id, in_place,    i, n, w, way) {
  if (BY[id] != 0 && BY[id] != 3 && BY[id] != BY_MANAGER) return ""
  if (KIND[id] !~ /^(unicast|blackhole|unreachable|prohibit|throw)$/) return ""
  if (in_place) return "route"
  # A network manager would bring it back.
  if (BY[id] == BY_MANAGER) return ""
  # A route with another metric may be the backup for a link that is down. It is a twin only if it goes the same way.
  n = split(WAYS[FAMILY[id], ROUTE_TABLE[id], DESTINATION[id]], w, " ")
  for (i = 1; i <= n; i++) if (same_way(WANT_ROUTE[WANTED[w[i]]], id)) return "route"
  # From here on, only the route of a tunnel can have a twin, and only if the main table has it, too.
  if (VIA[id] != "" || HOPS[id] > 0 || !((FAMILY[id], DESTINATION[id], DEV[id]) in MAIN_ROUTE)) return ""
  way = ""
  for (i in WANT_RULE) {
    if (substr(i, 1, 1) != FAMILY[id]) continue
    if ((ROUTE_TABLE[id] in HOOKED) && WANT_RULE[i] ~ /^from [^ ]+ lookup / && word_after(WANT_RULE[i], "lookup") == ROUTE_TABLE[id] && \
        inside(DESTINATION[id], word_after(WANT_RULE[i], "from"))) return "replaced"
    if (WANT_RULE[i] ~ /^to [^ ]+ lookup 254( |$)/ && inside(DESTINATION[id], word_after(WANT_RULE[i], "to")) && substr(i, 3) + 0 < first_lookup(FAMILY[id], ROUTE_TABLE[id])) way = "route"
  }
  return way
}

# Does the declared route of this line have the same attributes as route id?
function same_way(line, id,    other) {
  other = read_state_route(line)
  BY[other] = BY[id]
  return agrees(other, id)
}

# The priority of the first declared rule that looks up a table.
function first_lookup(family, table,    place, first) {
  first = 4294967296
  for (place in WANT_RULE) if (substr(place, 1, 1) == family && word_after(WANT_RULE[place], "lookup") == table && substr(place, 3) + 0 < first) first = substr(place, 3) + 0
  return first
}

# What a state file cannot hold of a route, "" if it can hold all.
function what_a_rollback_loses(id, key) {
  if (id in UNTOLD) return "\"" UNTOLD[id] "\": replace it by one without that"
  if (EXTRA[id] != "") return "its encapsulation or next hop object: replace it by one with a plain gateway"
  if (DESTINATION[id] ~ / /) return "its type of service or source: replace it by one without that"
  if (COUNT[key] > 1) return "the order of several with this metric: give each its own"
  return ""
}

function made_by_hand(text) { if (!hands++) first_hand = text }

function stays(text, by) {
  remark(text " stays: " (by == BY_MANAGER ? "a network manager made it, so take it out of its configuration" : "nothing that is declared does its work"))
}

function gateways_of(id,    h) {
  if (HOPS[id] == 0) gateway(FAMILY[id], DEV[id], VIA[id])
  for (h = 1; h <= HOPS[id]; h++) gateway(FAMILY[id], DEV[id, h], VIA[id, h])
}

function gateway(family, device, via,    at) {
  at = family SUBSEP device
  if (via != "" && via !~ /^inet6? / && index(HERE[at] " ", " " via " ") == 0) HERE[at] = HERE[at] " " via
}

# Compares the gateways here with the declared ones, since the lookup at synth used the declared ones.
function compare_gateways(line,    w, i, here, other) {
  split(line, w, " ")
  here = HERE[w[1], w[2]]
  if (!(w[1] in READ) || !(w[2] in DEVICE)) return
  split(here, GATEWAY, " ")
  other = here == ""
  for (i in GATEWAY) if (!index(line " ", " " GATEWAY[i] " ")) other = 1
  if (other) remark("gateways of " w[2] " are " (here == "" ? "none of IPv" w[1] : substr(here, 2)) " here (default routes of the main table), and declared " \
    "as " substr(line, length(w[1] w[2]) + 3) ". Declare them as they are: what was looked up before is about another machine")
}

function trimmed(text) { sub(/ +$/, "", text); return text }

function devices_of(key,    id, h) {
  id = read_state_route(WANT_ROUTE[key])
  if (FAMILY[id] == 6 && without6) { if (KIND[id] == "unicast") needs6 = 1; return }
  device_of(id, DEV[id], ONLINK[id])
  if (DESTINATION[id] == "default" && VIA[id] == "" && (DEV[id] in ASKS))
    remark("the IPv" FAMILY[id] " default route by " DEV[id] " in table " ROUTE_TABLE[id] " has no next hop, and " DEV[id] " is no point-to-point link: the kernel asks on it for the address of each destination. Give the address of the router")
  for (h = 1; h <= HOPS[id]; h++) device_of(id, DEV[id, h], ONLINK[id, h])
}

function device_of(id, name, onlink,    use, what) {
  if (name == "") return
  EGRESS[name] = 1
  if (name in COMPLAINED) return
  use = " (needed by the IPv" FAMILY[id] " route to " DESTINATION[id] " in table " ROUTE_TABLE[id] ")"
  if (!(name in DEVICE)) what = "device " name " does not exist" use ". See \"ip link\" for the devices of this machine"
  else if (FAMILY[id] == 6 && setting("ipv6/conf/" name "/disable_ipv6") == 1)
    what = "IPv6 is switched off on " name use ": sysctl -w net/ipv6/conf/" name "/disable_ipv6=0, or declare IPv4 only"
  else if (DEVICE[name] == "down" && onlink == "") what = "device " name " is down" use ": ip link set " name " up"
  else return
  COMPLAINED[name] = 1
  problem(what)
}

function sysctls(    name, some) {
  some = forwards ~ /4/ || setting("ipv4/ip_forward") != 0
  for (name in DEVICE) if (setting("ipv4/conf/" name "/forwarding") == 1) some = 1
  if ((4 in any_rule) && !some)
    remark("net.ipv4.ip_forward is 0: this machine forwards no IPv4 traffic of clients")
  if ((6 in any_rule) && !without6 && forwards !~ /6/ && setting("ipv6/conf/all/forwarding") == 0)
    remark("net.ipv6.conf.all.forwarding is 0: this machine forwards no IPv6 traffic of clients")
  for (name in EGRESS) {
    if (!(name in DEVICE)) continue
    if (setting("ipv4/conf/" name "/ignore_routes_with_linkdown") == 1 || setting("ipv4/conf/all/ignore_routes_with_linkdown") == 1)
      remark("ignore_routes_with_linkdown is 1 for " name ": without a carrier its routes are skipped, and only the fail-closed route holds the traffic back")
    if (marks && setting("ipv4/conf/all/src_valid_mark") == 0 && setting("ipv4/conf/" name "/src_valid_mark") == 0 && reverse_path_filter(name) == 1)
      remark("rules use fwmark, but rp_filter is 1 and src_valid_mark is 0 for " name ": replies will be dropped. Set net.ipv4.conf.all.src_valid_mark=1")
    if (users && !answers && reverse_path_filter(name) == 1)
      remark("rules use uidrange, but rp_filter is 1 for " name ": answers will be dropped. Set net/ipv4/conf/" name "/rp_filter=2")
  }
}
