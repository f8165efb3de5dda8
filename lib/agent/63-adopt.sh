# Adoption: takes over what somebody made by hand, if what is declared does its work.
#
# A generation that adopts has these files until it is confirmed:
#   adopt    lines of the bundle: "adopt", and "adopt FILE" for each file that is named
#   adopted  a state file: the rules and routes to take over, which are the owner's from then on
#   taken    "file PATH", and "names PATH NUMBER" for a line of rt_tables
# What was taken is kept in $home/adopted until the owner is removed.

# Is file $1 named by the generation that is being applied?
adopts() {
  [ -f "$stage/adopt" ] && grep -q -x -F -e "adopt $1" "$stage/adopt"
}

# What preflight.awk has found.
note_adopted() {
  sed -n 's/^N /names /p' "$LOCK/problems" >>"$stage/taken"
  sed -n 's/^A //p' "$LOCK/problems" >"$LOCK/adopted"
  [ -s "$LOCK/adopted" ] || return 0
  { printf 'families 4 6\n' && cat "$LOCK/adopted"; } >"$stage/adopted" || complain "cannot write $stage/adopted (disk full?)"
}

# The files that generation $1 names: are they of such a set-up, and can they go?
check_adopted() {
  stage=$1
  [ -f "$stage/adopt" ] || return 0
  : >"$stage/taken" || complain "cannot write $stage/taken (disk full?)"
  # "200|vpn": how files speak of the tables.
  table_words=$(awk '$1 == "table" { gsub(/\./, "[.]", $3); print $2 ($3 == "-" ? "" : "|" $3) }' "$stage/state" | tr '\n' '|')
  [ -n "$table_words" ] || complain 'there is no table to adopt: declare one, or leave adopt out'
  table_words="(^|[^A-Za-z0-9_.-])(${table_words%|})([^A-Za-z0-9_.-]|\$)"
  while read -r _ path; do
    [ -z "$path" ] || check_adopted_file "$path"
  done <"$stage/adopt"
}

check_adopted_file() {
  # An earlier change has taken it over.
  ! was_ours "$1" || return 0
  if ! exists "$1"; then
    exists "$home/adopted/$(saved_name "$1")" || say "note: $1, which is to be adopted, does not exist"
    return 0
  fi
  for manifest in "$STATE"/*/*/manifest; do
    case $manifest in "$home"/*) continue ;; esac
    if [ -f "$manifest" ] && has_file "$1" "$manifest"; then
      complain "$1 cannot be adopted: it belongs to another owner, see $manifest"
      return 0
    fi
  done
  if [ -L "$1" ] || [ ! -f "$1" ]; then
    complain "$1 cannot be adopted: it is not a regular file"
    return 0
  fi
  targets=$targets$NEWLINE${1%/*}
  if ! grep -q -E -e "$table_words" "$1"; then
    complain "$1 cannot be adopted: it does not name a declared table, so it is about something else"
    return 0
  fi
  printf 'file %s\n' "$1" >>"$stage/taken"
  case ${1##*/} in
    rule-* | rule6-* | route-* | route6-*) check_lines "$1" ;;
    *) has_file "$1" "$stage/manifest" || check_users "$1" ;;
  esac
}

