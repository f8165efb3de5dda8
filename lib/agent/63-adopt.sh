# Adoption: takes over rules, routes and files that somebody made by hand, if the declaration does their work.
#
# A generation that adopts has these files until it is confirmed:
#   adopt    lines of the bundle: "adopt", and "adopt FILE" for each file that is named
#   adopted  a state file: the rules and routes to take over, which are the owner's from then on
#   taken    "file PATH", and "names PATH NUMBER" for a line of rt_tables
# Copies of adopted files stay in $home/adopted until the owner is removed.

# Does the generation that is being applied name file $1 for adoption?
adopts() {
  [ -f "$stage/adopt" ] && grep -q -x -F -e "adopt $1" "$stage/adopt"
}

# Notes the rules, routes and table names that preflight.awk has found for adoption.
note_adopted() {
  local path word number
  while read -r word path number; do
    # A link may lead to a file of the distribution. Its line does no harm, so it stays.
    [ "$word" != N ] || [ -L "$path" ] || printf 'names %s %s\n' "$path" "$number"
  done <"$LOCK/problems" >>"$stage/taken"
  grep -q '^A ' "$LOCK/problems" || return 0
  { printf 'families 4 6\n' && sed -n 's/^A //p' "$LOCK/problems"; } >"$stage/adopted" || complain "cannot write $stage/adopted (disk full?)"
}

# Do the files that are named for adoption make rules or routes of declared tables, and can they be removed?
check_adopted() {
  local path
  [ -f "$stage/adopt" ] || return 0
  true >"$stage/taken" || complain "cannot write $stage/taken (disk full?)"
  # How files refer to the tables: "table vpn", "lookup 200", "Table=200", "table: vpn".
  table_words=$(awk '$1 == "table" { gsub(/\./, "[.]", $3); print $2 ($3 == "-" ? "" : "|" $3) }' "$stage/state" | tr '\n' '|')
  [ -n "$table_words" ] || complain 'there is no table to adopt: declare one, or leave adopt out'
  table_words="^[[:space:]]*([^#;[:space:]].*)?([Tt]able|TABLE|lookup)[[:space:]]*[=:]?[[:space:]]*[\"']?(${table_words%|})([^A-Za-z0-9_.-]|\$)"
  while read -r _ path; do
    [ -z "$path" ] || check_adopted_file "$path"
  done <"$stage/adopt"
}

check_adopted_file() {
  # An earlier change has already adopted it.
  ! was_ours "$1" || return 0
  if ! exists "$1"; then
    exists "$home/adopted/$(saved_name "$1")" || say "note: $1, which is to be adopted, does not exist"
    return 0
  fi
  # Comes before the file is read, since parts of its contents are shown.
  open_to_others "${1%/*}"
  if is_elsewhere "$1"; then
    complain "$1 cannot be adopted: it belongs to another owner, see $elsewhere"
  elif [ -n "$open" ]; then
    complain "$(how_to_close "${open%%"$NEWLINE"*}")"
  elif [ -L "$1" ] || [ ! -f "$1" ]; then
    complain "$1 cannot be adopted: it is not a regular file"
  elif [ -z "$(find_lines "$table_words" "$1")" ]; then
    complain "$1 cannot be adopted: it makes no rule or route of a declared table, so it is about something else"
  else
    printf 'file %s\n' "$1" >>"$stage/taken"
    case ${1##*/} in
      rule-* | rule6-* | route-* | route6-*) check_lines "$1" ;;
      *) has_file "$1" "$stage/manifest" || check_users "$1" ;;
    esac
  fi
}

