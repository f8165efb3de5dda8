# Reads the output of iproute2 and the state files into one form that can be compared.
#
# Both numbers and names are accepted, since versions of iproute2 differ, and an administrator may have given names.
# What the kernel reports about its own work is left out.

function fill(names, text,    n, i, word) {
  n = split(text, word, " ")
  for (i = 1; i < n; i += 2) names[word[i]] = word[i + 1]
}

BEGIN {
  fill(ACTION, "6 blackhole 7 unreachable 8 prohibit")
  fill(TYPE, "1 unicast 2 local 3 broadcast 4 anycast 5 multicast 6 blackhole 7 unreachable 8 prohibit 9 throw 10 nat")
  for (i = 1; i <= 10; i++) TYPE[TYPE[i]] = TYPE[i]
  fill(TABLE, "local 255 main 254 default 253")
  fill(SCOPE, "global 0 universe 0 site 200 link 253 host 254 nowhere 255")
  fill(PROTOCOL, "redirect 1 kernel 2 boot 3 static 4 ra 9 dhcp 16")
  fill(IP_PROTOCOL, "icmp 1 igmp 2 ipencap 4 tcp 6 udp 17 dccp 33 ipv6 41 gre 47 esp 50 ah 51 ipv6-icmp 58 vrrp 112 l2tp 115 sctp 132 udplite 136")
  # Words of a rule whose value is taken as it is.
  split("iif oif goto uidrange sport dport suppress_prefixlength suppress_ifgroup realms tun_id dscp flowlabel", pair, " ")
  for (i = 1; i <= 12; i++) WITH_VALUE[pair[i]] = 1
  OURS = 77        # routing protocol of rules and routes that the agent makes
  BY_HOOK = 78     # protocol of routes that an up hook makes, and of temporary rules during a change
  BY_KERNEL = 2    # protocol of guards, and of the own rules of the kernel: network managers do not touch these
  BY_MANAGER = 4   # protocol of what a network manager makes: network managers use this tag
  TAG_OF["rule"] = OURS; TAG_OF["guard"] = BY_KERNEL; TAG_OF["static"] = BY_MANAGER
  ROUTES = 0
}

# The protocol that the wanted rule at place k has in the kernel.
function tag(k) { return (k in TAG) ? TAG[k] : OURS }

function named(names, word) { return (word in names) ? names[word] : word }

# Is this a table that everybody shares? In those, only exactly our own routes count as ours.
function shared_table(id) { return id == 0 || id >= 253 && id <= 255 }

# A prefix in short form: a single address without its length, and "default" for all addresses.
function short_prefix(text,    slash, bits) {
  slash = index(text, "/")
  if (!slash) return text == "all" || text == "any" ? "default" : text
  bits = substr(text, slash + 1)
  if (bits == "0") return "default"
  if (bits == "128" || bits == "32" && !index(text, ":")) return substr(text, 1, slash - 1)
  return text
}

# The value after word `key` of a rule, "" if the rule does not have it.
function word_after(spec, key,    at, rest) {
  at = index(" " spec, " " key " ")
  if (!at) return ""
  rest = substr(spec, at + length(key) + 1)
  sub(/ .*/, "", rest)
  return rest
}

# Reads a rule of a state file: WORD FAMILY PRIORITY SELECTORS ACTION. Sets key ("FAMILY PRIORITY"), rule_spec and
# rule_protocol.
function read_state_rule() {
  key = $2 " " $3
  rule_protocol = ($1 in TAG_OF) ? TAG_OF[$1] : tag_given($0)
  rule_spec = substr($0, length($1 key) + 3)
  if ($1 == "adopted") sub(/ proto [0-9]+$/, "", rule_spec)
}

# The position where the action of a rule begins.
function match_action(spec) { return match(spec, /(lookup|goto|blackhole|unreachable|prohibit)( .*)?$/) }

