# probe: shows what happens to a client's packet on this machine, including what firewalls and others do to it.
#
# A child in its own network namespace sends packets to an interface of the machine. tc redirects them into the
# ingress of a tunnel, as if a client had sent them. An nftables table of ours notes them at each hook, and drops
# them at the end, after source NAT: no packet leaves the machine. When this run ends, for any reason, the input of
# the child ends. Then the child ends, its interfaces disappear, and the subshell around it removes the rest.

probe_from=    # the packet given on the command line
probe_to=
probe_in=

probe() {
  local bad
  in_force || die 1 "$problem"
  [ -n "$current" ] || die 1 "nothing of $owner is in force on this machine"
  list_probes
  find_probe_tools || die 69 "no client's packet was tried: $problem"
  put_all_questions "$current" "$LOCK/probes" || cannot_ask || die 70 "$problem"
  try_packets "$current" || die 70 "no client's packet was tried: $problem"
  find_silent_gateways
  show "$LOCK/probed"
  bad=$(grep -c '^!' "$LOCK/probed")
  [ "$bad" -eq 0 ] || die 1 "not all packets of clients get through: ! marks what is not as expected, - what a part of the packets meets"
  say "done: packets of clients get through as expected (+; - marks what a part of the packets meets)"
}

# Tries the packets of $LOCK/questions, if generation $1 says so. Writes to $LOCK/stopped which packets are stopped
# or changed but should not be. Fails if no packet is tried.
find_stopped() {
  : >"$LOCK/stopped"
  grep -q -x 'probe note' "$1/expectations" 2>/dev/null || return 1
  if find_probe_tools && try_packets "$1"; then
    [ ! -s "$LOCK/probed" ] || grep '^!' "$LOCK/probed" >"$LOCK/stopped" || :
    return 0
  fi
  say "note: no client's packet was tried: $problem"
  return 1
}

refused=       # the packets for which the change is refused

# Runs before the change to generation $1 is kept, when routing is already as expected. If the change must not be
# kept, it sets problem and refused, and fails.
packets_pass() {
  find_stopped "$1" && [ -s "$LOCK/probe/noted" ] || return 0
  if [ -s "$LOCK/probe/refused" ]; then
    show "$LOCK/probe/noted"
    { read -r refused; read -r problem; } <"$LOCK/probe/refused"
    # After the rollback, the same packets are tried again without the change.
    mkdir -p "$LOCK/rejected" && cp "$1/state" "$1/expectations" "$LOCK/rejected"
    return 1
  fi
  say 'note: packets of clients do not get through, or not as they came; "source-routing probe" tries them again:'
  show "$LOCK/probe/noted"
}

# If packets caused a refusal, sets before_change to what happens to them without the change.
find_before_change() {
  before_change=
  [ -n "$refused" ] && send_packets "$LOCK/rejected" '' || return 0
  before_change=" ($(judge_packets before))"
  [ "$before_change" != ' ()' ] || before_change=
}

# The probe drops its packets before they leave, so it cannot see a dead next hop. Adds to $LOCK/probed the next
# hops that do not answer.
find_silent_gateways() {
  awk '$1 == "expect" && / iif / && / via / {
    for (i = 4; i < NF; i++) if ($i == "via" && $(i + 2) == "dev") SEEN[($(i + 1) ~ /:/ ? 6 : 4) " " $(i + 1) " " $(i + 3) " first"]
  } END { for (hop in SEEN) print hop }' "$LOCK/probes" | sort >"$LOCK/gateways"
  ask_gateways
  awk '{ print "! nobody answers at next hop " $2 " on " $3 ": packets get no further (ip -" $1 " neigh show dev " $3 ")" }' \
    "$LOCK/missing" >>"$LOCK/probed"
}

