# Next hops that come from DHCP or router advertisements. A state first has the word dhcp4 or ra in their place, and
# later the last gateway that was given.

# Writes the present next hops into the state of generation $1. If no gateway is given now, the last one stays. Sets
# followed to what has changed. Sets problem and fails if a gateway was never given.
follow_gateways() {
  local word family table destination metric device place gateway last_state
  followed=
  while read -r word family table destination metric device; do
    [ "$word" = follow ] || continue
    place="$family $table $destination $metric "
    last_state=
    ! grep -q -s -x -F "follow $place$device" "$current/manifest" || last_state=$current/state
    find_gateway "$1/state" ${last_state:+"$last_state"}
    [ -n "$gateway" ] ||
      fail "nobody gives an IPv$family gateway for $device here: no default route of the main table (ip -$family route show default), and no DHCP lease with one" || return 1
    awk -v place="$place" -v gateway="$gateway" '
      index($0, "route " place) == 1 { sub(/ via [^ ]+ /, " via " gateway " ") }
      { print }' "$1/state" >"$LOCK/followed" || fail "cannot write $LOCK/followed" || return 1
    ! cmp -s "$LOCK/followed" "$1/state" || continue
    replace_state "$1/state" || fail "cannot write $1/state, so a new gateway on $device is not followed: $gateway" || return 1
    followed="$followed${followed:+, }$gateway on $device"
  done <"$1/manifest"
}

# Replaces state file $1. Without the sync, a power cut could leave an empty file under its name.
replace_state() {
  make_new "$1" <"$LOCK/followed" 2>/dev/null && chmod 0600 "$1.source-routing-new" || return 1
  sync "$1.source-routing-new" 2>/dev/null || sync
  mv -f "$1.source-routing-new" "$1"
}

# Sets gateway to that of the main table, else that of the DHCP lease, else the one in state files $*.
find_gateway() {
  gateway=$(ip "-$family" -o route show default table main 2>/dev/null | awk -v device="$device" '
    { for (i = 1; i < NF; i++) if ($i == "via" && $(i + 1) !~ /^inet/ && $(i + 2) == "dev" && $(i + 3) == device) { print $(i + 1); exit } }')
  if [ -z "$gateway" ] && [ "$family" = 4 ]; then
    first_line "/sys/class/net/$device/ifindex"
    gateway=$({
      sed -n 's/^ROUTER=//p' "/run/systemd/netif/leases/$first"
      nmcli -e no -t -f DHCP4 device show "$device" | sed -n 's/^DHCP4[^:]*:routers = //p'
    } 2>/dev/null | awk 'NR == 1 && $1 ~ /^[0-9.]+$/ { print $1 }')
  fi
  [ -n "$gateway" ] || gateway=$(awk -v place="$place" 'index($0, "route " place) == 1 && / via [^ ]*[.:]/ { sub(/.* via /, ""); print $1; exit }' "$@")
}
