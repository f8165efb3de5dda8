# Sysctls: forwarding, and those that put marks on ICMP errors. All owners share one setting. The first owner that sets
# it saves the old value in a file beside the directories of the owners. The last owner that needs it restores that
# value. So the undo log does not need lines for sysctls.

# Does generation $2 (may be empty) or another owner need sysctl $1 to be 1?
needs_sysctl() {
  local wanted_line
  wanted_line="sysctl $1 1"
  # shellcheck disable=SC2046  # a list of words
  set -- ${2:+"$2/manifest"} $(manifests_of_others)
  [ $# -gt 0 ] && grep -q -s -x -F -e "$wanted_line" "$@"
}

# Sets sysctl_file to the file of sysctl $1, and first to its value (empty if it does not exist). The name of an
# interface may have dots.
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

# Not `-w`: some shells say that root can write everywhere, even into a read-only file system.
can_set_sysctl() {
  (: >>"$sysctl_file") 2>/dev/null
}

# Restores the sysctls that nobody needs any more, then sets those that generation $1 (may be empty) needs. After a
# restore, the sysctls of other owners are set again, too: restoring a setting of the whole machine changes those of
# all interfaces.
set_sysctls() {
  local before manifest given
  given=
  for before in "$STATE"/.net.*; do
    [ -f "$before" ] || continue
    needs_sysctl "${before#"$STATE"/.}" "$1" || { give_back_sysctl "$before" "$1"; given=1; }
  done
  if [ -n "$given" ]; then
    for manifest in $(manifests_of_others); do
      set_all_sysctls "$manifest"
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
  # The interface of a tunnel may not be up yet. udev sets its sysctl later.
  case $1 in net.*.conf.*) [ -e "$sysctl_file" ] || return 0 ;; esac
  [ "$first" != "$2" ] || return 0
  if ! can_set_sysctl; then
    consequence=
    case $1 in *.fwmark_reflect) consequence=": $ERRORS_BY_MAIN" ;; esac
    say "note: $1 is ${first:-missing} and cannot be set to $2 here$consequence"
    return 0
  fi
  before=$STATE/.$1
  # The old value is on the disk first, so that it is known after a power cut.
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

# Prints sysctl $1 with its value $2, and the sysctls that the kernel changes with it. Forwarding of the whole machine
# also sets forwarding of each interface. In IPv4 it also sets whether redirects are accepted.
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

# Prints sysctl $1 and its value, unless the value is $2.
print_sysctl() {
  read_sysctl "$1"
  [ "$first" = "${2-}" ] || printf '%s %s\n' "$1" "$first"
}

# Restores the values in file $1. Forwarding of an interface waits while generation $2 or another owner still needs
# forwarding of the whole machine. It is then restored together with that.
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

# Prints the sysctls of generation $1 that have another value. Leaves out those that cannot be set here.
differing_sysctls() {
  local key rest value word
  while read -r word key value rest; do
    [ "$word" = sysctl ] || continue
    read_sysctl "$key"
    [ "$first" = "$value" ] || ! can_set_sysctl || printf '+ sysctl %s %s (it is %s)\n' "$key" "$value" "$first"
  done <"$1/manifest"
}