# Are all lines of $1, a file of the network scripts, about what is declared? They go with it.
check_lines() {
  other=$(awk -v names="$table_words" "$AWK_ADDRESS"'
    part == "want" { if ($4 == "to" && $6 $7 == "lookup254") DIRECT[++n] = $5; next }
    { sub(/#.*/, "") }
    !NF || $0 ~ names { next }
    $0 ~ /(^| )to [^ ]+ (lookup|table) (main|254)( |$)/ {
      prefix = $0
      sub(/^(.* )?to /, "", prefix)
      sub(/ .*/, "", prefix)
      for (i = 1; i <= n; i++) if (inside(prefix, DIRECT[i])) next
    }
    { print; exit }' part=want "$stage/state" part=file "$1")
  [ -z "$other" ] || complain "$1 cannot be adopted: nothing that is declared does the work of its line \"$other\". Declare that, too, or move the line to another file"
}

# Does a VPN daemon run file $1, in whose place nothing comes?
check_users() {
  path=$(printf '%s\n' "$1" | sed 's/[.+]/[&]/g')
  users=$(find_lines "$path([^A-Za-z0-9._@/+-]|\$)" /etc/openvpn /etc/wireguard /etc/systemd/system /etc/network /etc/ppp)
  [ -z "$users" ] || complain "$1 cannot be adopted: ${users%%:*} runs it, and fails when it is gone. Declare an up hook with that file, or take that line out first"
}

# find_lines PATTERN PATH...: "file:number:line" of all lines that are no comment, in order. Plain files alone: to read a FIFO
# would wait for ever.
find_lines() {
  pattern="^[^#;]*$1"
  shift
  find -L "$@" -type f -size -2048 -exec grep -s -n -E -e "$pattern" /dev/null {} + 2>/dev/null | sort -t : -k 1,1 -k 2,2n
}

# Was file $1 put there by this owner?
was_ours() {
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    ! has_file "$1" "$each/manifest" || return 0
  done
  return 1
}

# Names the files that would make the rules and routes of before again at the next boot, with the first such line.
find_leftovers() {
  [ -f "$stage/adopt" ] || return 0
  verb='([Tt]able|lookup)[[:space:]]*[=:]?[[:space:]]*'
  find_lines "$verb${table_words#*)}" /etc/rc.local /etc/rc.d/rc.local /etc/local.d /etc/network /etc/netplan \
    /etc/systemd/network /etc/systemd/system /etc/NetworkManager /etc/networkd-dispatcher /etc/sysconfig/network-scripts \
    /etc/openvpn /etc/wireguard /etc/ppp /etc/cron.d /etc/crontab >"$LOCK/leftovers"
  before=
  while IFS=: read -r path number line; do
    [ "$path" != "$before" ] || continue
    before=$path
    is_known_place "$path" ||
      say "note: line $number of $path makes it again at the next boot (\"$(printf '%s' "$line" | cut -c 1-80)\"): take the line out, or name the file in adopt.files"
  done <"$LOCK/leftovers"
}

# Is path $1 adopted, or does a generation of this owner have something there?
is_known_place() {
  grep -q -x -F -e "file $1" "$stage/taken" && return 0
  # shellcheck disable=SC2086  # a list of words
  for each in "$stage" $current $pending; do
    while read -r _ rest; do
      case " $rest " in *" $1 "*) return 0 ;; esac
    done <"$each/manifest"
  done
  return 1
}

# Takes away the files that nothing replaces, and the lines of rt_tables. What is replaced is kept, as any file.
take_adopted() {
  [ -s "$stage/taken" ] || return 0
  while read -r word path number; do
    case $word in
      names) take_names "$path" || { problem="cannot write $path (disk full, or read-only?)"; return 1; } ;;
      file)
        if has_file "$path" "$stage/manifest" || ! exists "$path"; then
          continue
        fi
        { keep "$path" && rm -f "$path"; } || { problem="cannot remove $path"; return 1; }
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
  # The line numbers are those of before.
  case $changed_files in *" $1 "*) return 0 ;; esac
  { keep "$1" && rewrite "$1" "$LOCK/edited"; } || return 1
  changed_files="$changed_files $1 "
  say "took over the name of the table in $1"
}

# A copy of what was taken outlives the trial, where undo had it.
save_adopted() {
  [ -s "$stage/taken" ] && [ -f "$trial/undo" ] || return 0
  mkdir -p "$home/adopted" || return 1
  while read -r _ path _; do
    number=$(awk -v path="$path" '$1 == "kept" && $3 == path { print $2; exit }' "$trial/undo")
    [ -z "$number" ] || cp -p "$trial/kept$number" "$home/adopted/$(saved_name "$path")" || return 1
  done <"$stage/taken"
}

saved_name() {
  printf '%s\n' "${1#/}" | tr / %
}
