# Tries packets of clients: chooses packets that answer the questions of expectations.awk, and says what happened to
# each.
#
#   choose  reads a state file, links and the questions; writes into `out` what the probe needs: links, up, redirect,
#           table, lines (of packets to send), and packets, one a line: TTL FAMILY KIND PORT DEVICE FROM TO LABEL FATES.
#           A large packet has the TTL of the small one before it as PORT.
#           Likewise for replies: egress (what lets openers of replies pass), reply_lines, and replies (openers, and replies
#           with the TTL of their opener as PORT)
#   judge   reads packets, the unsent packets, links, the table as nft lists it, the trace, and the expectations; prints what
#           happened to the packets of each question. Packets with the same outcome share a line; "!" marks an outcome
#           that is not expected. Writes into `out` what to note, what refuses a change, and how to mend it
#   lost    reads the same; prints how many packets arrived nowhere, and how many need a second round to explain them
#   before  reads what happened to the same packets without the change, and prints that for `question`
#
# Variables: step, out, trace (set to trace the packets), own_port (from which they are sent), question, files after `part=`: state, links, questions, packets,
# unsent, seen, traced, expected, neighbours.

BEGIN {
  # The time to live is the number of a packet within one probe. Real systems start from 64, 128 or 255.
  FIRST_TTL = 131
  LAST_TTL = 190
  # The port of packets without a given port: hardly any firewall closes it.
  PORT = 443
  KINDS = split("icmp udp tcp", KIND_NAME, " ")
  PROTOCOL["icmp", 4] = 1
  PROTOCOL["icmp", 6] = 58
  PROTOCOL["udp", 4] = PROTOCOL["udp", 6] = 17
  PROTOCOL["tcp", 4] = PROTOCOL["tcp", 6] = 6
  SAID["icmp"] = "ICMP echo"
  SAID["udp"] = "UDP"
  SAID["tcp"] = "TCP"
  SAID["reply"] = "replies to UDP"
  # Internet routers pass no larger packet, so a tunnel with a larger MTU has no use for it.
  LARGEST = 1500
  MARK = sprintf("0x5352%04x", own_port)
  ACCEPT_THERE = "Accept them there, and the replies, or set forwarding: Forwarding."
  MAC = "02:73:72:70:00:01"
  ttl = FIRST_TTL
  devices = left_out = 0
}

# A rule may send one protocol elsewhere. The question does not cover that case.
part == "state" {
  for (i = 4; i < NF; i++) if (($1 == "rule" || $1 == "static") && $i == "ipproto") RULED[$2, $(i + 1)] = 1
  next
}

# An interface without a carrier accepts no packets, for example a tun whose daemon has ended.
part == "links" {
  sub(/(@.*)?:$/, "", $2)
  if (/NO-CARRIER/ || !/[<,]UP[,>]/) DEAD[$2] = 1
  if (/ master /) ENSLAVED[$2] = 1
  if (/NOARP/) NEEDS_NO_ADDRESS[$2] = 1
  LINK[$2] = $1 + 0
  if (match($0, / mtu [0-9]+/)) MTU[$2] = substr($0, RSTART + 5, RLENGTH - 5) + 0
  next
}

# A packet to a gateway whose address is not known yet would wait for it, and leave later.
part == "neighbours" {
  if ($4 == "lladdr" && !/ (FAILED|INCOMPLETE)/) ANSWERS[$3, $1] = 1
  next
}

part == "questions" {
  if ($1 == "expect") choose_packets()
  next
}

part == "packets" {
  n = ++PACKETS
  FAMILY[n] = $2
  KIND[n] = $3
  AT[n] = $4
  DEVICE[n] = $5
  FROM[n] = $6
  TO[n] = $7
  LABEL[n] = $8
  NUMBER[$2, $1] = n
  if ($3 == "reply" || $3 == "large") FIRST[n] = NUMBER[$2, $4]
  FATES[n] = $9
  for (i = 10; i <= NF; i++) FATES[n] = FATES[n] " " $i
  next
}

# probe WHAT LABEL/, probe translates LABEL/ DEVICE
part == "expected" {
  if ($1 == "probe") WANTED[$2 (NF > 3 ? " " $4 : ""), $3] = 1
  next
}

