# What stands in the way is found before anything is changed.

# Is this iproute2, and new enough? `-N` is what its output is read by.
check_tools() {
  if ! command -v ip >/dev/null 2>&1; then
    complain 'ip is missing: install iproute2 (package iproute2 or iproute)'
    return
  fi
  version=$(ip -V 2>&1) || :
  case $version in
    *iproute2*) ;;
    *)
      complain 'ip is not that of iproute2 (BusyBox?): install iproute2'
      return
      ;;
  esac
  if ! ip -N -4 rule show >/dev/null 2>&1; then
    complain "this iproute2 is too old (${version#ip utility, }): 5.2 or later is needed"
  fi
}

check_root() {
  [ "$(id -u)" = 0 ] || die 69 "refused, nothing was changed: root is needed; try again with sudo"
}

check_requires() {
  while read -r _ what path rest; do
    case $what in
      version) check_version "$path" "${rest%% *}" "${rest#* }" ;;
      systemd)
        has_systemd || complain 'systemd does not run this machine: choose another persistence'
        ;;
    esac
  done <"$1/requires"
}

# Is network manager $1 of version $2 at least? $3 is what needs it.
check_version() {
  case $1 in
    networkd) version=$(networkctl --version 2>/dev/null) || version= ;;
    network-manager) version=$(nmcli --version 2>/dev/null) || version= ;;
    *) return 0 ;;
  esac
  # "systemd 252 (252.39-1)", "nmcli tool, version 1.42.4"
  version=${version#systemd }
  version=${version#*version }
  version=${version%%[!0-9.]*}
  # If it is missing, that is said elsewhere.
  [ -n "$version" ] && is_older "$version" "$2" || return 0
  complain "$1 is of version $version here, and $2 or later is needed for $3: use Persistence.service()"
}

# Of two versions, is the first the older one?
is_older() {
  left=$1.
  right=$2.
  while [ -n "$right" ]; do
    one=${left%%.*}
    two=${right%%.*}
    [ "${one:-0}" -le "${two:-0}" ] || return 1
    [ "${one:-0}" -eq "${two:-0}" ] || return 0
    left=${left#*.}
    right=${right#*.}
  done
  return 1
}

# The files of the new generation in $1, compared with what is there.
check_files() {
  while read -r word mode number path rest; do
    case $word in
      file) check_file "$1" "$number" "$path" "$rest" ;;
    esac
  done <"$1/manifest"
}

check_file() {
  directory=${3%/*}
  until exists "${directory:-/}"; do
    directory=${directory%/*}
  done
  directory=${directory:-/}
  if [ ! -d "$directory" ]; then
    complain "$directory is not a directory, so $3 cannot be written: move it away"
    return
  fi
  if [ -d "$3" ]; then
    complain "$3 is a directory: move it away"
    return
  fi
  probe=$directory/.source-routing-probe
  # That of a run that was killed just then.
  rmdir "$probe" 2>/dev/null || :
  cmp -s "$1/files/$2" "$3" && return 0
  # Not `-w`: to some shells root may write everywhere, even into a read-only file system.
  if mkdir "$probe" 2>/dev/null; then
    rmdir "$probe"
  else
    complain "$directory cannot be written (read-only file system?), so $3 cannot be put there"
  fi
  exists "$3" || return 0
  # Different contents: are they ours?
  found=
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    while read -r word mode number path rest; do
      case "$word $path" in "file $3") found=1 ;; *) continue ;; esac
      cmp -s "$each/files/$number" "$3" && return 0
    done <"$each/manifest"
  done
  if [ -n "$4" ]; then
    for manifest in "$STATE"/*/*/manifest; do
      [ ! -f "$manifest" ] || ! grep -q "^file [0-7]* [0-9]* $3 shared\$" "$manifest" || return 0
    done
  fi
  if [ -n "$found" ]; then
    say "note: $3 was edited by hand since it was put there; it is replaced"
  elif grep -q "^hook [a-z]* $3 " "$1/manifest"; then
    complain "$3 is already the up hook of someone else. Two cannot share it: put what it does into another file that it calls, or remove it: rm $3"
  else
    complain "$3 exists and was not put there by this owner: move it away, or choose another name"
  fi
}

# Other owners' states, and the files that name tables, as arguments for preflight.awk.
# (A function with an array would be clearer; sh has only its arguments.)
check_kernel() {
  set -- part=want "$1/state" part=own
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    set -- "$@" "$each/state"
  done
  [ ! -f "$RETIRED" ] || set -- "$@" "$RETIRED"
  set -- "$@" part=other
  for other in "$STATE"/*/; do
    other=${other%/}
    if [ "$other" = "$home" ] || [ ! -d "$other" ]; then
      continue
    fi
    states_in "$other"
    # shellcheck disable=SC2086  # a list of words
    set -- "$@" "whose=${other##*/}" $its_states
  done
  set -- "$@" part=names
  for names in /etc/iproute2/rt_tables /etc/iproute2/rt_tables.d/*.conf \
    /usr/share/iproute2/rt_tables /usr/share/iproute2/rt_tables.d/*.conf \
    /usr/lib/iproute2/rt_tables /usr/lib/iproute2/rt_tables.d/*.conf; do
    [ -f "$names" ] || continue
    is_our_file "$names" || set -- "$@" "where=$names" "$names"
  done
  if ! awk -v without6="$without6" "$AWK_ADDRESS$AWK_KERNEL$AWK_PREFLIGHT" "$@" \
    part=kernel "$LOCK/kernel" >"$LOCK/problems" 2>"$LOCK/error"; then
    first_line "$LOCK/error"
    complain "cannot look for conflicts: ${first:-awk failed; is there space left in ${LOCK%/*}?}"
    return
  fi
  while IFS= read -r line; do
    case $line in
      E\ *) complain "${line#E }" ;;
      *) say "note: ${line#W }" ;;
    esac
  done <"$LOCK/problems"
}

# Is $1 a file of ours, new or old?
is_our_file() {
  # shellcheck disable=SC2086  # a list of words
  for each in "$stage" $current $pending; do
    while read -r word mode number path rest; do
      [ "$word" != file ] || [ "$path" != "$1" ] || return 0
    done <"$each/manifest"
  done
  return 1
}

# All of it, for the generation in directory $1. Leaves in $LOCK/kernel what the kernel has.
preflight() {
  check_tools
  refuse_if_problems 69
  check_requires "$1"
  place_files "$1"
  check_files "$1"
  check_blocks "$1"
  set -- "$1" "$1/state"
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    set -- "$@" "$each/state"
  done
  stage=$1
  shift
  families_of "$@"
  besides='link show'
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families
  besides=
  check_kernel "$stage"
  refuse_if_problems 69
}
