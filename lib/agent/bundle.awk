# Reads a bundle that has passed is_whole(). Fills in the values, and writes what the agent keeps: agent (the program
# itself), format, state, manifest, requires, summary, files/N, and expectations and adopt if there are any.
# Prints "E text" for each problem.
#
# Only values can be wrong here. All other lines were written at synth in the form in which they are kept and compared.
#
# Variables: out (directory), owner (whom the run is for), mark (the line before the data), chosen (the persistence),
# systemd (set if it runs this machine), nftables (set if it can be used here).

function bad(text) { print "E " text; problems++ }

function is_device(word) { return word ~ /^[A-Za-z0-9_.:@+-]+$/ && length(word) <= 15 && word !~ /^(-.*|\.\.?|all|default)$/ }

# value N KIND FAMILY LABEL JSON
function read_value(    n, kind, family, json, text, got) {
  n = $2; kind = $3; family = $4
  KIND[n] = kind
  LABEL[n] = $5
  VALUE[n] = ""
  json = substr($0, length($1 $2 $3 $4 $5) + 6)
  if (json !~ /^".*"$/ || length(json) < 2) {
    bad_value(n, "is not a text", family)
    return
  }
  text = substr(json, 2, length(json) - 2)
  wrong = ""
  got = ""
  if (kind == "device") {
    if (is_device(text)) got = text
    else wrong = length(text) > 15 ? "is longer than 15 characters" : "is not the name of a network device"
  } else got = kind == "address" ? checked_address(text) : checked_prefix(text)
  if (text == "") wrong = "is empty"
  else if (text ~ /^( |\\[nrt])|( |\\[nrt])$/) wrong = "has a blank or a line break at its start or end"
  if (got == "") bad_value(n, wrong, family)
  else if (family != "-" && family_of(n, got) != family) bad_value(n, "is of IPv" family_of(n, got), family)
  else VALUE[n] = got
}

# The family of value n with this text; "" for a device, which has no family.
function family_of(n, text) { return KIND[n] == "device" ? "" : index(text, ":") ? 6 : 4 }

# Complains about value n. The message never shows the value: it may be a secret, or a secret in the wrong place.
function bad_value(n, what, family,    form) {
  if (KIND[n] == "device") form = "the name of a network device (letters, digits and _ . : @ + -, at most 15)"
  else {
    form = "an IP" (family == "-" ? "" : "v" family) " " KIND[n] " such as "
    if (family == 6) form = form "2001:db8::" (KIND[n] == "prefix" ? "/64" : "7")
    else form = form "192.0.2." (KIND[n] == "prefix" ? "0/24" : "7")
  }
  bad(LABEL[n] " " what ". Give " form " there; the value is not shown, as it may be a secret")
}

# Replaces each @N@ by value N. Without such a value, @N@ is plain text. The values themselves are not searched again.
# Sets family to that of the values. Sets other_family if a value is not of the family that @N.4@ or @N.6@ asks for.
function filled(text, in_file,    out, n, only, of, first) {
  out = family = ""
  other_family = 0
  while (match(text, /@[0-9]+(\.[46])?@/)) {
    n = substr(text, RSTART + 1, RLENGTH - 2)
    only = ""
    if (n ~ /\./) {
      only = substr(n, length(n))
      sub(/\..$/, "", n)
    }
    if (!(n in VALUE)) {
      out = out substr(text, 1, RSTART)
      text = substr(text, RSTART + 1)
      continue
    }
    of = family_of(n, VALUE[n])
    if (only != "" && only != of) other_family = 1
    if (of != "" && family != "" && of != family && !in_file)
      bad(LABEL[first] " is of IPv" family ", and " LABEL[n] ", in the same " $1 ", of IPv" of ". Give both of one family; the values are not shown, as they may be secrets")
    if (of != "" && family == "") { family = of; first = n }
    out = out substr(text, 1, RSTART - 1) (in_file ? VALUE[n] : short_prefix(VALUE[n]))
    text = substr(text, RSTART + RLENGTH)
  }
  return out text
}

# Fills the values into $0. If synth did not know the family, it is that of the values.
function place() {
  $0 = filled($0, 0)
  if ($2 == "auto") $2 = family
}

# rule FAMILY PRIORITY SELECTORS ACTION, or guard ...
function read_rule(    key) {
  place()
  # The kernel does not print these words.
  sub(/ from default/, "")
  sub(/ to default/, "")
  if ($1 == "guard") guards++
  else {
    rules++
    if (managed) $1 = "static"
    # systemd-networkd gives such a rule a table, too. Without the table here, it would count as another rule.
    if (chosen == "networkd" || chosen == "netplan") sub(/ (blackhole|unreachable|prohibit)( suppress_.*)?$/, " lookup 254&")
  }
  key = $2 " " $3
  if (key in SEEN_RULE)
    bad("two IPv" $2 " rules" ($1 SEEN_RULE[key] ~ /guard/ ? ", one of them a guard," : "") " have priority " $3 ": give each its own")
  SEEN_RULE[key] = $1
  state($0)
}