part == "unsent" { UNSENT[NUMBER[$1, $2]] = 1; next }

# Output of `nft list table`: the elements of a set may span several lines.
part == "seen" {
  if ($1 == "set") begin_set($2)
  if (/elements = /) { inside = 1; sub(/.*elements = \{/, "") }
  if (!inside) next
  if (/\}/) inside = 0
  gsub(/[{}" \t]/, "")
  m = split($0, element, ",")
  for (i = 1; i <= m; i++) if (element[i] != "") note(element[i])
  next
}

# Output of `nft monitor trace`: the last verdict about a packet names what has dropped it.
part == "traced" {
  if ($1 != "trace") next
  # The time to live at the entry of the packet, before forwarding reduces it by one.
  if ($3 in TRACED);
  else if (match($0, / ip ttl [0-9]+/)) TRACED[$3] = 4 " " substr($0, RSTART + 8, RLENGTH - 8)
  else if (match($0, / ip6 hoplimit [0-9]+/)) TRACED[$3] = 6 " " substr($0, RSTART + 14, RLENGTH - 14)
  if ($5 == "source_routing_probe") next
  # Tables of iptables have this chain; those of nft have names in lower case.
  if ($4 ~ /^ip6?$/ && $5 == "filter" && $6 == "FORWARD") OF_IPTABLES[$4] = 1
  if (/verdict drop|policy drop|verdict reject| reject/) blame(BLAME)
  else if (/ rule .*(masquerade|snat|MASQUERADE|SNAT)/) blame(TRANSLATOR)
  else if (/ rule .*(dnat|redirect|DNAT|REDIRECT|meta mark set)/) blame(DIVERTER)
  next
}

END {
  if (step == "choose") write_all()
  else if (step == "lost") count_lost()
  else if (step == "before") print without_change()
  else judge_all()
}

function choose_packets(    family, given, device, dport, fates, i, k, kind, leaving) {
  family = $2
  for (i = 4; i < NF && $i != "is"; i += 2) {
    if ($i == "sport" && $(NF - 2) == "is" && $(NF - 1) == "dev") {
      # Nothing but this tunnel leads to these clients.
      if (!HAS_REPLIES[family, given["iif"], $NF]++) WAYS[++ways] = family " " given["iif"] " " $NF " " given["to"] " " given["from"] " " $3
      return
    }
    # A client cannot send other packets, or this probe cannot.
    if ($i !~ /^(to|from|iif|ipproto|dport)$/) return
    given[$i] = $(i + 1)
  }
  device = given["iif"]
  dport = given["dport"]
  fates = ""
  while (++i <= NF) fates = fates " " $i
  if (given["from"] == "" || device == "" || device == "lo" || device in DEAD || fates ~ /^ (rejected|unchanged)$/) return
  # Other fates of packets that stay on this machine or among clients are "local", or tunnels and "rejected".
  leaving = fates ~ / via |any/ || fates ~ /^ dev [^ ]+$/ && fates != " dev " device || is_declared("routed", $3)
  if (leaving && match(fates, /^ dev [^ ]+/) && !(substr(fates, 6, RLENGTH - 5) in LINK)) return
  for (k = 1; k <= KINDS; k++) {
    kind = KIND_NAME[k]
    if (dport != "" ? given["ipproto"] != PROTOCOL[kind, family] : (family, PROTOCOL[kind, family]) in RULED) continue
    # For packets that do not leave, one kind is enough.
    if (dport == "" && kind != "icmp" && !leaving) continue
    if (leaving && !LEFT_TO[family, given["to"]]++) DESTINATIONS[family] = DESTINATIONS[family] (DESTINATIONS[family] == "" ? "" : ", ") given["to"]
    if (!add_packet(family, kind, dport == "" ? PORT : dport, device, given["from"], given["to"], $3 fates)) continue
    if (leaving && kind == "udp" && dport == "" && device in MTU && !HAS_LARGE[family, device, fates]++) {
      LARGE[++large] = family " " ttl - 1 " " device " " given["from"] " " given["to"]
      LARGE_REST[large] = $3 fates
    }
  }
}

function add_packet(family, kind, port, device, from, to, rest) {
  if (CHOSEN[family, kind, port, device, from, to]++) return 0
  if (ttl > LAST_TTL) { left_out++; return 0 }
  source_at(family, from, device)
  add_line("lines", family, from, device, kind " " family " " ttl " " to " " port " " own_port)
  print ttl, family, kind, (kind == "icmp" ? "-" : port), device, from, to, rest > (out "packets")
  LEAVE[family] = LEAVE[family] leaves(ttl, family, device, "") "drop\n"
  return ttl++
}

# Adds a packet of the largest size for each way out of a tunnel, as far as replies leave numbers for them. Where the MTU of
# the way is smaller, this machine must tell the client. The error contains the packet, as it was before forwarding.
function add_large_packets(    i, w, family, device) {
  for (i = 1; i <= large && ttl <= LAST_TTL - 2 * ways; i++) {
    split(LARGE[i], w, " ")
    family = w[1]; device = w[3]
    add_line("lines", family, w[4], device, "large " family " " ttl " " w[5] " " PORT " " own_port " " (largest(device) - (family == 4 ? 28 : 48)))
    print ttl, family, "large", w[2], device, w[4], w[5], LARGE_REST[i] > (out "packets")
    LEAVE[family] = LEAVE[family] leaves(ttl, family, device, "") "drop\n"
    SETS = SETS "set told" family "_" ttl " { type ifname; flags dynamic; size 16; }\n"
    TOLD = TOLD (family == 4 ? "ip daddr " w[4] " icmp type 3 icmp code 4 @th,128,8 " : "ip6 daddr " w[4] " icmpv6 type 2 @th,120,8 ") ttl " add @told" family "_" ttl " { oifname }\n"
    ttl++
  }
}

# Adds a reply for each way of a family: firewalls let replies pass because conntrack knows the packet. That packet, the
# opener, must be confirmed to conntrack. So it is dropped later than all others, when it leaves its interface. It bears a
# mark then, by which it is known whatever else has been changed. Its peer is an ordinary address of the Internet: many
# filters drop the addresses of documentation where they come in. Both stay on this machine.
function add_replies(    way, w, family, device, egress, from, to, ip) {
  printf "" > (out "replies")
  if (ttl == FIRST_TTL) ways = 0
  for (way = 1; way <= ways; way++) {
    split(WAYS[way], w, " ")
    family = w[1]; egress = w[2]; device = w[3]; from = w[4]
    if (ttl >= LAST_TTL || !((egress, w[5]) in ANSWERS) && !(egress in NEEDS_NO_ADDRESS) || egress in DEAD || egress in ENSLAVED || device in DEAD || device in ENSLAVED || !(device in LINK)) continue
    ip = family == 4 ? "ip" : "ip6"
    to = family == 4 ? "23.0.0.1" : "2600::1"
    source_at(family, from, device)
    source_at(family, to, egress)
    KEEP = KEEP leaves(ttl, family, device, "oifname \"" egress "\" " ip " saddr " from " " ip " daddr " to " rt ipsec missing ") "meta mark set " MARK " goto kept\n"
    LEAVE[family] = LEAVE[family] leaves(ttl, family, device, "") "drop\n"
    LEAVE[family] = LEAVE[family] leaves(ttl + 1, family, egress, "") "drop\n"
    add_line("openers", family, from, device, "udp " family " " ttl " " to " " PORT " " own_port)
    add_line("replies", family, to, egress, "udp " family " " ttl + 1 " " from " " own_port " " PORT)
    print ttl, family, "opener", "-", device, from, to, w[6], "any" > (out "replies")
    print ttl + 1, family, "reply", ttl, egress, to, from, w[6], "dev", device > (out "replies")
    EXIT[egress] = 1
    ttl += 2
  }
  printf "%s%s", lines_of("openers"), lines_of("replies") > (out "reply_lines")
  write_exits()
}

# Writes what drops openers at last, to be loaded together with the table. Kernels before 5.16 do not take it.
function write_exits(    egress, i, n, rule) {
  printf "" > (out "egress")
  if (KEEP == "") return
  print "table netdev source_routing_probe\ndelete table netdev source_routing_probe\ntable netdev source_routing_probe {" > (out "egress")
  for (egress in EXIT)
    print "chain exit" i++ " {\ntype filter hook egress device \"" egress "\" priority -500; policy accept;\nmeta mark " MARK " drop\n}" > (out "egress")
  print "}\nadd chain inet source_routing_probe kept" > (out "egress")
  n = split(KEEP, rule, "\n")
  for (i = 1; i < n; i++) print "insert rule inet source_routing_probe at_left " rule[i] > (out "egress")
}

function source_at(family, from, device) {
  if (!(device in INDEX)) {
    INDEX[device] = devices
    NAME[devices++] = device
  }
  if (SOURCE[family, device, from]++) return
  ADDRESSES = ADDRESSES "addr add " from (family == 4 ? "/32" : "/128 nodad noprefixroute") " dev sent" INDEX[device] "\n"
  SOURCES[family] = SOURCES[family] (SOURCES[family] == "" ? "" : ", ") from
}

# Adds a packet to a list. Packets of a list that have the same source follow each other, since it takes time to set a
# source. Its echoes come first: they can be sent at the same time.
function add_line(list, family, from, device, line,    source) {
  source = "from " family " " from " sent" INDEX[device] "\n"
  if (!HAS_SOURCE[list, source]++) SOURCE_LINE[list, ++SOURCE_LINES[list]] = source
  if (line ~ /^icmp/) ECHOES[list, source] = ECHOES[list, source] line "\n"
  else LINES[list, source] = LINES[list, source] line "\n"
}

function lines_of(list,    i, source, text) {
  for (i = 1; i <= SOURCE_LINES[list]; i++) {
    source = SOURCE_LINE[list, i]
    text = text source ECHOES[list, source] LINES[list, source]
  }
  return text
}

# Returns the start of a rule that notes how a packet leaves. Old versions of nft cannot combine a time to live
# with other fields in a set, so each packet has its own set.
function leaves(number, family, device, condition,    ip) {
  ip = family == 4 ? "ip" : "ip6"
  if (!HAS_SET[family, number]++) SETS = SETS "set left" family "_" number " { type ifname . ipv" family "_addr; flags dynamic; size 16; }\n"
  return "iifname \"" device "\" " ip (family == 4 ? " ttl " : " hoplimit ") number - 1 " " condition "add @left" family "_" number " { oifname . " ip " saddr } "
}

# The next lower index of an interface of the machine. The highest are taken: the kernel gives the lowest to tunnel
# interfaces that it makes by itself in each namespace.
function index_below(limit,    name, best) {
  for (name in LINK) if (LINK[name] < limit && LINK[name] > best) best = LINK[name]
  return best
}

function write_all(    i, names, lower) {
  printf "" > (out "packets")
  add_large_packets()
  add_replies()
  for (i = 0; i < devices; i++) {
    # The sender has the MAC address of the receiver, and ARP is off: what it sends is addressed to the receiver. The
    # receiver is not a veth, because a network manager may take a veth for a newly plugged cable. FRR 8.4 crashes
    # when a macvlan comes up unless the machine also has an interface with the index of the lower one.
    lower = index_below(i ? lower : 2000000000)
    print "link add name sent" i " index " 1000000000 + i " address " MAC " type veth peer name peer" i " index " lower > (out "links")
    # It is made in its namespace: to move it there takes the kernel tens of milliseconds.
    print "link add link peer" i " name srprobe" i " address " MAC " netns " parent " type macvlan mode private" > (out "links")
    print "link set peer" i " up" > (out "links")
    print "link set sent" i " arp off group 7352 up" > (out "links")
    print "link set srprobe" i " arp off up" > (out "up")
    print "qdisc add dev srprobe" i " ingress" > (out "redirect")
    # Redirects only packets of the probe: no other packets have such a time to live.
    print "filter add dev srprobe" i " parent ffff: protocol ip u32 match u8 0x80 0xc0 at 8 action mirred ingress redirect dev " NAME[i] > (out "redirect")
    print "filter add dev srprobe" i " parent ffff: protocol ipv6 u32 match u8 0x80 0xc0 at 7 action mirred ingress redirect dev " NAME[i] > (out "redirect")
    names = names (i ? ", " : "") "\"" NAME[i] "\""
  }
  printf "%s", ADDRESSES > (out "links")
  printf "%s", lines_of("lines") > (out "lines")
  write_table("iifname { " names " }")
  print devices, left_out > (out "counts")
}

# Returns a chain that notes packets in the sets of its name. It runs before all other chains or after them.
function hook(name, at, priority, shift, then) {
  return "chain at_" name " {\ntype filter hook " at " priority " priority "; policy accept;\n" \
    noting(4, name, shift, then) noting(6, name, shift, then) "}\n"
}

# A client may send packets with such a time to live, too. Its address is noted where they enter, since firewalls may
# change addresses later.
function noting(family, name, shift, then,    ip, sources, numbers, number) {
  if (SOURCES[family] == "") return ""
  ip = family == 4 ? "ip" : "ip6"
  number = family == 4 ? "ip ttl" : "ip6 hoplimit"
  numbers = IN " " number " " FIRST_TTL - shift "-" LAST_TTL - shift " " ip " saddr "
  sources = "{ " SOURCES[family] " }"
  return (name == "entered" ? numbers "!= " sources " add @others" family " { " ip " saddr }\n" : "") \
    numbers (name == "entered" ? sources : "!= @others" family) " add @" name family " { " number " }" then "\n"
}

# Returns rules that let packets of clients pass.
function of_others(family,    ip) {
  if (SOURCES[family] == "") return ""
  ip = family == 4 ? "ip" : "ip6"
  return ip " saddr @others" family " accept\nct original " ip " saddr @others" family " accept\n"
}

function write_table(condition,    text, i, sets) {
  IN = condition
  # A run that was killed may have left its table.
  text = "table inet source_routing_probe\ndelete table inet source_routing_probe\ntable inet source_routing_probe {\n"
  i = split("entered forwarded passed input", sets, " ")
  for (; i > 0; i--) text = text "set " sets[i] "4 { typeof ip ttl; flags dynamic; size 256; }\nset " sets[i] "6 { typeof ip6 hoplimit; flags dynamic; size 256; }\n"
  text = text "set others4 { typeof ip saddr; flags dynamic; size 256; }\nset others6 { typeof ip6 saddr; flags dynamic; size 256; }\n" SETS \
    hook("entered", "prerouting", -100000, 0, trace ? " meta nftrace set 1" : "") \
    hook("forwarded", "forward", -100000, 1, "") \
    hook("passed", "forward", 100000, 1, "") \
    hook("input", "input", -100000, 0, " drop") \
    "chain at_left {\ntype filter hook postrouting priority 300; policy accept;\n" of_others(4) of_others(6) LEAVE[4] LEAVE[6] strays(4) strays(6) "}\n"
  # Answers of this machine would go to the real owner of the source address, so they are dropped. Errors and redirects
  # contain the packet that caused them, so its time to live identifies them.
  text = text "chain answers {\ntype filter hook output priority 100000; policy accept;\n" TOLD
  if (SOURCES[4] != "") text = text "ip daddr { " SOURCES[4] " } icmp type { 3, 5, 11, 12 } @th,128,8 " FIRST_TTL - 1 "-" LAST_TTL " drop\n" \
    "ip daddr { " SOURCES[4] " } tcp flags & rst == rst tcp sport " PORT " drop\n"
  if (SOURCES[6] != "") text = text "ip6 daddr { " SOURCES[6] " } icmpv6 type { 1, 2, 3, 4 } @th,120,8 " FIRST_TTL - 1 "-" LAST_TTL " drop\n" \
    "ip6 daddr { " SOURCES[6] " } icmpv6 type nd-redirect drop\n" \
    "ip6 daddr { " SOURCES[6] " } tcp flags & rst == rst tcp sport " PORT " drop\n"
  print text "}\n}" > (out "table")
}

# Returns rules that drop packets whose time to live somebody has changed: nobody knows which they are.
function strays(family,    ip) {
  ip = family == 4 ? "ip" : "ip6"
  if (DESTINATIONS[family] == "" || SOURCES[family] == "") return ""
  return IN " " ip " saddr { " SOURCES[family] " } " ip " daddr { " DESTINATIONS[family] " } drop\n" \
    IN " ct original " ip " saddr { " SOURCES[family] " } " ip " daddr { " DESTINATIONS[family] " } drop\n"
}

# Reads the name of a set, such as entered4 or left4_131.
function begin_set(name) {
  seen_ttl = name
  sub(/.*_/, "", seen_ttl)
  sub(/_.*/, "", name)
  seen_family = substr(name, length(name))
  set = substr(name, 1, length(name) - 1)
}

# Reads an element of a set: the time to live, which is one less after forwarding, or how a packet leaves.
function note(text,    n) {
  if (set == "left") {
    n = NUMBER[seen_family, seen_ttl]
    # The name of an interface may contain dots, too.
    if (seen_family == 4) match(text, /[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$/)
    else match(text, /[^.]*$/)
    SOURCE_AT[n] = substr(text, RSTART)
    LEFT_BY[n] = substr(text, 1, RSTART - 2)
  } else if (set == "others") return
  else if (set == "told") n = NUMBER[seen_family, seen_ttl]
  else n = NUMBER[seen_family, text + (set == "forwarded" || set == "passed")]
  SEEN[set, n] = 1
}

# Stores in `who` which rule has dropped or changed a packet.
function blame(who,    n, rest) {
  split(TRACED[$3], traced_as, " ")
  n = NUMBER[traced_as[1], traced_as[2]]
  if (n == "") return
  rest = $0
  sub(/^trace id [^ ]+ /, "", rest)
  sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", rest)
  sub(/ *(meta mark 0x[0-9a-f]+ *)?$/, "", rest)
  sub(/( \(verdict [a-z]+\))? *$/, "", rest)
  who[n] = "chain " $4 " " $5 " " $6 (rest ~ /^policy/ ? " (" rest ")" : ", " rest)
}

# Does packet n say nothing new? A reply does not if the packet before it did not leave as the client had sent it, or loses
# its replies anyway. A large packet does not if it leaves as the small one does, or if even that is stopped.
function is_moot(n,    first) {
  if (KIND[n] == "opener") return 1
  first = FIRST[n]
  if (KIND[n] == "large") return n in UNSENT || !(("left", first) in SEEN) || !is_expected(first) || LEFT_BY[n] == LEFT_BY[first]
  return KIND[n] == "reply" && (!(("left", first) in SEEN) || LEFT_BY[first] != DEVICE[n] || is_changed(first) || loses_replies(first))
}

function has_arrived(n) { return (("left", n) in SEEN) || (("input", n) in SEEN) || is_told(n) }

# Has the client been told that packet n is too large?
function is_told(n) { return ("told", n) in SEEN }

# Is packet n larger than its way lets pass? Routing drops such a packet, where a smaller one is forwarded.
function is_too_large(n) { return KIND[n] == "large" && ("entered", n) in SEEN && !(("forwarded", n) in SEEN) && !(n in BLAME) }

# Does packet n leave with a source that it may have?
function has_right_source(n) { return is_changed(n) ? is_wanted("translated", n) : !is_wanted("translates " LEFT_BY[n], n) }

function is_changed(n) { return (("left", n) in SEEN) && SOURCE_AT[n] != FROM[n] }

# Is `what` declared for packet n? Such a line, as to refuse a change, holds for all labels of a construct.
function is_wanted(what, n) { return is_declared(what, LABEL[n]) }

function is_declared(what, directory) {
  sub(/[^\/]*$/, "", directory)
  return (what, directory) in WANTED
}

function count_lost(    n, lost, unclear) {
  lost = unclear = 0
  for (n = 1; n <= PACKETS; n++) {
    if (is_moot(n)) continue
    if (!has_arrived(n) && !(n in UNSENT)) { lost++; unclear++ }
    else if (is_changed(n) && !is_wanted("translated", n) || !is_expected(n)) unclear++
  }
  print lost, unclear
}

# In IPv4, the setting of the incoming interface decides about forwarding. Replies come in where the packets left.
function loses_replies(n) { return ("left", n) in SEEN && FAMILY[n] == 4 && !setting("ipv4/conf/" LEFT_BY[n] "/forwarding") }

function source_at_exit(n) {
  if (is_changed(n)) return ", their source changed to " SOURCE_AT[n] (n in TRANSLATOR ? " by " TRANSLATOR[n] : "")
  return has_right_source(n) ? "" : " with the address of the client, which is not translated"
}

function is_forwarding(n) { return FAMILY[n] == 4 ? setting("ipv4/conf/" DEVICE[n] "/forwarding") : setting("ipv6/conf/all/forwarding") }

# Says what happened to packet n; the text follows "packets ... ".
function outcome(n,    device, filter, diverted) {
  device = DEVICE[n]
  diverted = (n in DIVERTER) && !is_expected(n) ? (DIVERTER[n] ~ /mark set/ ? ", marked by " : ", their destination changed by ") DIVERTER[n] : ""
  if (n in UNSENT) return "could not be sent"
  if (loses_replies(n)) return "leave by " LEFT_BY[n] ", but replies are not forwarded, as net.ipv4.conf." LEFT_BY[n] ".forwarding is 0"
  if (("left", n) in SEEN) return "leave by " LEFT_BY[n] source_at_exit(n) diverted
  if (("input", n) in SEEN) return "reach this machine" diverted
  if (n in BLAME) return "are dropped by " BLAME[n]
  if (("passed", n) in SEEN) return "are dropped after the forward hook, by something that nftables does not trace"
  if (("forwarded", n) in SEEN) return "are dropped in the forward hook, by something that nftables does not trace (iptables-legacy?)"
  if (FAMILY[n] == 6 && setting("ipv6/conf/" device "/disable_ipv6")) return "are dropped, as net.ipv6.conf." device ".disable_ipv6 is 1"
  if (!(("entered", n) in SEEN)) return "are dropped at the ingress of " device ", before any firewall rule (tc, XDP, or a chain of the ingress hook)"
  if (KIND[n] == "large") return "do not fit into the MTU of " narrowest(n) (is_told(n) ? ": the client is told" : ", and the client is not told")
  if (!is_forwarding(n)) return "are not forwarded, as net." (FAMILY[n] == 4 ? "ipv4.conf." device : "ipv6.conf.all") ".forwarding is 0"
  filter = reverse_path_filter(device)
  if (FAMILY[n] == 4 && filter > 0)
    return "are not routed, or dropped by rp_filter of " device ", which is " (filter == 1 ? "strict" : "loose") ": see \"ip route get " TO[n] " from " FROM[n] " iif " device "\""
  return "are not routed: see \"ip -" FAMILY[n] " route get " TO[n] " from " FROM[n] " iif " device "\""
}

# Says what has the MTU that packet n is too large for.
function narrowest(n,    device) {
  device = FATES[n]
  sub(/.* /, "", device)
  return device in MTU && MTU[device] < largest(DEVICE[n]) ? device ", which is " MTU[device] : "their route"
}

# Returns the size of the largest packet that a client can send through a tunnel.
function largest(device) { return MTU[device] < LARGEST ? MTU[device] : LARGEST }

function is_expected(n,    i, m, fate, w, k) {
  if (FATES[n] == "any" || is_told(n) || is_too_large(n) && is_wanted("clamped", n)) return 1
  # A filter where packets come in may know that nobody sends this one from there.
  if (KIND[n] == "reply" && !has_arrived(n)) return !(("forwarded", n) in SEEN) || (("passed", n) in SEEN)
  if (loses_replies(n)) return 0
  m = split(FATES[n], fate, " or ")
  for (i = 1; i <= m; i++) {
    k = split(fate[i], w, " ")
    if (w[1] == "local" && ("input", n) in SEEN) return 1
    # Routing may reject packets on a router, but no firewall may.
    if (w[1] == "rejected" && !has_arrived(n) && !(is_wanted("routed", n) && ((("forwarded", n) in SEEN) || !is_forwarding(n)))) return 1
    if ((w[1] == "via" || w[1] == "dev") && ("left", n) in SEEN && has_right_source(n) && (k == 2 && w[1] == "via" || w[k] == LEFT_BY[n])) return 1
  }
  return 0
}

# Says how to mend the outcome of packet n.
function mending(n,    w) {
  if (outcome(n) ~ /forwarding is 0$/) return "Switch it on, or set forwarding: Forwarding.sysctl()"
  if (("left", n) in SEEN && !is_changed(n) && !has_right_source(n)) return "Nobody could answer them: look for a rule in front of the source NAT that accepts them (nft list chains), or set sourceNat: SourceNat.unmanaged()"
  if (is_changed(n)) return "The NAT router has to see the addresses of clients: exempt " LEFT_BY[n] " from that rule, or set sourceNat: SourceNat.unmanaged()"
  if (has_arrived(n)) return "Look for rules and marks of others that send them there, or set forwarding: Forwarding.unmanaged() to have no more than a note"
  if (is_too_large(n)) return "Let this machine send the ICMP error that tells the client (fragmentation needed, packet too big), or set mssClamp: true"
  # An accept rule helps only if a chain of the forward hook drops the packet.
  if (!(("forwarded", n) in SEEN) || ("passed", n) in SEEN) return "Mend that, or set forwarding: Forwarding.unmanaged() to have no more than a note"
  # A drop without a trace may come from iptables-legacy.
  if (!(n in BLAME)) return ACCEPT_THERE "iptables()"
  split(BLAME[n], w, /[ ,]/)
  if (w[3] ~ /^source_routing_/) return "That is the kill switch of " substr(w[3], 16) ": allow the interface there (allowedInterfaces)"
  if (w[3] == "firewalld") return "Accept them in a policy of firewalld, or set forwarding: Forwarding.firewalld()"
  return ACCEPT_THERE (w[4] ~ /^ufw/ ? "ufw()" : w[3] == "filter" && (w[2] in OF_IPTABLES) ? "iptables()" : "nftables({ chains: [\"" w[2] " " w[3] " " w[4] "\"] })")
}

function question_of(n) { return LABEL[n] (KIND[n] == "large" ? ": large packets " : ": packets ") FROM[n] " -> " TO[n] " from " DEVICE[n] }

# Says what happens to the first packet of `question` without the change.
function without_change(    n) {
  for (n = 1; n <= PACKETS; n++) if (question_of(n) == question) {
    if (n in UNSENT || is_moot(n) && KIND[n] != "large") return ""
    return has_arrived(n) ? "without the change, they " outcome(n) : "they are dropped without the change, too"
  }
}

function said(n) {
  if (KIND[n] == "large") return "UDP of " largest(DEVICE[n]) " bytes"
  return SAID[KIND[n]] (KIND[n] == "icmp" || KIND[n] == "reply" ? "" : " to port " AT[n])
}

# Prints one line for all packets of a question with the same outcome.
function judge_all(    n, question, what, key, i, line) {
  for (n = 1; n <= PACKETS; n++) if (KIND[n] != "icmp" && !(n in UNSENT)) PORTS[question_of(n)] = 1
  for (n = 1; n <= PACKETS; n++) {
    if (is_moot(n)) continue
    question = question_of(n)
    what = outcome(n)
    key = question SUBSEP what
    if (!(key in GROUP)) {
      GROUP[key] = ++groups
      GROUP_QUESTION[groups] = question
      GROUP_OUTCOME[groups] = what
      GROUP_FIRST[groups] = n
    }
    i = GROUP[key]
    if (n in UNSENT || is_too_large(n) && is_expected(n)) PARTLY[i] = 1
    else if (!is_expected(n)) BAD[i] = 1
    # Some firewalls let only an echo pass, so an echo alone proves nothing if other kinds were tried.
    else if (KIND[n] != "icmp" || !(question in PORTS)) GOOD[question] = 1
    GROUP_KINDS[i] = GROUP_KINDS[i] (GROUP_KINDS[i] == "" ? "" : ", ") said(n)
  }
  # A firewall may close one port on purpose. If no packet passes, clients are cut off.
  printf "" > (out "refused")
  printf "" > (out "noted")
  for (i = 1; i <= groups; i++) {
    line = GROUP_QUESTION[i] " (" GROUP_KINDS[i] ") " GROUP_OUTCOME[i]
    if (BAD[i] && !(GROUP_QUESTION[i] in GOOD)) {
      print (is_wanted("unmanaged", GROUP_FIRST[i]) ? "- " : "! ") line
      print "! " line > (out "noted")
      if (is_wanted("refuse", GROUP_FIRST[i])) print GROUP_QUESTION[i] "\n" line ". " mending(GROUP_FIRST[i]) > (out "refused")
    } else print (BAD[i] || PARTLY[i] ? "- " : "+ ") line
  }
}
