# Reads a bundle: checks every line, puts the values in, and writes what the agent keeps:
# agent (the program itself), format, state, manifest, requires, summary, files/N, and expectations and adopt if there
# are any. Prints problems, one a line.
#
# Variables: out (directory), owner (whom the run is for), mark (the line before the data), format (that it reads),
# chosen (the persistence), systemd (set if it runs this machine), nftables (set if it can be used here).

function bad(text) { print text; problems++ }

# A value may be a secret, or one in the wrong place: no message holds any. $0 has none, but where it declares one.
function damaged(text,    line) {
  line = $1 == "value" ? $1 " " $2 " " $3 " " $4 " " $5 : $0
  bad("the bundle is damaged at data line " lines ": " text " (\"" substr(line, 1, 120) "\"). Upload it again; if that does not help, the library and this agent do not fit together")
  stop = 1
  exit
}

function is_number(word, most) { return word ~ /^(0|[1-9][0-9]*)$/ && length(word) <= 10 && word + 0 <= most }
function is_device(word) { return word ~ /^[A-Za-z0-9_.:@+-]+$/ && length(word) <= 15 && word !~ /^(-.*|\.\.?|all|default)$/ }
function is_range(word, most,    end) {
  if (split(word, end, "-") == 1) return is_number(word, most)
  return split(word, end, "-") == 2 && is_number(end[1], most) && is_number(end[2], most) && end[1] + 0 <= end[2] + 0
}
# The kernel prints hexadecimal numbers small and without leading zeros.
function hexadecimal(word, digits) {
  word = tolower(word)
  if (word !~ /^0x[0-9a-f]+$/) damaged("a word is no hexadecimal number")
  sub(/^0x0*/, "", word)
  if (length(word) > digits) damaged("a hexadecimal number is too large")
  return "0x" (word == "" ? "0" : word)
}

# value N KIND FAMILY LABEL JSON
function read_value(    n, kind, family, label, json, text, got) {
  n = $2; kind = $3; family = $4; label = $5
  if (NF < 6 || !is_number(n, 1000000) || (n in VALUE)) damaged("no such value")
  json = substr($0, length(n) + length(kind) + length(family) + length(label) + 11)
  VALUE[n] = ""
  if (json !~ /^".*"$/ || length(json) < 2) {
    bad_value(label, "is not a text", kind, family)
    return
  }
  text = substr(json, 2, length(json) - 2)
  wrong = ""
  got = ""
  if (kind == "device") {
    if (is_device(text)) got = text
    else wrong = length(text) > 15 ? "is longer than 15 characters" : "is not the name of a network device"
  } else if (kind == "address") got = checked_address(text)
  else if (kind == "prefix") got = checked_prefix(text)
  else damaged("unknown kind of value")
  if (text == "") wrong = "is empty"
  else if (text ~ /^( |\\[nrt])|( |\\[nrt])$/) wrong = "has a blank or a line break at its start or end"
  if (got == "") bad_value(label, wrong, kind, family)
  else if (kind != "device" && family != "-" && family_of(got) != family + 0)
    bad_value(label, "is of IPv" family_of(got), kind, family)
  else VALUE[n] = got
}

function family_of(text) { return index(text, ":") ? 6 : 4 }

function bad_value(label, what, kind, family,    form) {
  if (kind == "device") form = "the name of a network device (letters, digits and _ . : @ + -, at most 15)"
  else {
    form = "an IP" (family == "-" ? "" : "v" family) " " kind " such as "
    if (family == 6) form = form "2001:db8::" (kind == "prefix" ? "/64" : "7")
    else form = form "192.0.2." (kind == "prefix" ? "0/24" : "7")
  }
  bad(label " " what ". Give " form " there; the value is not shown, as it may be a secret")
}

