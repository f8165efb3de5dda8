# Sysctls: those without which errors bear no marks, and forwarding. Each is one setting for all owners: whoever sets it
# first notes what it was, in a file beside the directories of the owners, and whoever needs it last gives that back.
# So the log of a change has nothing to say about it.

# Does generation $2 (may be empty), or another owner, need sysctl $1 to be 1?
needs_sysctl() {
  local wanted_line manifest
  wanted_line="sysctl $1 1"
  set -- ${2:+"$2/manifest"}
  for manifest in "$STATE"/*/*/manifest; do
    case $manifest in
      "$home"/*) ;;
      *) set -- "$@" "$manifest" ;;
    esac
  done
  [ $# -gt 0 ] && grep -q -s -x -F -e "$wanted_line" "$@"
}

# Sets sysctl_file of sysctl $1, and first to its value; empty if there is none. A name of an interface may have dots.
read_sysctl() {
  local rest
  rest=${1#net.ipv[46].}
  sysctl_file=/proc/sys/net/${1%".$rest"}
  sysctl_file=/proc/sys/net/${sysctl_file##*.}
  case $rest in
    conf.*.*) rest=${rest#conf.}; sysctl_file=$sysctl_file/conf/${rest%.*}/${rest##*.} ;;
    *) sysctl_file=$sysctl_file/$rest ;;
  esac
  first_line "$sysctl_file"
}

# Not `-w`: to some shells root may write everywhere, even into a read-only file system.
can_set_sysctl() {
  (: >>"$sysctl_file") 2>/dev/null
}

# Gives back what nobody needs any more, and sets what generation $1 (may be empty) needs. In this order, and then for
# the other owners, too: what is given back of the whole machine is a setting of each interface.
set_sysctls() {
  local before manifest given
  given=
  for before in "$STATE"/.net.*; do
    [ -f "$before" ] || continue
    needs_sysctl "${before#"$STATE"/.}" "$1" || { give_back_sysctl "$before" "$1"; given=1; }
  done
  if [ -n "$given" ]; then
    for manifest in "$STATE"/*/*/manifest; do
      case $manifest in "$home"/* | "$STATE/*/*/manifest") ;; *) set_all_sysctls "$manifest" ;; esac
    done
  fi
  [ -z "$1" ] || set_all_sysctls "$1/manifest"
}

set_all_sysctls() {
  local word key value rest
  while read -r word key value rest; do
    [ "$word" != sysctl ] || set_sysctl "$key" "$value"
  done <"$1"
}

# Sets sysctl $1 to $2.
set_sysctl() {
  local before consequence
  read_sysctl "$1"
  # A tunnel that is not up yet gets its own from udev.
  case $1 in net.*.conf.*) [ -e "$sysctl_file" ] || return 0 ;; esac
  [ "$first" != "$2" ] || return 0
  if ! can_set_sysctl; then
    consequence=
    case $1 in *.fwmark_reflect) consequence=": $ERRORS_BY_MAIN" ;; esac
    say "note: $1 is ${first:-missing} and cannot be set to $2 here$consequence"
    return 0
  fi
  before=$STATE/.$1
  # On the disk first: after a power cut it must be known what it was.
  if [ ! -f "$before" ]; then
    if ! with_followers "$1" "$first" | put_file 0600 "$before"; then
      say "note: $1 stays $first, since that cannot be noted in $before"
      return 0
    fi
    sync "$before" 2>/dev/null || sync
    read_sysctl "$1"
  fi
  printf '%s\n' "$2" >"$sysctl_file"
}

# Prints sysctl $1, which is $2, and what the kernel changes with it: forwarding of the whole machine is that of each
# interface, and in IPv4 sets whether redirects are accepted.
with_followers() {
  local family link
  printf '%s %s\n' "$1" "$2"
  case $1 in
    net.ipv4.ip_forward) family=ipv4 ;;
    net.ipv6.conf.all.forwarding) family=ipv6 ;;
    *) return 0 ;;
  esac
  [ "$family" = ipv6 ] || print_sysctl net.ipv4.conf.all.accept_redirects
  for link in "/proc/sys/net/$family/conf"/*/; do
    link=${link%/}
    print_sysctl "net.$family.conf.${link##*/}.forwarding" "$2"
  done
}

# Prints sysctl $1 and its value, if that is not $2.
print_sysctl() {
  read_sysctl "$1"
  [ "$first" = "${2-}" ] || printf '%s %s\n' "$1" "$first"
}

# Sets again what file $1 notes, unless generation $2 or another owner still needs forwarding of the whole machine: then
# it is given back with that.
give_back_sysctl() {
  local key value whole
  whole=$STATE/.net.ipv4.ip_forward
  case $1 in
    */.net.ipv4.conf.*.forwarding)
      if [ -f "$whole" ] && needs_sysctl net.ipv4.ip_forward "$2" && cat "$1" >>"$whole"; then
        rm -f "$1"
        return 0
      fi
      ;;
  esac
  while read -r key value; do
    read_sysctl "$key"
    [ "$first" = "$value" ] || [ ! -e "$sysctl_file" ] || { printf '%s\n' "$value" >"$sysctl_file"; } 2>/dev/null ||
      say "note: $key was $value before, and cannot be set to that again"
  done <"$1"
  rm -f "$1"
}

# Prints those of generation $1 that are not as they should be, but for what cannot be set here.
differing_sysctls() {
  local key rest value word
  while read -r word key value rest; do
    [ "$word" = sysctl ] || continue
    read_sysctl "$key"
    [ "$first" = "$value" ] || ! can_set_sysctl || printf '+ sysctl %s %s (it is %s)\n' "$key" "$value" "$first"
  done <"$1/manifest"
}
