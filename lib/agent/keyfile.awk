# The block of an owner in a keyfile of NetworkManager. Reads `ours` (blocks, old and new) and `file` (the keyfile).
# Prints the keyfile without the blocks, and at its end the block `block`, if there is one. If another program has
# rewritten the keyfile, the marks are gone and the numbers differ. The contents of the blocks are still removed.
#
# With `check`, it prints nothing, and exits 1 if something of `ours` is missing from the file. With `list`, it prints
# lines "forget DEVICE PROPERTY VALUE" for `ours`, in the words of nmcli. With `loaded`, the file is the output of
# nmcli: each line has a property, a tab and its values. It then prints the first of `ours` that is not there.
#
# Variables: owner, block (a file), check, list, device, loaded.

BEGIN {
  begin = "# BEGIN source-routing " owner " (made by cdktf-source-routing; changes here are lost)"
  end = "# END source-routing " owner
  items = 0
}

part == "ours" || !loaded { if ($0 ~ /^\[/) section = $0 }
FNR == 1 && !/^\[/ { section = "" }

part == "ours" {
  note(0)
  next
}

loaded {
  at = index($0, "\t")
  property = substr($0, 1, at)
  n = split(substr($0, at + 1), each, ", ")
  for (i = 1; i <= n; i++) LOADED[property (property ~ /rules\t$/ ? rule_form(each[i]) : each[i])] = 1
  next
}

$0 == begin { inside = marked = 1 }
{
  keyfile = FILENAME
  line[++lines] = $0
  in_block[lines] = inside
  place[lines] = section
  note(1)
}
$0 == end { inside = 0 }

# Notes a route or a rule. A route is its value and its options; its number does not matter.
function note(in_file,    key, value, k) {
  if (!match($0, /^(route|routing-rule)[0-9]+(_options)?=/)) return
  key = substr($0, 1, RLENGTH - 1)
  value = substr($0, RLENGTH + 1)
  if (key ~ /_options$/) {
    sub(/_options$/, "", key)
    OPTIONS[in_file, FILENAME, section, key] = value
    return
  }
  k = in_file SUBSEP FILENAME SUBSEP section SUBSEP key
  VALUE[k] = key ~ /^routing/ ? rule_form(value) : value
  KEYS[++items] = k
}

# A rule in one form that can be compared. To NetworkManager, the order of the words does not matter, nor does a prefix
# of all addresses.
function rule_form(text,    n, w, i, j, pair, pairs, list_of) {
  n = split(text, w, " ")
  pairs = 0
  for (i = 1; i <= n; i++) {
    pair = w[i]
    if (pair != "not") pair = pair " " word_form(pair, w[++i])
    if (pair ~ /^(from|to) (0\.0\.0\.0|::)\/0$/ || pair == "tos 0x0") continue
    for (j = ++pairs; j > 1 && list_of[j - 1] > pair; j--) list_of[j] = list_of[j - 1]
    list_of[j] = pair
  }
  text = ""
  for (i = 1; i <= pairs; i++) text = text " " list_of[i]
  return substr(text, 2)
}

function word_form(key, value) {
  if (key == "from" || key == "to") {
    if (value ~ /^[0-9.]+\/32$/ || value ~ /:.*\/128$/) sub(/\/.*/, "", value)
  } else if (key == "tos") sub(/^0x0/, "0x", value)
  else if (key == "fwmark" && value ~ /^0x0(\/|$)/) sub(/^0x0/, "0", value)
  return value
}

# An item as `nmcli` prints it. A route is "DESTINATION [GATEWAY] METRIC [OPTIONS]".
function item(k,    w, text, options) {
  options = OPTIONS[k]
  split(k, part_of, SUBSEP)
  if (part_of[4] ~ /^routing/) return substr(part_of[3], 2, 4) ".routing-rules\t" VALUE[k]
  split(VALUE[k], w, ",")
  gsub(/,/, " ", options)
  text = substr(part_of[3], 2, 4) ".routes\t" w[1]
  if (w[2] != "" && w[2] != "0.0.0.0" && w[2] != "::") text = text " " w[2]
  return text " " w[3] (options == "" ? "" : " " options)
}

END {
  for (i = 1; i <= items; i++) {
    what = item(KEYS[i])
    if (KEYS[i] ~ /^0/) WANTED[what] = 1
    else HAS[what] = 1
    missing = loaded && !(what in LOADED)
    sub(/\t/, " ", what)
    if (list) print "forget", device, what
    if (missing) { print what; exit }
  }
  if (list || loaded) exit
  if (check) {
    for (k in WANTED) if (!(k in HAS)) exit 1
    exit 0
  }
  for (i = 1; i <= lines; i++) {
    if (in_block[i]) continue
    # If the marks exist, they tell what is ours. An equal line outside of them is not ours.
    if (!marked && match(line[i], /^(route|routing-rule)[0-9]+(_options)?=/)) {
      k = substr(line[i], 1, RLENGTH - 1)
      sub(/_options$/, "", k)
      if (item(1 SUBSEP keyfile SUBSEP place[i] SUBSEP k) in WANTED) continue
    }
    print line[i]
  }
  if (block == "") exit
  print begin
  while ((getline text < block) > 0) print text
  print end
}