# Puts the values where @N@ stands. Never twice: a value is not looked at again. Where it is @N.4@ or
# @N.6@, sets other_family if the value is not of that family.
function filled(text, lenient,    out, n, only) {
  out = ""
  other_family = 0
  while (match(text, /@[0-9]+(\.[46])?@/)) {
    n = substr(text, RSTART + 1, RLENGTH - 2)
    only = ""
    if (n ~ /\./) {
      only = substr(n, length(n))
      sub(/\..$/, "", n)
    }
    if (n in VALUE) {
      if (only != "" && only != (index(VALUE[n], ":") ? 6 : 4)) other_family = 1
      out = out substr(text, 1, RSTART - 1) VALUE[n]
      text = substr(text, RSTART + RLENGTH)
    } else {
      if (!lenient) damaged("there is no value " n)
      out = out substr(text, 1, RSTART)
      text = substr(text, RSTART + 1)
    }
  }
  return out text
}

function next_word() { at++; return at <= count ? W[at] : "" }
function take(key) {
  if (W[at + 1] != key) return 0
  at++
  got_word = next_word()
  if (got_word == "") damaged("a word is missing after \"" key "\"")
  return 1
}
function address(    text) {
  text = checked_address(got_word)
  if (text == "") damaged("an address " wrong)
  same_family(text)
  return text
}
function prefix(    text) {
  text = checked_prefix(got_word)
  if (text == "") damaged("a prefix " wrong)
  same_family(text)
  return short_prefix(text)
}
function same_family(text) {
  if (family_of(text) != family) damaged("an address is not IPv" family)
}
function number(most) {
  if (!is_number(got_word, most)) damaged("a word is not a number from 0 to " most)
  return got_word
}
function range(most) {
  if (!is_range(got_word, most)) damaged("a word is not a range up to " most)
  if (got_word ~ /-/) { split(got_word, ends, "-"); if (ends[1] == ends[2]) return ends[1] }
  return got_word
}
function device() {
  if (!is_device(got_word)) damaged("a word is not the name of a network device")
  return got_word
}
function nothing_left() {
  if (at < count) damaged("there are too many words")
}

# Splits a rule or route line into W[1..count] with the values in it, and finds its family.
function words_of(line,    i) {
  line = filled(line, 0)
  count = split(line, W, " ")
  W[count + 1] = ""
  family = W[2]
  if (family == "auto") family = index(line, ":") ? 6 : 4
  if (family != 4 && family != 6) damaged("no such family")
  family += 0
}

function read_rule(    out, word, priority, what) {
  words_of($0)
  at = 2
  got_word = next_word()
  priority = number(4294967295)
  out = ""
  if (W[at + 1] == "not") { at++; out = " not" }
  if (take("from")) { word = prefix(); if (word != "default") out = out " from " word }
  if (take("to")) { word = prefix(); if (word != "default") out = out " to " word }
  if (take("tos")) out = out " tos " hexadecimal(got_word, 2)
  if (take("fwmark")) out = out " fwmark " mark_of(got_word)
  if (take("iif")) out = out " iif " device()
  if (take("oif")) out = out " oif " device()
  if (take("uidrange")) { if (got_word !~ /-/ || !is_range(got_word, 4294967295)) damaged("bad uidrange"); out = out " uidrange " got_word }
  if (take("ipproto")) out = out " ipproto " number(255)
  if (take("sport")) out = out " sport " range(65535)
  if (take("dport")) out = out " dport " range(65535)
  if (take("lookup")) out = out " lookup " number(4294967295)
  else if (take("goto")) out = out " goto " number(4294967295)
  else {
    word = next_word()
    if (word != "blackhole" && word != "unreachable" && word != "prohibit") damaged("no action")
    # Of systemd-networkd also such a rule has a table; without that it would be another rule beside it.
    out = out ($1 == "rule" && (chosen == "networkd" || chosen == "netplan") ? " lookup 254 " : " ") word
  }
  if (take("suppress_prefixlength")) out = out " suppress_prefixlength " number(128)
  if (take("suppress_ifgroup")) out = out " suppress_ifgroup " number(4294967295)
  nothing_left()
  what = $1 == "rule" && managed ? "static" : $1
  if ((family " " priority) in SEEN_RULE)
    bad("two IPv" family " rules" (what SEEN_RULE[family " " priority] ~ /guard/ ? ", one of them a guard," : "") " have priority " priority ": give each its own")
  SEEN_RULE[family " " priority] = what
  if (what == "guard") {
    if (out !~ / (unreachable|blackhole)$/) damaged("a guard is unreachable or blackhole, nothing else")
    guards++
  } else rules++
  state(what " " family " " priority out)
}

