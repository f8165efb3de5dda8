# A block of an owner in a keyfile of NetworkManager. Reads `ours` (blocks, old and new) and `file`
# (the keyfile); prints the keyfile without any of those, whoever has rewritten it since (then the
# marks are gone and the numbers are others), and at its end the block `block`, if there is one.
# With `check`, prints nothing, and exits 1 if something of `ours` is missing from the file.
#
# Variables: owner, block (a file), check.

BEGIN {
  begin = "# BEGIN source-routing " owner " (made by cdktf-source-routing; changes here are lost)"
  end = "# END source-routing " owner
}

/^\[/ { section = $0 }

part == "ours" {
  note(0)
  next
}

$0 == begin { inside = 1 }
{
  line[++lines] = $0
  in_block[lines] = inside
  place[lines] = section
  note(1)
}
$0 == end { inside = 0 }

# A route is its value and its options, under whatever number.
function note(in_file,    key, value) {
  if (!match($0, /^(route|routing-rule)[0-9]+(_options)?=/)) return
  key = substr($0, 1, RLENGTH - 1)
  value = substr($0, RLENGTH + 1)
  if (key ~ /_options$/) {
    sub(/_options$/, "", key)
    OPTIONS[in_file, section, key] = value
  } else VALUE[in_file, section, key] = value
}

function item(in_file, at, key) {
  sub(/_options$/, "", key)
  return at SUBSEP (key ~ /^routing/ ? "rule" : "route") SUBSEP VALUE[in_file, at, key] SUBSEP OPTIONS[in_file, at, key]
}

END {
  for (k in VALUE) {
    split(k, part_of, SUBSEP)
    if (part_of[1] == 0) WANTED[item(0, part_of[2], part_of[3])] = 1
    else HAS[item(1, part_of[2], part_of[3])] = 1
  }
  if (check) {
    for (k in WANTED) if (!(k in HAS)) exit 1
    exit 0
  }
  for (i = 1; i <= lines; i++) {
    if (in_block[i]) continue
    if (match(line[i], /^(route|routing-rule)[0-9]+(_options)?=/) && (item(1, place[i], substr(line[i], 1, RLENGTH - 1)) in WANTED)) continue
    print line[i]
  }
  if (block == "") exit
  print begin
  while ((getline text < block) > 0) print text
  print end
}
