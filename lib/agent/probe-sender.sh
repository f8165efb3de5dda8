# Sends packets that a client could send. It runs in its own network namespace. When the namespace ends, its
# interfaces and their peers outside disappear. $1 is a file for `ip -batch`, which creates them in group $2.
# The script writes FAMILY and TTL of packets that it could not send to file $3. Lines of standard input:
#
#   from FAMILY ADDRESS DEVICE          source and interface of the packets that follow
#   icmp|udp|tcp FAMILY TTL ADDRESS PORT OWN-PORT
#   large FAMILY TTL ADDRESS PORT OWN-PORT BYTES    UDP with so much data, which only bash can send
#   sent                                asks for a line of output; such a line also follows the interfaces
#
# It ends when its standard input ends.

unsent=$3
if ! { echo 64 >/proc/sys/net/ipv4/ip_default_ttl; } 2>/dev/null; then
  echo "the time to live of packets cannot be set here: is /proc/sys read-only?" >&2
  exit 1
fi
# With IPv6: undoes a setting from outside that disables it, and creates no link-local addresses, so that the
# kernel sends no packets by itself.
if [ -d /proc/sys/net/ipv6/conf/all ]; then
  echo 0 >/proc/sys/net/ipv6/conf/all/disable_ipv6
  echo 0 >/proc/sys/net/ipv6/conf/default/disable_ipv6
  echo 1 >/proc/sys/net/ipv6/conf/default/addr_gen_mode
fi
ip -batch "$1" || exit
echo ready
exec 2>/dev/null
# The source of one packet may be the destination of another, which must leave anyway. So the local table comes last.
for family in 4 6; do
  printf "rule add pref 32768 lookup local\nrule del pref 0\n" | ip "-$family" -batch -
done

bash=${BASH_VERSION-}  # bash supports /dev/udp and /dev/tcp
failed=" "
device=
# Sets sent to the number of packets that the interface has sent.
count_sent() {
  local name rest
  sent=0
  while read -r name rest; do
    # shellcheck disable=SC2086  # splitting is the point
    [ "$name" != "$device:" ] || { set -- $rest; sent=${10}; }
  done </proc/net/dev
}

# A packet takes the time to live that is set when it leaves, so each must leave before the next one is prepared.
# Then its process is killed, so that it does not wait for an answer or send again.
send() {
  local before child
  # Such a packet has left when the command ends.
  case $1$bash in
    large) return 1 ;;
    # A shell that has written to a file of /proc before would send it in pieces.
    large*) head -c "$4" /dev/zero >"/dev/udp/$2/$3"; return ;;
    udp?*) echo probe >"/dev/udp/$2/$3"; return ;;
  esac
  count_sent
  before=$sent
  case $1 in
    icmp) ping -c 1 -W 1 "$2" >/dev/null & ;;
    udp) echo probe | nc -u -w 1 "$2" "$3" >/dev/null & ;;
    tcp) if [ -n "$bash" ]; then : <"/dev/tcp/$2/$3" & else nc -w 1 "$2" "$3" </dev/null >/dev/null & fi ;;
  esac
  child=$!
  have_left 1
  kill -KILL "$child"
  [ "$sent" != "$before" ]
}

# Waits until $1 packets have left since `before`, but not for ever.
have_left() {
  local tries
  tries=0
  while count_sent && [ "$((sent - before))" -lt "$1" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 400 ] || return 1
    # Most packets have left after the first tries, so only later tries sleep.
    [ "$tries" -lt 300 ] || sleep 0.01 || sleep 1
  done
}

# Ports of all kinds may be taken here.
{ echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start; } 2>/dev/null
own_ports=
# Makes packets leave from a port of the range $1.
leave_from() {
  [ "$own_ports" != "$1" ] || return 0
  echo "$1" >/proc/sys/net/ipv4/ip_local_port_range && own_ports=$1
}

# obey WORD...: does what a line of input says. A kind and family of packets that has failed once is not tried again, to
# save the wait.
obey() {
  case $1 in
    from)
      device=$4
      ip "-$2" route replace default dev "$device" src "$3"
      return
      ;;
    sent) echo sent; return ;;
  esac
  case $2 in
    4) echo "$3" >/proc/sys/net/ipv4/ip_default_ttl ;;
    6) echo "$3" >"/proc/sys/net/ipv6/conf/$device/hop_limit" ;;
  esac
  case $failed in *" $1$2 "*) false ;; *) leave_from "$6 $6" && send "$1" "$4" "$5" "${7-}" ;; esac || {
    failed="$failed$1$2 "
    echo "$2 $3" >>"$unsent"
  }
}

# Echoes of a source leave at the same time if ping can set their time to live. The ping of BusyBox cannot, in IPv6.
case $(ping -V) in *iputils*) together=1 ;; *) together= ;; esac
echoes=        # lines of echoes that may not have left yet
children=
send_echo() {
  [ -n "$echoes" ] || { count_sent; before=$sent; }
  # ping itself takes a port for a moment.
  leave_from "1024 65535"
  ping -c 1 -W 1 -t "$3" "$4" >/dev/null &
  children="$children $!"
  echoes="${echoes:+$echoes
}$*"
}

# Waits until the echoes have left, before anything else is sent. If some have not, sends each alone.
await_echoes() {
  local all line
  [ -n "$echoes" ] || return 0
  all=$echoes
  echoes=
  # shellcheck disable=SC2086  # a list of words
  set -- $children
  children=
  have_left "$#" && all=
  kill -KILL "$@"
  [ -z "$all" ] || while read -r line; do
    # shellcheck disable=SC2086  # splitting is the point
    obey $line
  done <<END
$all
END
}

# shellcheck disable=SC2086  # splitting is the point
while read -r line; do
  case $together$line in
    1icmp*) send_echo $line ;;
    *) await_echoes; obey $line ;;
  esac
done
# Without this command, the interfaces disappear a moment later.
ip link del group "$2"