function mark_of(word,    part, n, mask) {
  n = split(word, part, "/")
  if (n > 2) damaged("bad mark")
  if (n == 1) return hexadecimal(part[1], 8)
  mask = hexadecimal(part[2], 8)
  return hexadecimal(part[1], 8) (mask == "0xffffffff" ? "" : "/" mask)
}

function read_route(    out, table, destination, metric) {
  words_of($0)
  at = 2
  got_word = next_word(); table = number(4294967295)
  if (!(table in TABLES) && !shared(table)) damaged("table " table " is not declared")
  got_word = next_word(); destination = got_word == "default" ? "default" : prefix()
  got_word = next_word(); metric = number(4294967295)
  # The kernel takes 0 for its default there, and prints that.
  if (family == 6 && metric == 0) metric = 1024
  out = ""
  if (take("type")) {
    if (got_word !~ /^(blackhole|unreachable|prohibit|throw)$/) damaged("no such type")
    out = out " type " got_word
  }
  if (take("via")) out = out " via " address()
  if (take("dev")) out = out " dev " device()
  if (take("src")) out = out " src " address()
  if (take("scope")) out = out " scope " number(255)
  if (take("mtu")) out = out " mtu " number(4294967295)
  if (take("advmss")) out = out " advmss " number(4294967295)
  if (W[at + 1] == "onlink") { at++; out = out " onlink" }
  while (W[at + 1] == "nexthop") {
    at++
    if (!take("via")) damaged("a next hop has no address")
    out = out " nexthop via " address()
    if (take("dev")) out = out " dev " device()
    if (take("weight")) out = out " weight " number(256)
    if (W[at + 1] == "onlink") { at++; out = out " onlink" }
  }
  if (take("proto")) {
    if (number(255) != OURS) damaged("a route is of our own protocol, or of that of the persistence")
  } else if (managed) out = out " proto " BY_MANAGER
  nothing_left()
  if ((family " " table " " destination " " metric) in SEEN_ROUTE)
    bad("table " table " has two IPv" family " routes to one destination with metric " metric ": give each its own metric")
  SEEN_ROUTE[family " " table " " destination " " metric] = 1
  if (shared(table)) SHARED_PLACES[table ":" destination] = 1
  routes++
  state("route " family " " table " " destination " " metric out)
}

# expect FAMILY LABEL to ADDR [or ADDR]... ... is FATE [or FATE]...
function read_expectation(    line, from) {
  words_of($0)
  at = 2
  got_word = next_word()
  if (W[2] != family || got_word !~ /^[A-Za-z0-9_.:\/-]+$/) damaged("no such expectation")
  line = "expect " family " " got_word
  if (!take("to")) damaged("nothing says where the packet goes to")
  line = line " to " address()
  while (take("or")) line = line " or " address()
  from = ""
  if (take("from")) { from = address(); line = line " from " from }
  if (take("iif")) {
    if (got_word == "-" && from == "") damaged("a packet without a source comes from nowhere")
    line = line " iif " (got_word == "-" ? "-" : device())
  }
  if (take("mark")) line = line " mark " hexadecimal(got_word, 8)
  if (take("tos")) line = line " tos " hexadecimal(got_word, 2)
  if (take("uid")) line = line " uid " number(4294967295)
  if (take("ipproto")) line = line " ipproto " number(255)
  if (take("sport")) line = line " sport " number(65535)
  if (take("dport")) line = line " dport " number(65535)
  if (next_word() != "is") damaged("nothing says what becomes of the packet")
  line = line " is" fate()
  while (W[at + 1] == "or") { at++; line = line " or" fate() }
  nothing_left()
  print line > (out "/expectations")
}

