# Sysctls, without which errors bear no marks. Each is one setting for all owners: whoever sets it first
# notes what it was, in a file beside the directories of the owners, and whoever needs it last gives that back.
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

# Sets sysctl_file of sysctl $1, and first to its value; empty if there is none.
read_sysctl() {
  case $1 in
    net.ipv4.*) sysctl_file=/proc/sys/net/ipv4/${1#net.ipv4.} ;;
    *) sysctl_file=/proc/sys/net/ipv6/${1#net.ipv6.} ;;
  esac
  first_line "$sysctl_file"
}

# Not `-w`: to some shells root may write everywhere, even into a read-only file system.
can_set_sysctl() {
  (: >>"$sysctl_file") 2>/dev/null
}

# Sets what generation $1 (may be empty) needs, and gives back what nobody needs any more.
set_sysctls() {
  local key before value
  for key in net.ipv4.fwmark_reflect net.ipv6.fwmark_reflect; do
    before=$STATE/.$key
    read_sysctl "$key"
    value=$first
    if ! needs_sysctl "$key" "$1"; then
      [ -f "$before" ] || continue
      first_line "$before"
      { printf '%s\n' "$first" >"$sysctl_file"; } 2>/dev/null || say "note: $key was $first before, and cannot be set to that again"
      rm -f "$before"
    elif [ "$value" != 1 ]; then
      can_set_sysctl || { say "note: $key is ${value:-missing} and cannot be set to 1 here: $ERRORS_BY_MAIN"; continue; }
      # On the disk first: after a power cut it must be known what it was.
      [ -f "$before" ] || { printf '%s\n' "$value" | put_file 0600 "$before" && { sync "$before" 2>/dev/null || sync; }; }
      printf '1\n' >"$sysctl_file"
    fi
  done
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