# Writes to $LOCK/probes what to try: the expectations, or the packet from the command line.
list_probes() {
  local family
  if [ -z "$probe_from$probe_to$probe_in" ]; then
    [ -f "$current/expectations" ] || die 1 "$owner declares no tunnel and no expectation, so there is no packet to try. Give one: --from ADDRESS --to ADDRESS --in INTERFACE"
    cat "$current/expectations" >"$LOCK/probes" || die 70 "cannot write $LOCK/probes"
    return 0
  fi
  family=$(awk -v from="$probe_from" -v to="$probe_to" "$AWK_ADDRESS"'
    BEGIN { if (to_hex(from) != "" && length(to_hex(from)) == length(to_hex(to))) print (index(to, ":") ? 6 : 4) }')
  [ -n "$family" ] || usage '--from and --to must be addresses of one family'
  case $probe_in in *[!A-Za-z0-9_.:@+-]* | -*) usage '--in must be the name of an interface' ;; esac
  printf 'expect %s probe to %s from %s iif %s is any\n' "$family" "$probe_to" "$probe_from" "${probe_in:--}" >"$LOCK/probes"
}

# Sets problem and fails if a tool that the probe needs is missing.
find_probe_tools() {
  local tool
  [ -n "$nftables" ] || find_nftables
  problem=
  for tool in tc unshare ping; do
    command -v "$tool" >/dev/null 2>&1 || problem="$problem, $tool"
  done
  command -v bash >/dev/null 2>&1 || command -v nc >/dev/null 2>&1 || problem="$problem, bash or nc"
  [ -n "$nftables" ] || problem="$problem, nftables"
  [ -n "$problem" ] || return 0
  fail "missing here: ${problem#, }. Install what is missing, then: source-routing probe $owner"
}

# Tries packets that answer $LOCK/questions, with the rules of generation $1. Writes to $LOCK/probed what happened
# to them. Sets problem and fails if that is not possible.
try_packets() {
  local left_out devices
  : >"$LOCK/probed"
  send_packets "$1" '' || return 1
  read -r devices left_out <"$LOCK/probe/counts"
  [ "$devices" -ne 0 ] || { say 'no packet to try: no tunnel is up'; return 0; }
  # Only a second round with tracing finds the rule that drops or changes packets: tracing takes time.
  [ "$unclear" -eq 0 ] || send_packets "$1" 1 || return 1
  [ "$left_out" -eq 0 ] || say "packets not tried: $left_out"
  # Where all is as expected, only `probe` prints that.
  if [ "$unclear" -ne 0 ] || [ "$command" = probe ]; then
    judge_packets judge >"$LOCK/probed"
  fi
}

# Runs step $1 of probe.awk for the packets that were sent.
judge_packets() {
  awk -v step="$1" -v out="$LOCK/probe/" -v question="$refused" "$AWK_SYSCTL$AWK_PROBE" part=expected "$LOCK/probe/expected" \
    part=links "$LOCK/links" part=packets "$LOCK/probe/packets" part=unsent "$LOCK/probe/unsent" \
    part=seen "$LOCK/probe/seen" part=traced "$LOCK/probe/traced"
}