# gateway FAMILY DEV ADDR...
function read_gateway(    line) {
  words_of($0)
  at = 2
  got_word = next_word()
  line = "gateway " family " " device()
  if (W[2] != family) damaged("no such gateway")
  do {
    got_word = next_word()
    line = line " " address()
  } while (at < count)
  print line > (out "/expectations")
}
function fate(    word, text) {
  text = ""
  if (take("via")) text = " via " address()
  if (take("dev")) text = text " dev " device()
  if (text != "") return text
  word = next_word()
  if (word != "local" && word != "rejected" && word != "unchanged") damaged("no such fate")
  return " " word
}

function counted(n, what) { return n + 0 " " what (n == 1 ? "" : "s") }

function shared(table) { return table >= 253 && table <= 255 }

function state(line) {
  STATE[++states] = line
  if (line ~ /^(rule|guard|static|route) 4 /) has4 = 1
  if (line ~ /^(rule|guard|static|route) 6 /) has6 = 1
}

function is_path(text) { return text ~ /^\/[A-Za-z0-9._@\/+-]+$/ && text !~ /\/\// && text !~ /\/\.\.?(\/|$)/ && text !~ /\/$/ }

# What comes after the first n words of a file or a unit: under which conditions it is there.
function read_conditions(n,    i) {
  dropped = shared_file = 0
  for (i = n + 1; i <= NF; i++) {
    if ($i == "shared" && $1 == "file") shared_file = 1
    else if ($i == "systemd") dropped = dropped || !systemd
    else if ($i == "nftables") { nftables_wanted = 1; dropped = dropped || !nftables }
    else damaged("unknown word \"" $i "\"")
  }
}

function read_file_line() {
  if (NF < 4 || $2 !~ /^0[0-7][0-7][0-7]$/ || !is_path($3) || !is_number($4, 1000000))
    damaged("no such file")
  if ($3 in PATHS) damaged("the file is there twice")
  PATHS[$3] = 1
  read_conditions(4)
  if (!dropped) print "file " $2 " " files + 1 " " $3 (shared_file ? " shared" : "") > (out "/manifest")
  begin_file($4 + 0)
}

# Where the network manager has the configuration of the device: what that means is found out later.
function read_placed() {
  if ((NF != 4 && !($1 == "block" && NF == 3)) || !is_device($2) || !is_number($NF, 1000000) || $1 == "dropin" && !is_path("/" $3))
    damaged("no such file")
  if ($1 == "block") print "block " files + 1 " @" $2 > (out "/manifest")
  else print "file 0644 " files + 1 " @" $2 "/" $3 > (out "/manifest")
  begin_file($NF + 0)
}

function begin_file(n) {
  if (files++) close(file)
  file = dropped ? "/dev/null" : out "/files/" files
  dropped = 0
  printf "" > file
  content = n
}

# persistence NAME own|static DEVICE...
function read_persistence(    i, devices) {
  if (NF < 3 || $2 !~ /^[a-z-]+$/ || $3 !~ /^(own|static)$/) damaged("no such persistence")
  devices = ""
  for (i = 4; i <= NF; i++) {
    if (!is_device($i)) damaged("\"" $i "\" is not the name of a network device")
    devices = devices " " $i
  }
  if ($2 != chosen) return
  known = 1
  managed = $3 == "static"
  print "persistence " $2 devices > (out "/manifest")
}

function read_hook(    i) {
  if (NF < 4 || $2 !~ /^[a-z]+$/ || !($3 in PATHS)) damaged("no such hook")
  for (i = 4; i <= NF; i++) {
    if (!($i in TABLES)) damaged("table " $i " is not declared")
    state("hooked " $i)
  }
  print > (out "/manifest")
}

BEGIN {
  lines = files = content = states = has4 = has6 = problems = ended = 0
  in_data = stop = managed = known = skipping = dropped = nftables_wanted = 0
  printf "" > (out "/manifest")
  printf "" > (out "/requires")
}

!in_data && $0 == mark { in_data = 1; next }
!in_data { print > (out "/agent"); next }

{ lines++ }
ended { damaged("data after the end") }

content > 0 {
  if (substr($0, 1, 1) != "|") damaged("a line of a file is missing")
  text = filled(substr($0, 2), 1)
  if (!other_family) print text > file
  content--
  next
}
lines == 1 {
  if ($1 != "bundle" || !is_number($2, 1000000)) damaged("it does not say which format it has")
  if ($2 != format) {
    bad("the bundle was written by cdktf-source-routing " $3 " (format " $2 "), and this agent knows format " format " only. Apply it with the agent that came with it")
    stop = 1
    exit
  }
  print $2 " " $3 > (out "/format")
  next
}
$1 == "owner" {
  if (NF != 2 || $2 != owner) damaged("it belongs to another owner than " owner)
  owned = 1
  next
}
$1 == "value" { read_value(); next }
($1 == "automatic" || $1 == "either") && NF == 1 { next }
$1 == "persistence" { read_persistence(); next }
# Up to the end come what only one persistence needs, one after the other.
$1 == "for" {
  if (NF != 2) damaged("no such persistence")
  skipping = $2 != chosen
  next
}
skipping && $1 != "end" { next }
# With a bad value the rest cannot be judged: only the other values are still looked at.
problems { next }
$1 == "requires" {
  if (!($2 == "systemd" && NF == 2) &&
      !($2 == "version" && NF > 4 && $3 ~ /^[a-z-]+$/ && $4 ~ /^[0-9]+([.][0-9]+)*$/)) damaged("unknown requirement")
  print > (out "/requires")
  next
}
$1 == "table" {
  if (NF != 3 || !is_number($2, 4294967295) || $3 !~ /^(-|[A-Za-z0-9_][A-Za-z0-9_.-]*)$/ || ($2 in TABLES)) damaged("no such table")
  TABLES[$2] = 1
  state($0)
  next
}
$1 == "rule" || $1 == "guard" { read_rule(); next }
$1 == "route" { read_route(); next }
$1 == "expect" { read_expectation(); next }
$1 == "gateway" { read_gateway(); next }
$1 == "file" { read_file_line(); next }
$1 == "dropin" || $1 == "block" { read_placed(); next }
$1 == "hook" { read_hook(); next }
$1 == "adopt" {
  if (NF > 2 || NF == 2 && !is_path($2)) damaged("no such file to adopt")
  print > (out "/adopt")
  next
}
$1 == "unit" {
  if (NF < 2 || $2 !~ /^[A-Za-z0-9_.@-]+\.[a-z]+$/) damaged("no such unit")
  read_conditions(2)
  if (!dropped) print "unit " $2 > (out "/manifest")
  dropped = 0
  next
}
$1 == "sysctl" {
  if (NF < 3 || $2 !~ /^net\.ipv[46]\.fwmark_reflect$/ || $3 != "1") damaged("no such sysctl")
  read_conditions(3)
  if (!dropped) print "sysctl " $2 " " $3 > (out "/manifest")
  dropped = 0
  next
}
$1 == "end" {
  if (NF != 2 || $2 != lines - 1) damaged("it has " lines - 1 " lines, not the number that it says")
  ended = 1
  next
}
{ damaged("unknown word \"" $1 "\"") }

END {
  if (stop || problems) exit
  if (!in_data) bad("the bundle is damaged: it holds no data. Upload it again")
  else if (!ended) bad("the bundle is damaged: it breaks off after data line " lines ". Upload it again")
  else if (!owned) bad("the bundle is damaged: it names no owner. Upload it again")
  else if (!known) bad("the bundle is damaged: it does not name the persistence " chosen ". Upload it again")
  print "families" (has4 ? " 4" : "") (has6 ? " 6" : "") > (out "/state")
  # The places that are looked after, where the watch finds them without reading it all.
  for (table in TABLES) watched = watched " " table
  for (place in SHARED_PLACES) watched = watched " " place
  print "watched" watched > (out "/state")
  for (i = 1; i <= states; i++) print STATE[i] > (out "/state")
  if (nftables_wanted && !nftables) print "without nftables" > (out "/manifest")
  print counted(rules, "rule") (guards ? ", " counted(guards, "guard") : "") ", " counted(routes, "route") > (out "/summary")
}