# route FAMILY TABLE DESTINATION METRIC ATTRIBUTES
function read_route(    key) {
  place()
  # For metric 0 in IPv6, the kernel uses and prints its default.
  if ($2 == 6 && $5 == 0) $5 = 1024
  if (!sub(" proto " OURS "$", "") && managed) $0 = $0 " proto " BY_MANAGER
  key = $2 " " $3 " " $4 " " $5
  if (SEEN_ROUTE[key]++)
    bad("table " $3 " has two IPv" $2 " routes to one destination with metric " $5 ": give each its own metric")
  if (shared_table($3)) PLACES[$3 ":" $4] = 1
  routes++
  state($0)
}

function state(line) {
  STATE[++states] = line
  if (line ~ /^(rule|guard|static|route) 4 /) has4 = 1
  if (line ~ /^(rule|guard|static|route) 6 /) has6 = 1
}

function counted(n, what) { return n + 0 " " what (n == 1 ? "" : "s") }

# Does this line end with a requirement that the machine does not meet, so that it is left out?
function is_left_out() {
  if (/ nftables$/) nftables_wanted = 1
  return / systemd( nftables)?$/ && !systemd || / nftables$/ && !nftables
}

function begin_file(entry, left_out, n) {
  if (files++) close(file)
  file = left_out ? "/dev/null" : out "/files/" files
  printf "" > file
  if (!left_out) print entry > (out "/manifest")
  content = n
}

BEGIN {
  printf "" > (out "/manifest")
  printf "" > (out "/requires")
}

!in_data && $0 == mark { in_data = 1; next }
!in_data { print > (out "/agent"); next }

content > 0 {
  text = filled(substr($0, 2), 1)
  if (!other_family) print text > file
  content--
  next
}
$1 == "bundle" { print $2 " " $3 > (out "/format"); next }
$1 == "owner" {
  if ($2 != owner) bad("the bundle belongs to another owner, " $2 ". Upload that of " owner)
  next
}
$1 == "value" { read_value(); next }
# With a bad value, the rest cannot be checked. Only the other values still are.
problems { next }
# persistence NAME own|static DEVICE...
$1 == "persistence" && $2 == chosen {
  managed = $3 == "static"
  sub(/ (own|static)/, "")
  print > (out "/manifest")
}
# From here on, each part of the bundle is for one persistence only.
$1 == "for" { skipping = $2 != chosen }
skipping { next }
$1 == "requires" { print > (out "/requires") }
$1 == "table" {
  PLACES[$2] = 1
  state($0)
}
$1 == "rule" || $1 == "guard" { read_rule() }
$1 == "route" { read_route() }
$1 == "expect" || $1 == "gateway" || $1 == "probe" { place(); print > (out "/expectations") }
# file MODE PATH LINES [shared] [systemd] [nftables]
$1 == "file" { begin_file("file " $2 " " files + 1 " " $3 ($5 == "shared" ? " shared" : ""), is_left_out(), $4) }
# @DEVICE stands for the place where the network manager has the configuration of the device. It is found later.
$1 == "dropin" { begin_file("file 0644 " files + 1 " @" $2 "/" $3, 0, $4) }
$1 == "block" { begin_file("block " files + 1 " @" $2, 0, $3) }
$1 == "hook" { for (i = 4; i <= NF; i++) state("hooked " $i) }
# textfile DIRECTORY
$1 == "hook" || $1 == "textfile" { print > (out "/manifest") }
$1 == "adopt" { print > (out "/adopt") }
# follow FAMILY TABLE DESTINATION METRIC DEVICE
$1 == "follow" {
  PLACES["254:default"] = 1
  print filled($0) > (out "/manifest")
}
# accept FAMILY TABLE CHAIN RULE
$1 == "accept" { print filled($0, 1) > (out "/manifest") }
($1 == "unit" || $1 == "sysctl") && !is_left_out() {
  $0 = filled($0, 1)
  sub(/( systemd)?( nftables)?$/, "")
  print > (out "/manifest")
}

END {
  if (problems) exit
  print "families" (has4 ? " 4" : "") (has6 ? " 6" : "") > (out "/state")
  # The places to watch. They are at the top, so that the watch need not read the whole file.
  for (place_of in PLACES) watched = watched " " place_of
  print "watched" watched > (out "/state")
  for (i = 1; i <= states; i++) print STATE[i] > (out "/state")
  if (nftables_wanted && !nftables) print "without nftables" > (out "/manifest")
  print counted(rules, "rule") (guards ? ", " counted(guards, "guard") : "") ", " counted(routes, "route") > (out "/summary")
}