# Sends the packets for the questions of generation $1, and traces them if $2 is set. Sets lost to the number of
# packets that arrived nowhere, and unclear to the number of packets that only a trace can explain.
send_packets() {
  local room reply replies
  room=$LOCK/probe
  await_sender
  lost=0
  unclear=0
  [ ! -e "$room" ] || rm -rf "$room"
  # Conntrack still knows the packets of the last probe, and would let the same ones pass.
  clock
  # A generation without expectations has no such file.
  { mkdir "$room" && mkfifo "$room/in" "$room/out" && : >"$room/traced" && : >"$room/unsent" &&
    { [ ! -f "$1/expectations" ] || cat "$1/expectations"; } >"$room/expected" &&
    ip neigh show >"$room/neighbours" &&
    awk -v step=choose -v out="$room/" -v trace="$2" -v parent="$$" -v own_port="$((20000 + now % 30000))" "$AWK_SYSCTL$AWK_PROBE" \
      part=expected "$room/expected" part=state "$1/state" part=links "$LOCK/links" part=neighbours "$room/neighbours" part=questions "$LOCK/questions" 2>"$room/error"; } ||
    probe_failed || return 1
  [ -s "$room/packets" ] || return 0
  # As this run holds both FIFOs first, nobody waits for the other side to open them, even if it ends at this moment.
  exec 8<>"$room/in" 5<>"$room/out"
  start_sender "$room" "$2"
  exec 6<"$room/out" 5>&-
  # The table is loaded while the sender makes its interfaces.
  if load_table "$room" && read -r reply <&6 && [ "$reply" = ready ] && redirect_packets "$room"; then
    # The tracer does not report when it is ready, so give it a moment.
    [ -z "$2" ] || pause 0.1
    { cat "$room/lines" ${replies:+"$room/reply_lines"} && echo sent; } >&8
    read -r reply <&6 || :
    wait_for_packets "$room"
    reply=sent
  else
    reply=
  fi
  end_input
  # The trace is complete only when the sender has ended. Without a trace, the sender removes its interfaces while
  # this run continues.
  case $2$reply in sent) ;; *) await_sender ;; esac
  [ "$reply" = sent ] || probe_failed
}

sender=         # process that sends packets, while it may still have interfaces here
await_sender() {
  # It would wait for more input, and this run for its end.
  end_input
  [ -z "$sender" ] || wait "$sender" 2>/dev/null || :
}

end_input() { exec 8>&- 5>&- 6<&-; }

# Starts the sender, and a tracer if $2 is set. The subshell ignores signals, because it must clean up after both.
start_sender() {
  local shell exits
  shell=$(command -v bash || command -v sh)
  exits=
  [ ! -s "$1/egress" ] || exits='; delete table netdev source_routing_probe'
  (
    trap '' INT TERM
    tracer=
    [ -z "$2" ] || { nft monitor trace </dev/null >"$1/traced" 2>/dev/null & tracer=$!; }
    unshare --net "$shell" -c "$PROBE_SENDER" sender "$1/links" 7352 "$1/unsent"
    [ -z "$tracer" ] || kill -KILL "$tracer"
    # If the sender fails, this run may still be loading the table. It hears of that, and ends the input when it is done.
    exec >/dev/null
    while read -r _; do :; done
    nft "delete table inet source_routing_probe$exits" 2>/dev/null ||
      nft delete table inet source_routing_probe 2>/dev/null
  ) <"$1/in" >"$1/out" 2>>"$1/error" 3<&- 4>&- 5>&- 8>&- 9>&- &
  sender=$!
}

# Sets replies if replies can be tried, too.
load_table() {
  replies=
  if [ -s "$1/egress" ] && cat "$1/table" "$1/egress" | nft -f - 2>/dev/null; then
    replies=1
    cat "$1/replies" >>"$1/packets"
  else
    nft -f "$1/table" 2>>"$1/error"
  fi
}

redirect_packets() {
  local link
  for link in /proc/sys/net/ipv6/conf/srprobe*; do
    [ ! -e "$link/disable_ipv6" ] || { echo 1 >"$link/disable_ipv6"; } 2>/dev/null || :
  done
  { ip -batch "$1/up" && tc -batch "$1/redirect"; } 2>>"$1/error"
}

# Waits for the packets. Those that arrive do so at once, so a short wait is enough.
wait_for_packets() {
  local look
  for look in 1 2 3 4 5; do
    nft list table inet source_routing_probe >"$1/seen" 2>"$1/error" || return 0
    judge_packets lost >"$1/lost"
    read -r lost unclear <"$1/lost"
    [ "$lost" -ne 0 ] || return 0
    # Nothing follows the last look, so it needs no pause.
    [ "$look" -eq 5 ] || pause 0.02
  done
}

# Sets problem to the reason, and fails.
probe_failed() {
  first_line "$LOCK/probe/error"
  fail "${first:-the sender did not start}"
}