# Reads a line of `ip rule show`. Sets rule_priority, rule_spec and rule_protocol.
function read_kernel_rule(line,    n, i, w, t, v) {
  n = split(line, w, " ")
  rule_priority = substr(w[1], 1, length(w[1]) - 1)
  rule_spec = ""
  rule_protocol = 0
  for (i = 2; i <= n; i++) {
    t = w[i]
    if (t == "from" || t == "to") {
      v = short_prefix(w[++i])
      if (v != "default") rule_spec = rule_spec " " t " " v
    } else if (t == "lookup" || t == "table") rule_spec = rule_spec " lookup " named(TABLE, w[++i])
    else if (t == "proto" || t == "protocol") rule_protocol = named(PROTOCOL, w[++i])
    else if (t in WITH_VALUE) rule_spec = rule_spec " " t " " w[++i]
    else if (t ~ /^\[/) continue
    else if (t == "ipproto") {
      v = w[++i]
      sub(/^ipproto-/, "", v)
      rule_spec = rule_spec " ipproto " named(IP_PROTOCOL, v)
    } else if (t == "tos" || t == "dsfield") {
      v = tolower(w[++i])
      sub(/^0x0+/, "0x", v)
      rule_spec = rule_spec " tos " (v == "0x" ? "0x0" : v)
    } else if (t == "fwmark") {
      v = tolower(w[++i])
      sub(/\/0xffffffff$/, "", v)
      if (v ~ /^0(\/|$)/) v = "0x" v
      rule_spec = rule_spec " fwmark " v
    } else rule_spec = rule_spec " " named(ACTION, t)
  }
  rule_spec = substr(rule_spec, 2)
}

# Reads attributes of a route, words i to n of w, into route `id`. Those of each next hop are under `id, hop`.
function read_attributes(id, w, i, n,    t, at) {
  at = id
  for (; i <= n; i++) {
    t = w[i]
    if (t == "nexthop") {
      HOPS[id]++
      at = id SUBSEP HOPS[id]
      VIA[at] = DEV[at] = ONLINK[at] = ""
      SHARE[at] = 1
    } else if (t == "via") {
      t = w[++i]
      VIA[at] = t == "inet6" || t == "inet" ? t " " w[++i] : short_prefix(t)
    } else if (t == "dev") DEV[at] = w[++i]
    else if (t == "onlink") ONLINK[at] = "onlink"
    else if (t == "weight") SHARE[at] = w[++i]
    else if (t == "type") KIND[id] = w[++i]
    else if (t == "table") ROUTE_TABLE[id] = named(TABLE, w[++i])
    else if (t == "proto") BY[id] = named(PROTOCOL, w[++i])
    else if (t == "metric") METRIC[id] = w[++i]
    else if (t == "src") SRC[id] = short_prefix(w[++i])
    else if (t == "scope") WITHIN[id] = named(SCOPE, w[++i])
    else if (t == "mtu" || t == "advmss") {
      if (w[i + 1] == "lock") SIZE[id, t] = "lock " w[i += 2]
      else SIZE[id, t] = w[++i]
    } else if (t == "tos" || t == "dsfield" || t == "from") DESTINATION[id] = DESTINATION[id] " " t " " w[++i]
    else if (t == "nhid") EXTRA[id] = EXTRA[id] " " t " " w[++i]
    # What belongs to an encapsulation has the names of other attributes.
    else if (t == "encap") for (EXTRA[id] = EXTRA[id] " encap"; i < n && w[i + 1] !~ /^(via|dev|nexthop|nhid)$/;) EXTRA[id] = EXTRA[id] " " w[++i]
    # Foreign routes may have these attributes. Ours never do, and no state file can hold them.
    else if (t ~ /^(initcwnd|initrwnd|window|rtt|rttvar|rto_min|ssthresh|cwnd|reordering|hoplimit|quickack|congctl|features|realms?|expires|fastopen_no_cookie|ttl-propagate)$/ || t == "pref" && w[i + 1] != "medium") UNTOLD[id] = t
    # All other words are reports of the kernel about the route, not settings.
  }
  if (HOPS[id] == 1) make_plain(id)
  # The kernel chooses the device of an unreachable route.
  if (KIND[id] != "unicast") DEV[id] = VIA[id] = ""
}

# The kernel prints a single next hop as a plain gateway.
function make_plain(id) {
  VIA[id] = VIA[id, 1]
  DEV[id] = DEV[id, 1]
  ONLINK[id] = ONLINK[id, 1]
  HOPS[id] = 0
}

function new_route(family,    id) {
  id = ++ROUTES
  FAMILY[id] = family
  KIND[id] = "unicast"; BY[id] = 3; METRIC[id] = 0; ROUTE_TABLE[id] = 254
  VIA[id] = DEV[id] = SRC[id] = WITHIN[id] = ONLINK[id] = EXTRA[id] = ""
  SIZE[id, "mtu"] = SIZE[id, "advmss"] = ""
  HOPS[id] = 0
  return id
}

# Reads a line of `ip route show`. Returns the id of the route in the arrays.
function read_kernel_route(line, family,    n, w, id, i) {
  id = new_route(family)
  gsub(/\\/, " ", line)
  n = split(line, w, " ")
  i = 1
  if (w[1] in TYPE) { KIND[id] = TYPE[w[1]]; i = 2 }
  DESTINATION[id] = short_prefix(w[i])
  read_attributes(id, w, i + 1, n)
  return id
}

# Does the same with a line of a state file: route FAMILY TABLE DESTINATION METRIC ATTRIBUTES
function read_state_route(line,    n, w, id) {
  n = split(line, w, " ")
  id = new_route(w[2])
  BY[id] = OURS
  ROUTE_TABLE[id] = w[3]; DESTINATION[id] = w[4]; METRIC[id] = w[5]
  read_attributes(id, w, 6, n)
  return id
}

# The protocol that a route or an adopted rule of a state file has in the kernel.
function tag_given(line) { return match(line, / proto [0-9]+$/) ? substr(line, RSTART + 7) : OURS }

function route_key(id) {
  return FAMILY[id] " " ROUTE_TABLE[id] " " DESTINATION[id] " " METRIC[id]
}

# The attributes of a route in the words of a state file. `ip route` uses the same words.
function attributes(id,    out, h) {
  out = KIND[id] == "unicast" ? "" : " type " KIND[id]
  if (VIA[id] != "") out = out " via " VIA[id]
  if (DEV[id] != "") out = out " dev " DEV[id]
  if (SRC[id] != "") out = out " src " SRC[id]
  if (WITHIN[id] != "" && FAMILY[id] == 4) out = out " scope " WITHIN[id]
  if (SIZE[id, "mtu"] != "") out = out " mtu " SIZE[id, "mtu"]
  if (SIZE[id, "advmss"] != "") out = out " advmss " SIZE[id, "advmss"]
  if (ONLINK[id] != "") out = out " onlink"
  for (h = 1; h <= HOPS[id]; h++) {
    out = out " nexthop" (VIA[id, h] == "" ? "" : " via " VIA[id, h])
    if (DEV[id, h] != "") out = out " dev " DEV[id, h]
    out = out " weight " SHARE[id, h]
    if (ONLINK[id, h] != "") out = out " onlink"
  }
  return out
}

# Does route `has` of the kernel agree with route `want`? It must have every wanted attribute, and no other significant
# one. If `want` does not give a device or a scope, the kernel may choose it.
function agrees(want, has,    h, k, used, found) {
  if (KIND[want] != KIND[has] || BY[want] != BY[has] || !same_hop(want, has)) return 0
  if (SRC[want] != SRC[has] || EXTRA[has] != "") return 0
  if (SIZE[want, "mtu"] != SIZE[has, "mtu"] || SIZE[want, "advmss"] != SIZE[has, "advmss"]) return 0
  if (FAMILY[want] == 4 && WITHIN[want] != "" && WITHIN[want] + 0 != WITHIN[has] + 0) return 0
  if (HOPS[want] != HOPS[has]) return 0
  for (h = 1; h <= HOPS[want]; h++) {
    found = 0
    for (k = 1; k <= HOPS[has] && !found; k++) {
      if ((k in used) || !same_hop(want SUBSEP h, has SUBSEP k) || SHARE[want, h] + 0 != SHARE[has, k] + 0) continue
      used[k] = found = 1
    }
    if (!found) return 0
  }
  return 1
}

function same_hop(want, has) {
  return VIA[want] == VIA[has] && (DEV[want] == "" || DEV[want] == DEV[has]) && ONLINK[want] == ONLINK[has]
}

# Is it a default route, or a part of one? VPN clients add halves to leave the real one alone. It may be only for packets
# with a TOS, or from some addresses.
function is_default(id) { return DESTINATION[id] ~ /^default( |$)|^[^ ]+\/[1-7]( |$)/ }

function rule_text(family, what, priority, spec) {
  return "IPv" family " " what " " priority ": " (spec ~ /^(from|to|not|iif|oif) / ? "" : "from all ") spec
}

function route_text(family, table, destination, metric, words) {
  return "IPv" family " route in table " table ": " destination \
    (metric + 0 ? " metric " metric : "") (words == "" ? "" : " ") words
}
