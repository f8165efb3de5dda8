# Rules and routes that NetworkManager may bring back. It reads a profile when it activates it, or when it starts.
# After the link was down, it restores the routes that it read then, even if the profile has changed since.
#
# RETIRED is a state file ("retired" instead of "route") of what no generation wants any more. There is one for all
# owners. The watch removes whatever comes back. The file also has lines "forget DEVICE PROPERTY VALUE", in the words
# of nmcli. After a boot, the file is gone.

# Prints what NetworkManager has of generations $*: rules and routes, and "forget" lines.
list_of_managers() {
  local generation_of word number path device
  for generation_of in "$@"; do
    persistence_of "$generation_of"
    case $persistence in network-manager | netplan-network-manager) [ -f "$generation_of/state" ] || continue ;; *) continue ;; esac
    grep -e '^static ' -e '^route .* proto 4$' "$generation_of/state" || :
    while read -r word number path; do
      case $word in block | profile) ;; *) continue ;; esac
      for device in $devices; do
        awk -v list=1 -v device="$device" "$AWK_KEYFILE" part=ours "$generation_of/files/$number"
      done
    done <"$generation_of/manifest"
  done
}

# retire NEW GENERATION...: writes to RETIRED what the generations had. Leaves out what generation NEW (may be empty) or
# another owner still wants.
retire() {
  local new
  new=$1
  shift
  list_of_managers "$@" >"$LOCK/retired"
  [ -s "$LOCK/retired" ] || [ -f "$RETIRED" ] || return 0
  states_of_others
  # shellcheck disable=SC2086  # a list of words
  set -- part=wanted ${new:+"$new/state"} $its_states
  [ ! -f "$RETIRED" ] || set -- "$@" part=retired "$RETIRED"
  awk 'part == "wanted" { WANTED[$0] = 1; next }
    sub(/^retired /, "route ") { }
    /^(static|route|forget) / && !($0 in WANTED) && !SEEN[$0]++ {
      if (sub(/^route /, "retired ")) watched = watched " " ($3 >= 253 && $3 <= 255 ? $3 ":" $4 : $3)
      line[++n] = $0
    }
    END {
      if (!n) exit
      print "families 4 6"
      print "watched" watched
      for (i = 1; i <= n; i++) print line[i]
    }' "$@" part=retired "$LOCK/retired" >"$LOCK/retired.new" || return 1
  if [ -s "$LOCK/retired.new" ]; then
    put_file 0600 "$RETIRED" <"$LOCK/retired.new"
  else
    rm -f "$RETIRED"
  fi
}

# Makes NetworkManager forget what it may bring back, since no watch is left to remove it. If there is something to
# forget, the device loses IPv6 for one or two seconds.
forget_retired() {
  local of property value word device
  [ -f "$RETIRED" ] || return 0
  : >"$LOCK/devices"
  # If NetworkManager does not run, it has nothing to forget.
  ! has_service NetworkManager.service || sed -n 's/^forget \([^ ]*\) .*/\1/p' "$RETIRED" | sort -u >"$LOCK/devices"
  while read -r device; do
    set --
    while read -r word of property value; do
      [ "$word $of" != "forget $device" ] || set -- "$@" "-$property" "$value"
    done <"$RETIRED"
    nmcli device modify "$device" "$@" >/dev/null 2>&1 </dev/null ||
      say "note: NetworkManager may bring back routes on $device when its link comes up, until it starts again"
  done <"$LOCK/devices"
  rm -f "$RETIRED"
}
