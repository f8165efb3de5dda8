# The preflight finds everything that prevents a change, before anything is changed.

# Refuses unless this is iproute2, and new enough. The agent reads its output with `-N`.
check_tools() {
  local version
  version=$(ip -V 2>&1) || :
  if ! command -v ip >/dev/null 2>&1; then
    complain 'ip is missing: install iproute2 (package iproute2 or iproute)'
  elif [ "${version#*iproute2}" = "$version" ]; then
    complain 'ip is not that of iproute2 (BusyBox?): install iproute2'
  elif ! ip -N -V >/dev/null 2>&1; then
    complain "this iproute2 is too old (${version#ip utility, }): 5.2 or later is needed"
  fi
  refuse_if_problems 69
}

# Is this root, and can nobody else choose what root reads and runs?
check_root() {
  local directory
  [ "$(id -u)" = 0 ] || die 69 "refused, nothing was changed: root is needed; try again with sudo"
  directory=$STATE/$owner
  until exists "$directory"; do
    directory=${directory%/*}
  done
  open_to_others "$directory" "${LOCK%/*}"
  [ -z "$open" ] || die 69 "refused, nothing was changed: $(how_to_close "${open%%"$NEWLINE"*}")"
}

# Sets open to the directories that users other than root may write to, one a line. It checks the directories in $*
# and all their parents, both as named and where links lead. Sticky directories are safe: others cannot replace the
# files of root there. Group 0 counts as root.
open_to_others() {
  local directory part
  open=$(
    IFS=$NEWLINE
    set -f
    # shellcheck disable=SC2046,SC2048  # lists of lines
    set -- $(for directory in $*; do
      for part in "$directory" "$(cd -P "$directory" && pwd -P)"; do
        while [ -n "$part" ]; do
          printf '%s\n' "$part"
          part=${part%/*}
        done
      done
    done | sort -u)
    find / "$@" -prune \( ! -user 0 -o ! -type l ! -perm -1000 \( -perm -0002 -o -perm -0020 ! -group 0 \) \)
  ) 2>/dev/null
}

how_to_close() {
  printf '%s' "others than root can write to $1, so they could choose what root reads or runs: chown -h root $1 && chmod go-w $1"
}

check_requires() {
  local path rest what
  while read -r _ what path rest; do
    case $what in
      version) check_version "$path" "${rest%% *}" "${rest#* }" ;;
      systemd)
        has_systemd || complain 'systemd does not run this machine: choose another persistence'
        ;;
      nftables)
        [ -n "$nftables" ] || complain 'source NAT needs nftables, which cannot be used here: install it (package nftables)'
        ;;
      firewalld)
        has_service firewalld.service || complain 'forwarding names firewalld, which does not run here: systemctl start firewalld, or name the firewall that does'
        ;;
    esac
  done <"$1/requires"
}

# Is network manager $1 of version $2 at least? $3 is what needs it.
check_version() {
  local version
  case $1 in
    networkd) version=$(networkctl --version 2>/dev/null) || version= ;;
    network-manager) version=$(nmcli --version 2>/dev/null) || version= ;;
    *) return 0 ;;
  esac
  # "systemd 252 (252.39-1)", "nmcli tool, version 1.42.4"
  version=${version#systemd }
  version=${version#*version }
  version=${version%%[!0-9.]*}
  # If it is missing, another check reports that.
  [ -n "$version" ] && is_older "$version" "$2" || return 0
  complain "$1 is of version $version here, and $2 or later is needed for $3: use Persistence.service()"
}

# Is version $1 older than version $2?
is_older() {
  awk -v this="$1" -v other="$2" 'BEGIN {
    split(this, part, ".")
    n = split(other, wanted, ".")
    for (i = 1; i < n && part[i] + 0 == wanted[i] + 0; i++);
    exit part[i] + 0 >= wanted[i] + 0
  }'
}

targets=       # directories of files and blocks, one a line
add_target() {
  targets=$targets$NEWLINE$1
}

# Complains about targets that others than root may write to.
check_targets() {
  local line
  [ -n "$targets" ] || return 0
  open_to_others "$targets"
  while IFS= read -r line; do
    [ -z "$line" ] || complain "$(how_to_close "$line")"
  done <<END
$open
END
}

# Compares the files of the new generation in $1 with those on the machine.
check_files() {
  local mode path rest word number
  while read -r word mode number path rest; do
    [ "$word" != file ] || check_file "$1" "$number" "$path" "$rest"
  done <"$1/manifest"
}

check_file() {
  local directory probe
  directory=${3%/*}
  until exists "${directory:-/}"; do
    directory=${directory%/*}
  done
  directory=${directory:-/}
  if [ ! -d "$directory" ]; then
    complain "$directory is not a directory, so $3 cannot be written: move it away"
    return
  elif [ -d "$3" ]; then
    complain "$3 is a directory: move it away"
    return
  fi
  add_target "$directory"
  probe=$directory/.source-routing-probe
  # A run that was killed at this point may have left its probe.
  [ ! -d "$probe" ] || rmdir "$probe" 2>/dev/null || :
  cmp -s "$1/files/$2" "$3" && return 0
  # Not `-w`: some shells say that root can write everywhere, even into a read-only file system.
  if mkdir "$probe" 2>/dev/null; then
    rmdir "$probe"
  else
    complain "$directory cannot be written (read-only file system?), so $3 cannot be put there"
  fi
  ! exists "$3" || check_ownership "$@"
}

# Who owns file $3? It exists with other contents than file $2 of generation $1. $4 is set for a file that owners share.
check_ownership() {
  local found each its_number
  found=
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    has_file "$3" "$each/manifest" || continue
    found=1
    cmp -s "$each/files/$its_number" "$3" && return 0
  done
  # Each owner may bring another version of a shared file.
  [ -z "$4" ] || { [ -z "$found" ] && ! is_elsewhere "$3" shared; } || return 0
  if [ -n "$found" ]; then
    say "note: $3 was edited by hand since it was put there; it is replaced"
  elif adopts "$3"; then
    return 0
  elif grep '^hook ' "$1/manifest" | grep -q -F -e " $3 "; then
    complain "$3 is already the up hook of someone else. Two cannot share it: put what it does into another file that it calls, or take it over: name it in adopt.files of the LinuxHost (docs/adopting.md)"
  else
    complain "$3 exists and was not put there by this owner: move it away, or choose another name"
  fi
}

# Runs preflight.awk with our states, the states of other owners, and the files that name tables. The list of files is
# built in the arguments of the function, since sh has no arrays.
check_kernel() {
  local names adopt forwards
  states_of_others
  # shellcheck disable=SC2086  # lists of words
  set -- part=want "$1/state" part=own $states part=other $its_states part=names
  for names in /etc/iproute2/rt_tables /etc/iproute2/rt_tables.d/*.conf \
    /usr/share/iproute2/rt_tables /usr/share/iproute2/rt_tables.d/*.conf \
    /usr/lib/iproute2/rt_tables /usr/lib/iproute2/rt_tables.d/*.conf; do
    [ -f "$names" ] || continue
    has_file "$names" "$stage/manifest" || was_ours "$names" || set -- "$@" "where=$names" "$names"
  done
  set -- "$@" part=expected
  [ ! -f "$stage/expectations" ] || set -- "$@" "$stage/expectations"
  adopt=
  [ ! -f "$stage/adopt" ] || adopt=1
  # The address families whose forwarding this generation switches on.
  forwards=$(sed -n 's/^sysctl net.ipv\([46]\).*forward.*/\1/p' "$stage/manifest" | tr -d '\n')
  awk -v without6="$without6" -v adopt="$adopt" -v forwards="$forwards" "$AWK_ADDRESS$AWK_KERNEL$AWK_COVERS$AWK_SYSCTL$AWK_PREFLIGHT" "$@" \
    part=kernel "$LOCK/kernel" >"$LOCK/problems" 2>"$LOCK/error" || {
    complain "cannot look for conflicts: $(error_text "awk failed; is there space left in ${LOCK%/*}?")"
    return
  }
  tell_problems
  [ -z "$adopt" ] || note_adopted
}

# Reports what is in $LOCK/problems: E is a problem, W is a note.
tell_problems() {
  local line
  while IFS= read -r line; do
    case $line in
      E\ *) complain "${line#E }" ;;
      W\ *) say "note: ${line#W }" ;;
    esac
  done <"$LOCK/problems"
}

# Does each gateway of a route that the plan adds to a table of ours answer? The kernel accepts any address. The
# gateway of a backup route, or of one of several next hops, may be down, so that is only a note.
check_gateways() {
  ! nothing_planned || return 0
  awk '$1 != "route" || / table 25[345] / { next }
    {
      rank = (/ nexthop / ? "standby" : "first")
      for (i = 2; i < NF; i++) if ($i == "metric" && $(i + 1) > (family == 4 ? 0 : 1024)) rank = "standby"
      gsub(/ via inet6 /, " via ")
      for (i = 2; i + 2 < NF; i++) if ($i == "via" && $(i + 2) == "dev") {
        hop = ($(i + 1) ~ /:/ ? 6 : 4) " " $(i + 1) " " $(i + 3)
        if (RANK[hop] != "first") RANK[hop] = rank
      }
    }
    END { for (hop in RANK) print hop, RANK[hop] }
  ' family=4 "${PLAN}add4" family=6 "${PLAN}add6" | sort >"$LOCK/gateways"
  ask_gateways
  awk '{ print ($4 == "first" ? "E" : "W") " nobody answers at " $2 " on " $3 ", where a route of ours goes through: is the address right, " \
    "the machine up, and the cable in the right socket? (ip -" $1 " neigh show dev " $3 ")" }' "$LOCK/missing" >"$LOCK/problems"
  tell_problems
}

# Writes to $LOCK/missing those of $LOCK/gateways that do not answer.
ask_gateways() {
  local family gateway rank device
  while read -r family gateway device rank; do
    neighbour_state
    case $state in
      # Makes the kernel ask who has the address, which replaces the entry. iproute2 before 5.16 needs a packet for that.
      '' | *FAILED*) ip "-$family" neigh replace "$gateway" dev "$device" use 2>/dev/null || ping_neighbour ;;
    esac
  done <"$LOCK/gateways"
  find_missing_gateways
  # On an interface without a link-local address, IPv6 asks for a neighbour only if a packet with a source needs it.
  if grep -q '^6' "$LOCK/missing" && command -v ping >/dev/null 2>&1; then
    while read -r family gateway device rank; do
      [ "$family" = 4 ] || ping_neighbour
    done <"$LOCK/missing"
    find_missing_gateways
  fi
}

# Makes the kernel ask by sending a packet. An old failure is deleted first, since it proves nothing.
ping_neighbour() {
  ip "-$family" neigh del "$gateway" dev "$device" 2>/dev/null || :
  ping "-$family" -c 1 -W 1 -I "$device" "$gateway" >/dev/null 2>&1 || :
}

# Writes to $LOCK/missing the gateways that do not answer. Waits until the kernel has given up on them.
find_missing_gateways() {
  local tries
  tries=35
  while list_missing_gateways && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    pause 0.1
  done
}

# Does the same without waiting. Succeeds if an answer may still come.
list_missing_gateways() {
  local family gateway rank device
  while read -r family gateway device rank; do
    neighbour_state
    case $state in *INCOMPLETE* | *FAILED*) printf '%s\n' "$family $gateway $device $rank $state" ;; esac
  done <"$LOCK/gateways" >"$LOCK/missing"
  grep -q INCOMPLETE "$LOCK/missing"
}

# Sets state to the neighbour entry of the kernel, empty if there is none.
neighbour_state() {
  state=$(ip "-$family" neigh show to "$gateway" dev "$device" 2>/dev/null) || state=
}

# Did this owner install file $1?
was_ours() {
  local each
  # shellcheck disable=SC2086  # a list of words
  for each in $current $pending; do
    ! has_file "$1" "$each/manifest" || return 0
  done
  return 1
}

# Complains about default routes from router advertisements: the kernel drops these when IPv6 forwarding is switched on.
check_advertised_routes() {
  local link
  grep -q '^sysctl net.ipv6.conf.all.forwarding ' "$1/manifest" || return 0
  read_sysctl net.ipv6.conf.all.forwarding
  [ "$first" = 0 ] || return 0
  for link in $(ip -6 -o route show default proto ra 2>/dev/null |
    awk '{ for (i = 1; i < NF; i++) if ($i == "dev") { print $(i + 1); break } }'); do
    read_sysctl "net.ipv6.conf.$link.accept_ra"
    [ "$first" != 1 ] || complain "forwarding of IPv6 would end the default route that $link has from router advertisements: set net.ipv6.conf.$link.accept_ra=2, now and in /etc/sysctl.d"
  done
}

# Runs all checks for the generation in directory $1. The states of what may be there are in `states`. Leaves the rules
# and routes of the kernel in $LOCK/kernel.
preflight() {
  check_tools
  follow_gateways "$1" || complain "$problem"
  check_requires "$1"
  place_files "$1"
  check_files "$1"
  check_adopted "$1"
  check_blocks "$1"
  check_targets
  # shellcheck disable=SC2086  # a list of words
  families_of "$1/state" $states
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families
  ip -N -o link show >>"$LOCK/kernel" 2>/dev/null || :
  check_kernel "$stage"
  check_accepts "$stage"
  check_advertised_routes "$stage"
  refuse_if_problems 69
  find_leftovers
}
