# Sends what a client could send. Runs in a network namespace of its own; with it go its interfaces, and their peers
# outside. $1 is a file for `ip -batch`, which makes them, in group $2. Into file $3 go FAMILY and TTL of packets that
# could not be sent. Lines of standard input:
#
#   from FAMILY ADDRESS DEVICE          the source of the packets that follow, and the device that they take
#   icmp|udp|tcp FAMILY TTL ADDRESS PORT
#   sent                                is answered with a line, like the making of the interfaces
#
# Ends with its standard input.

unsent=$3
if ! { echo 64 >/proc/sys/net/ipv4/ip_default_ttl; } 2>/dev/null; then
  echo "the time to live of packets cannot be set here: is /proc/sys read-only?" >&2
  exit 1
fi
# Where there is IPv6: nobody else may have switched it off here, and the kernel has nothing to say to anybody.
if [ -d /proc/sys/net/ipv6/conf/all ]; then
  echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
  echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6
  echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
fi
ip -batch "$1" || exit
echo ready
exec 2>/dev/null
# The sender of one packet may be the destination of another, which has to leave all the same.
for family in 4 6; do
  printf "rule add pref 32768 lookup local\nrule del pref 0\n" | ip "-$family" -batch -
done

bash=${BASH_VERSION-}  # knows /dev/udp and /dev/tcp
failed=" "
device=
# What the device has sent, in packets.
count_sent() {
  local name rest
  sent=0
  while read -r name rest; do
    # shellcheck disable=SC2086  # splitting is the point
    [ "$name" != "$device:" ] || { set -- $rest; sent=${10}; }
  done </proc/net/dev
}

# The time to live is that of the moment, so a packet must have left before the next one gets its own. Whoever would
# wait for an answer, or send once more, is ended then.
send() {
  local before tries child
  count_sent
  before=$sent
  case $1 in
    icmp) ping -c 1 -W 1 "$2" >/dev/null 2>&1 & ;;
    udp) if [ -n "$bash" ]; then echo probe >"/dev/udp/$2/$3" & else echo probe | nc -u -w 1 "$2" "$3" >/dev/null 2>&1 & fi ;;
    tcp) if [ -n "$bash" ]; then : <"/dev/tcp/$2/$3" & else nc -w 1 "$2" "$3" </dev/null >/dev/null 2>&1 & fi ;;
  esac
  child=$!
  tries=0
  while count_sent && [ "$sent" = "$before" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || break
    # Mostly it has left by then.
    [ "$tries" -lt 300 ] || sleep 0.01 || sleep 1
  done
  kill -KILL "$child"
  [ "$sent" != "$before" ]
}

while read -r kind family ttl address port; do
  case $kind in
    from)
      device=$address
      ip "-$family" route replace default dev "$device" src "$ttl"
      ;;
    icmp | udp | tcp)
      case $family in
        4) echo "$ttl" >/proc/sys/net/ipv4/ip_default_ttl ;;
        6) echo "$ttl" >"/proc/sys/net/ipv6/conf/$device/hop_limit" ;;
      esac
      # What has failed once is not waited for again.
      case $failed in *" $kind$family "*) false ;; *) send "$kind" "$address" "$port" ;; esac || {
        failed="$failed$kind$family "
        echo "$family $ttl" >>"$unsent"
      }
      ;;
    sent) echo sent ;;
  esac
done
# Without that, they go a moment later.
ip link del group "$2"