# Does the declaration do the work of each line of $1, a file of the network scripts? All its lines go with the file.
check_lines() {
  local family other
  case ${1##*/} in *6-*) family=6 ;; *) family=4 ;; esac
  other=$(awk -v family="$family" "$AWK_ADDRESS$AWK_KERNEL$AWK_COVERS"'
    part == "want" && $1 == "table" { ID[$3] = $2 }
    part == "want" && ($1 in TAG_OF) && $2 == family { read_state_rule(); RULES[++rules] = rule_spec }
    part == "want" && $1 == "route" && $2 == family { DECLARED[$3, $4] = 1 }
    part == "want" { next }
    { line = $0; sub(/#.*/, "") }
    !NF { next }
    {
      for (i = 1; i < NF; i++) {
        if (($i == "table" || $i == "lookup") && ($(i + 1) in ID)) $(i + 1) = ID[$(i + 1)]
        if (kind == "rule" && $i ~ /^(pref|priority|preference|order|proto|protocol)$/) $i = $(i + 1) = ""
      }
      if (kind == "rule") {
        read_kernel_rule("0: " $0)
        for (i = 1; i <= rules; i++) if (covers(RULES[i], rule_spec)) next
      } else {
        sub(/^ */, "")
        id = read_kernel_route($0, family)
        if ((ROUTE_TABLE[id], DESTINATION[id]) in DECLARED) next
      }
      print line
      exit
    }' part=want "$stage/state" part=file kind="$(case ${1##*/} in rule*) printf rule ;; esac)" "$1")
  [ -z "$other" ] || complain "$1 cannot be adopted: nothing that is declared does the work of its line \"$other\". Declare that, too, or move the line to another file"
}

# Complains if a configuration that stays runs file $1, which is removed without a replacement. OpenVPN may name the
# file without its directory.
check_users() {
  local path no_path option line number
  path=$(printf '%s\n' "$1" | sed 's/[.+]/[&]/g')
  no_path='[^A-Za-z0-9._@/+-]'
  option='(--)?(up|down|route-up|route-pre-down|client-connect|client-disconnect|ipchange|tls-verify|learn-address|(pre|post)-(up|down))[[:space:]]'
  {
    find_lines "^[[:space:]]*(${option}(.*$no_path)?|(Pre|Post)(Up|Down)[[:space:]]*=(.*$no_path)?|Exec[A-Za-z]*=[-+!@:]*(/bin/sh[[:space:]]+)?)$path($no_path|\$)" \
      /etc/openvpn /etc/wireguard /etc/systemd/system /etc/network /etc/ppp
    case $1 in /etc/openvpn/*)
      find_lines "^[[:space:]]*${option}[[:space:]]*[\"']?([.]/)?${path##*/}([\"'[:space:]]|\$)" /etc/openvpn
      ;;
    esac
  } >"$LOCK/users"
  while IFS=: read -r path number line; do
    ! adopts "$path" || continue
    complain "$1 cannot be adopted: $path (line $number) runs it, and fails when it is gone. Declare an up hook with that file, or take that line out first"
    return 0
  done <"$LOCK/users"
}

# find_lines PATTERN PATH...: prints "file:number:line" of all lines that match, in order. It reads only plain files,
# since reading a FIFO would wait forever.
find_lines() {
  local pattern
  pattern=$1
  shift
  find -L "$@" -type f -size -2048 -exec grep -s -n -E -e "$pattern" /dev/null {} + 2>/dev/null | sort -t : -k 1,1 -k 2,2n
}

# Names the files that would make the old rules and routes again at the next boot, with the first such line.
find_leftovers() {
  local before line path mend number
  [ -f "$stage/adopt" ] || return 0
  find_lines "$table_words" /etc/rc.local /etc/rc.d/rc.local /etc/local.d /etc/init.d /etc/network /etc/netplan \
    /etc/systemd/network /etc/systemd/system /etc/NetworkManager /etc/networkd-dispatcher /etc/sysconfig/network-scripts \
    /etc/openvpn /etc/wireguard /etc/ppp /etc/cron.d /etc/crontab >"$LOCK/leftovers"
  before=
  while IFS=: read -r path number line; do
    [ "$path" != "$before" ] || continue
    before=$path
    ! is_known_place "$path" || continue
    case $path in
      # The table of a VRF.
      *.netdev) continue ;;
      */interfaces | */interfaces.d/* | *.network | *.nmconnection | *.y*ml | *.conf | */rc.local | */crontab) mend='take the line out' ;;
      *) mend='take the line out, or name the file in adopt.files' ;;
    esac
    say "note: line $number of $path makes it again at the next boot (\"$(printf '%s' "$line" | cut -c 1-80)\"): $mend"
  done <"$LOCK/leftovers"
}

# Is path $1 adopted, or does a generation of this owner use it?
is_known_place() {
  local each
  grep -q -x -F -e "file $1" "$stage/taken" && return 0
  # shellcheck disable=SC2086  # a list of words
  for each in "$stage" $current $pending; do
    # sed complains if grep has seen enough.
    ! sed 's/$/ /' "$each/manifest" 2>/dev/null | grep -q -F -e " $1 " || return 0
  done
  return 1
}

# Removes the adopted files that are not replaced, and the lines of rt_tables. Replaced files are kept when they are
# installed, as any file is.
take_adopted() {
  local path word number
  [ -s "$stage/taken" ] || return 0
  while read -r word path number; do
    case $word in
      names) take_names "$path" || fail "cannot write $path (disk full, or read-only?)" || return 1 ;;
      file)
        exists "$path" || continue
        ! has_file "$path" "$stage/manifest" || continue
        { keep "$path" && rm -f "$path"; } || fail "cannot remove $path" || return 1
        changed_files="$changed_files $path "
        say "took over $path"
        ;;
    esac
  done <"$stage/taken"
}

take_names() {
  awk -v path="$1" 'part == "taken" { if ($1 == "names" && $2 == path) GONE[$3] = 1; next } !(FNR in GONE)' \
    part=taken "$stage/taken" part=file "$1" >"$LOCK/edited" || return 1
  cmp -s "$LOCK/edited" "$1" && return 0
  # The line numbers are those before the first edit, so the file is edited only once.
  case $changed_files in *" $1 "*) return 0 ;; esac
  rewrite "$1" || return 1
  say "took over the name of the table in $1"
}

# Copies the adopted files out of the trial, which is removed later. An earlier copy stays.
save_adopted() {
  local path copy number
  [ -s "$stage/taken" ] && [ -f "$trial/undo" ] || return 0
  while read -r _ path _; do
    number=$(awk -v path="$path" '$1 == "kept" && $3 == path { print $2; exit }' "$trial/undo")
    [ -n "$number" ] || continue
    copy=$home/adopted/$(saved_name "$path")
    if exists "$copy"; then
      ! cmp -s "$trial/kept$number" "$copy" || continue
      copy=$copy.${stage##*/}
    fi
    { mkdir -p "$home/adopted" && cp -pP "$trial/kept$number" "$copy"; } || say "note: cannot keep a copy of $path in $home/adopted"
  done <"$stage/taken"
}

saved_name() {
  printf '%s\n' "${1#/}" | tr / %
}
