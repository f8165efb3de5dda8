# The kill switch: an nftables table of the owner. It rejects packets that the declaration does not allow, even if
# rules and routes are gone. The table also marks packets to clients, so that ICMP errors about them take the same
# way. A generation has it as a file for `nft -f`, which a unit loads at boot.
#
# The agent keeps what `nft` lists right after it has loaded that file. If the list is still the same, nobody has
# changed the table.

nftables=          # set if nftables can be used here
kill_switch=       # file with the kill switch of a generation, empty if it has none

ERRORS_BY_MAIN='errors about packets to clients leave by the main default route'
NO_KILL_SWITCH="no kill switch, since nftables cannot be used here: only the guards hold, and $ERRORS_BY_MAIN. To have all, install nftables and apply again"

find_nftables() {
  nftables=
  ! command -v nft >/dev/null 2>&1 || ! nft list tables >/dev/null 2>&1 || nftables=1
}

# Sets kill_switch to the file of generation $1. The generation may be empty, or anything else without a manifest.
kill_switch_of() {
  local its_number
  kill_switch=
  [ -n "$1" ] && [ -f "$1/manifest" ] && has_file "/etc/source-routing/$owner.nft" "$1/manifest" || return 0
  kill_switch=$1/files/$its_number
}

list_kill_switch() {
  nft list table inet "source_routing_$owner" 2>"$LOCK/error"
}

# Is the kill switch in file $1 the one that the kernel has?
holds_kill_switch() {
  cmp -s "$1" "$LOADED/$owner.nft" && list_kill_switch >"$LOCK/listing" && cmp -s "$LOCK/listing" "$LOADED/$owner.list"
}

# Loads file $1 in one transaction. Sets problem on failure.
load_kill_switch() {
  ! holds_kill_switch "$1" || return 0
  { nft -f "$1" 2>"$LOCK/error" && list_kill_switch >"$LOCK/listing"; } ||
    fail_with 'nftables does not take the kill switch' || return 1
  # If these files cannot be written, the kill switch is only loaded again the next time.
  { mkdir -p "$LOADED" && put_file 0600 "$LOADED/$owner.nft" <"$1" &&
    put_file 0600 "$LOADED/$owner.list" <"$LOCK/listing"; } 2>/dev/null || :
}

# Lets the packets of two generations pass while rules and routes change: those that the kill switch of generation $1
# or of generation $2 allows (either may be empty). Otherwise packets on a path that is still right, or already right,
# would be rejected. If there was no kill switch before, the last step adds it.
widen_kill_switch() {
  local old_kill_switch
  kill_switch_of "$1"
  old_kill_switch=$kill_switch
  kill_switch_of "$2"
  [ -n "$old_kill_switch" ] && [ -n "$kill_switch" ] && ! cmp -s "$old_kill_switch" "$kill_switch" &&
    list_kill_switch >/dev/null || return 0
  awk 'part == "new" { if (/# All else:/) on = 0; if (on) line[++n] = $0; if (/# May pass:/) on = 1; next }
    /# All else:/ { for (i = 1; i <= n; i++) print line[i] }
    { print }' part=new "$kill_switch" part=old "$old_kill_switch" >"$LOCK/widened" && load_kill_switch "$LOCK/widened"
}

# Loads the kill switch of generation $1, or removes it if that has none.
set_kill_switch() {
  kill_switch_of "$1"
  if [ -n "$kill_switch" ]; then
    load_kill_switch "$kill_switch"
  else
    drop_kill_switch
  fi
}

drop_kill_switch() {
  rm -f "$LOADED/$owner.nft" "$LOADED/$owner.list"
  rmdir "$LOADED" 2>/dev/null || :
  command -v nft >/dev/null 2>&1 && list_kill_switch >/dev/null || return 0
  nft delete table inet "source_routing_$owner" 2>"$LOCK/error" || fail_with 'the kill switch cannot be removed'
}

# Does the kernel have the kill switch of generation $1, or none if none is wanted?
has_kill_switch_of() {
  kill_switch_of "$1"
  if [ -n "$kill_switch" ]; then
    holds_kill_switch "$kill_switch"
  else
    ! command -v nft >/dev/null 2>&1 || ! list_kill_switch >/dev/null
  fi
}
