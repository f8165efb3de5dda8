# Next hops that DHCP or router advertisements give. A state has the words dhcp4 or ra in their place at first, and then
# what was given last.

# Has the state of generation $1 the next hops of now. Sets followed to what has changed. Sets problem and fails if
# nobody gives one.
follow_gateways() {
  local word family table destination metric device gateway
  followed=
  while read -r word family table destination metric device; do
    [ "$word" = follow ] || continue
    find_gateway
    if [ -z "$gateway" ]; then
      problem="nobody gives an IPv$family gateway for $device here: no default route of the main table (ip -$family route show default dev $device), and no DHCP lease with one"
      return 1
    fi
    awk -v place="route $family $table $destination $metric " -v gateway="$gateway" '
      index($0, place) == 1 { sub(/ via [^ ]+ /, " via " gateway " ") }
      { print }' "$1/state" >"$LOCK/followed" || { problem="cannot write $LOCK/followed"; return 1; }
    ! cmp -s "$LOCK/followed" "$1/state" || continue
    put_file 0600 "$1/state" <"$LOCK/followed" || { problem="cannot write $1/state"; return 1; }
    followed="$followed${followed:+, }$gateway on $device"
  done <"$1/manifest"
}

# Sets gateway: that of the main table, or of the lease.
find_gateway() {
  gateway=$(ip "-$family" -o route show default dev "$device" table main 2>/dev/null |
    awk '{ for (i = 1; i < NF; i++) if ($i == "via" && $(i + 1) !~ /^inet/) { print $(i + 1); exit } }')
  [ -z "$gateway" ] && [ "$family" = 4 ] || return 0
  first_line "/sys/class/net/$device/ifindex"
  gateway=$({
    sed -n 's/^ROUTER=//p' "/run/systemd/netif/leases/$first"
    nmcli -e no -t -f DHCP4 device show "$device" | sed -n 's/^DHCP4[^:]*:routers = //p'
  } 2>/dev/null | awk 'NR == 1 && $1 ~ /^[0-9.]+$/ { print $1 }')
}
