# watch: repairs the kernel's state whenever something removes a part of it. The systemd unit runs it.
#
# `ip monitor` prints events, a reader picks those that matter, and this shell makes a pass. All
# three sleep while nothing happens. The reader reports an event with a file in `room`. Only if that
# file did not exist yet, it also writes a line to a FIFO. So any number of events during a pass
# cause one more pass, and nothing piles up. The lines:
#
#   change   a rule or a route of ours, or the kill switch, may be gone
#   link     an interface or an address came or went: routes may be gone, or can be set now
#   lost     events came faster than they could be read
#   ended    `nft monitor` has ended
#   timer T  the timer for time T has run out: a delayed pass may be due
#
# `nft monitor` has its own reader, so that neither waits for the other.

# Times are in hundredths of a second.
DELAYS='20 50 100 200'  # delays before the next try if something could not be put back
FIGHT=20                # more repairs within a minute mean that something else keeps undoing them
MOST_HOLD=3000          # longest delay of a repair during such a fight
LOST_WAIT=200           # time between passes while events are lost
MOST_IN_FRONT=5         # rules of others that one pass reports line by line
AT_ONCE=5               # passes that may follow without a pause; after them, three a second

room=               # directory of this watch
fine=               # set if sleep accepts fractions of a second
watchers=           # processes to end with the watch

watch() {
  local cause delays restore
  LOCK_WAIT=
  restore=1
  start_monitor
  say "watching the rules and routes of $owner"
  # The monitor may not have listened yet during the first pass, so a second pass follows.
  cause=start
  delays='100 200 400'
  while :; do
    pace
    # A program that flushes the rules may still be running: it would remove what is put back too early.
    [ "$cause" != change ] || [ -z "$fine" ] || sleep 0.05
    pass
    plan_retry
    await
  done
}

start_monitor() {
  ! sleep 0.1 2>/dev/null || fine=1
  room=${RUNTIME_DIRECTORY:-/run}/source-routing-watch.$owner.$$
  rm -rf "$room"
  { mkdir "$room" && mkfifo "$room/monitor" "$room/nft" "$room/events"; } ||
    die 70 "cannot make $room: is ${room%/*} missing, full or read-only?"
  # If one of these processes ends, the others notice at their next read or write.
  monitor ip -N -o monitor label link address route rule >"$room/monitor" 2>&1 &
  watchers=$!
  read_events <"$room/monitor" >"$room/events" &
  watchers="$watchers $!"
  find_nftables
  if [ -n "$nftables" ]; then
    monitor nft monitor >"$room/nft" 2>/dev/null &
    watchers="$watchers $!"
    read_nft_events <"$room/nft" &
    watchers="$watchers $!"
  fi
  # Opening a FIFO waits for the other side. From now on, its end of file means that the reader has ended.
  exec 7<"$room/events"
}

# Runs a command in place of this subshell. It ends when nobody reads what it prints.
monitor() {
  trap - PIPE
  exec "$@"
}

# shellcheck disable=SC2317  # called by the trap at the end of a run
stop_monitor() {
  local child
  [ -n "$room" ] || return 0
  # bash would print a message for each process that is killed.
  exec 2>/dev/null
  for child in $timers $watchers; do
    kill "${child#*:}"
  done
  # Otherwise they could still write files into the directory while it is removed.
  wait
  # The second try is for a file created while the first removed the directory, or for a signal to the whole unit.
  rm -rf "$room" || rm -rf "$room"
}

# Limits the rate of passes: a storm of harmless events must not keep the machine busy.
spare=$AT_ONCE
paced=0
pace() {
  clock
  if [ $((now - paced)) -ge 50 ]; then
    spare=$((spare + (now - paced) / 50))
    [ "$spare" -le "$AT_ONCE" ] || spare=$AT_ONCE
    paced=$now
  fi
  if [ "$spare" -gt 0 ]; then
    spare=$((spare - 1))
  else
    sleep "${fine:+0.}${fine:-1}"
  fi
}

# Makes one pass: looks once, and repairs if needed.
linked=        # an interface or an address has changed, which may explain what is missing
pass() {
  local again
  due=0
  protect=
  take_lock
  again=
  linked=
  [ ! -e "$room/link" ] || linked=1
  # Events from here on cause another pass, because this pass may miss them.
  rm -f "$room/change" "$room/link" "$room/lost"
  wanted_by_watch
  note_places
  note_chains
  follow
  repair
  [ "$repaired" -eq 0 ] || show_repaired
  note_missing
  note_front
  fill_hooked
  [ ! -e "$room/link" ] || linked=1
  drop_lock
  note_fight
}

not_followed=  # the last problem that was reported
follow() {
  [ -f "${wanted%/state}/manifest" ] || return 0
  if follow_gateways "${wanted%/state}"; then
    not_followed=
  elif [ "$problem" != "$not_followed" ]; then
    not_followed=$problem
    say "note: $problem"
  fi
  [ -z "$followed" ] || say "the gateway is now $followed"
}

# While repairs are delayed, puts back what rejects packets without delay: traffic of clients must not leak
# during a fight.
protect_clients() {
  protect=1
  take_lock
  rm -f "$room/change"
  wanted_by_watch
  repair
  [ "$repaired" -eq 0 ] || show_repaired
  drop_lock
}

# Tells the reader which tables and routes matter, if that has changed. This comes before the look at
# the kernel: the look then finds what the reader has ignored until now.
watched=
note_places() {
  local places some file
  places=
  for file in $states; do
    { read -r _ && read -r _ some; } <"$file" && places="$places $some"
  done
  [ "$places" != "$watched" ] || return 0
  watched=$places
  printf '%s \n' "$places" >"$room/places"
  : >"$room/reread"
}

# Does the same for the firewall chains that hold accept rules of ours.
watched_chains=
note_chains() {
  local chains
  find_accepts ''
  chains=$(awk '{ sub(/^iptables /, "ip "); sub(/^ip6tables /, "ip6 "); printf "%s,", $0 }' "$LOCK/chains")
  [ "$chains" != "$watched_chains" ] || return 0
  watched_chains=$chains
  printf ',%s\n' "$chains" >"$room/chains"
  : >"$room/reread_chains"
  grep '^ip.*tables' "$LOCK/chains" >"$room/legacy" || return 0
  [ -z "$polled" ] || return 0
  # Old versions do not print that they are the legacy variant, so only nf_tables counts as not legacy.
  case $(iptables -V 2>/dev/null; ip6tables -V 2>/dev/null) in *nf_tables*nf_tables*) ;; *) poll_legacy ;; esac
}

# iptables-legacy sends no events, so this compares its chains twice a second with what they were before.
polled=
poll_legacy() {
  local before after command table chain
  polled=polled
  (
    trap - PIPE
    before=
    while pause 0.5; do
      after=$(while read -r command table chain; do list_chain "$command" "$table" "$chain"; done <"$room/legacy" 2>/dev/null)
      [ "$after" = "$before" ] || tell change 1<>"$room/events"
      before=$after
    done
  ) 7<&- &
  watchers="$watchers $!"
}

# Reports what this pass has put back or removed. Sets again if it had put the same back shortly
# before.
last=
recent=$NEWLINE  # what was put back recently
show_repaired() {
  local line
  count_repairs
  [ "$kill_switch_repaired" -eq 0 ] || put_back_again 'the kill switch'
  [ "$accepts_repaired" -eq 0 ] || put_back_again 'the accept rules in the firewall'
  awk 'part == "left" { LEFT[$0] = 1; next } !($0 in LEFT)' part=left "${PLAN}report" part=planned "$LOCK/plan.report" \
    >"$LOCK/repaired"
  while IFS= read -r line; do
    case $line in
      +\ *) put_back_again "${line#+ }" ;;
      -\ *)
        last=${line#- }
        say "took away: $last"
        ;;
      *) say "$line" ;;
    esac
  done <"$LOCK/repaired"
  [ "${#recent}" -lt 10000 ] || recent=$NEWLINE$last$NEWLINE
}

put_back_again() {
  last=$1
  # During a fight, one line for each repair would fill the journal.
  [ -n "$protect" ] || say "put back: $last"
  case $recent in
    *"$NEWLINE$last$NEWLINE"*) again=1 ;;
    *) recent=$recent$last$NEWLINE ;;
  esac
}

# Reports once each rule or default route that was added in front of ours since the apply. The watch does not remove it.
seen_in_front=$NEWLINE
note_front() {
  local count line
  case $wanted in */state) ;; *) return 0 ;; esac
  find_in_front "${wanted%/state}"
  count=0
  while IFS= read -r line; do
    case $seen_in_front in *"$NEWLINE$line$NEWLINE"*) continue ;; esac
    count=$((count + 1))
    [ "$count" -gt "$MOST_IN_FRONT" ] ||
      say "in front of ours since the apply: $line. It may take packets of clients: source-routing verify $owner"
    seen_in_front=$seen_in_front$line$NEWLINE
  done <"$LOCK/in_front"
  [ "$count" -le "$MOST_IN_FRONT" ] || say "in front of ours since the apply: $((count - MOST_IN_FRONT)) more"
  # Keeps the list short: it forgets only rules that are gone.
  [ "${#seen_in_front}" -lt 10000 ] || seen_in_front=$NEWLINE$(cat "$LOCK/in_front")$NEWLINE
}

# What could not be put back is tried again for some seconds. An address may appear a moment before
# its subnet, and an IPv6 address is not usable before duplicate address detection has ended.
# After that, only an event causes a new try, so the journal gets a message.
said=
note_missing() {
  missing=
  if [ "$left" -eq 0 ]; then
    said=
    return 0
  fi
  first_line "${PLAN}report"
  missing="$left, the first: ${first#+ }"
  if [ -n "$accepts_problem" ]; then
    missing="$left: $accepts_problem"
    again=1
    last='the accept rules in the firewall'
  fi
  misses_essentials || return 0
  if [ -n "$problem" ]; then
    missing="$missing: $problem"
  else
    # Something has removed it again before the check.
    again=1
    last=${first#+ }
  fi
}

plan_retry() {
  local delay
  case $cause in timer | start) ;; *) delays=$DELAYS ;; esac
  [ "$cause" = start ] || { [ "$hold" -eq 0 ] && [ "$left$bare" != 00 ]; } || return 0
  delay=${delays%% *}
  if [ -n "$delay" ]; then
    delays=${delays#"$delay"}
    delays=${delays# }
    set_timer "$delay"
  elif [ "$missing" != "$said" ]; then
    said=$missing
    say "cannot be put back now: $missing"
  fi
}

# The daemon of a new tunnel calls the hook itself. The watch runs the hook only if the daemon has not
# done so, or if something has removed the routes again.
bare=0         # number of tunnels whose routes are missing
hopeless=      # set if the hook has failed
fill_hooked() {
  bare=0
  [ -z "$linked" ] || hopeless=
  [ -z "$hopeless" ] && grep -q -s '^hook ' "${wanted%/state}/manifest" || return 0
  if [ -n "$linked" ] || [ "$cause" = start ]; then
    call_hooks "${wanted%/state}" only
    bare=$tunnels
  else
    call_hooks "${wanted%/state}"
    [ "$unhooked" -eq 0 ] || hopeless=1
    [ "$tunnels" -eq "$unhooked" ] || { again=1; last='the routes of a tunnel'; }
  fi
}

# Does something remove again and again what is put back? Then repairs are delayed. A link that goes
# up and down, and loses its routes each time, is no reason to delay them.
hold=0
repairs=0
since=0
fought=0
note_fight() {
  [ -z "$linked" ] && [ -n "$again" ] || return 0
  clock
  if [ "$hold" -eq 0 ] && [ $((now - since)) -gt 6000 ]; then
    since=$now
    repairs=0
    recent=$NEWLINE$last$NEWLINE
  fi
  repairs=$((repairs + 1))
  [ "$repairs" -gt "$FIGHT" ] || return 0
  fought=$now
  if [ "$hold" -eq 0 ]; then
    hold=100
    say "something takes away again and again what is put back ($FIGHT times within a minute, the last time: $last); from now on it may take $((MOST_HOLD / 100)) seconds. See who does it: ip monitor rule route"
  else
    hold=$((hold * 2))
    [ "$hold" -le "$MOST_HOLD" ] || hold=$MOST_HOLD
  fi
}

# Waits for the next reason to make a pass.
await() {
  local event
  while :; do
    read -r event <&7 || die 70 'FAILED: the watch was interrupted (ip monitor or its reader has ended); start it again'
    cause=${event%% *}
    case $cause in
      # The file is gone if a pass for another reason came first.
      link) [ ! -e "$room/link" ] || return 0 ;;
      lost) [ ! -e "$room/lost" ] || [ "$due" -ne 0 ] || set_timer "$LOST_WAIT" ;;
      timer) ! is_due "${event#* }" || return 0 ;;
      change)
        [ -e "$room/change" ] || continue
        [ "$hold" -ne 0 ] || return 0
        clock
        if [ $((now - fought)) -gt 6000 ]; then
          hold=0
          return 0
        fi
        [ "$due" -ne 0 ] || set_timer "$hold"
        pace
        protect_clients
        ;;
      ended) die 70 'FAILED: the watch was interrupted (nft monitor has ended); start it again' ;;
    esac
  done
}

# After time $1, await makes a pass, unless a pass comes earlier. A running timer is not stopped: in
# some shells, a child that is killed just after its start may run the exit trap of its parent. A
# running timer that ends at a suitable time serves again, so there are few timers.
due=0          # time of the next planned pass; 0 if none is planned
timers=        # TIME:PROCESS of the running timers, each with a blank in front
set_timer() {
  local each fraction time sleeper
  clock
  for each in $timers; do
    due=${each%:*}
    [ "$due" -le $((now + $1 / 2)) ] || [ "$due" -gt $((now + $1)) ] || return 0
  done
  due=$((now + $1))
  fraction=$(($1 % 100 + 100))
  time=$(($1 / 100)).${fraction#1}
  [ -n "$fine" ] || time=$((($1 + 99) / 100))
  (
    sleeper=
    trap 'kill "$sleeper" 2>/dev/null; exit 0' TERM
    sleep "$time" &
    sleeper=$!
    # Also opened for reading, so that it does not wait for the other side.
    wait "$sleeper" && printf 'timer %s\n' "$due" 1<>"$room/events"
  ) 7<&- &
  timers="$timers $due:$!"
}

# The timer for time $1 has ended: succeeds if a pass is due then.
is_due() {
  local rest process
  rest=${timers#*" $1:"}
  process=${rest%% *}
  timers=${timers%%" $1:"*}${rest#"$process"}
  # Without the wait, the shell would keep the exit code of the process forever.
  wait "$process" || :
  [ "$due" = "$1" ]
}

# Reads what `ip monitor` prints. It starts no process for a line: a router may change thousands of
# routes in a second, none of them ours.
read_events() {
  local places line
  places=' '
  while IFS= read -r line; do
    if [ -e "$room/reread" ]; then
      rm -f "$room/reread"
      IFS= read -r places <"$room/places"
    fi
    case $line in
      '[ROUTE]'*) ! is_our_route || tell change ;;
      '[RULE]Deleted '*) tell change ;;
      # This is a change of our own.
      '[RULE]'*' proto 77'* | '[RULE]'*' proto 78'*) ;;
      '[RULE]'*) tell change ;;
      # The probe creates and removes these interfaces itself.
      '[LINK]'*': srprobe'* | '[ADDR]'*': srprobe'*) ;;
      '[LINK]'* | '[ADDR]'*) tell link ;;
      # Most likely "No buffer space available".
      *) tell lost ;;
    esac
  done
}

# Reads what `nft monitor` prints. Changes to tables of others are ignored, however many there are.
read_nft_events() {
  local line chains
  chains=
  set -f
  while IFS= read -r line; do
    if [ -e "$room/reread_chains" ]; then
      rm -f "$room/reread_chains"
      read -r chains <"$room/chains"
    fi
    # add rule FAMILY TABLE CHAIN ..., delete chain FAMILY TABLE CHAIN
    # shellcheck disable=SC2086  # splitting is the point
    [ -z "$chains" ] || set -- $line
    case "$line $chains" in
      # Also opened for reading, so that it does not wait for the other side.
      *" source_routing_$owner "*) tell change 1<>"$room/events" ;;
      # This is a change of our own.
      *" comment \"source-routing $owner\""*) ;;
      *",${3-} ${4-} ${5-},"*) tell change 1<>"$room/events" ;;
    esac
  done
  echo ended 1<>"$room/events"
}

tell() {
  [ -e "$room/$1" ] || { true >"$room/$1" && echo "$1"; } 2>/dev/null || exit 1
}

# Is the event in `line` about a route in a place of ours, and not caused by ourselves? A route of
# ours in an unknown place counts, too: there may be new places.
is_our_route() {
  local table known destination
  table=254
  case $line in
    *' table '*)
      table=${line#* table }
      table=${table%% *}
      ;;
  esac
  destination=${line#*]}
  destination=${destination#Deleted }
  # The type of the route may come first, as a number.
  case $destination in [0-9]\ * | [0-9][0-9]\ *) destination=${destination#* } ;; esac
  known=
  case $places in *" $table "* | *" $table:${destination%% *} "*) known=1 ;; esac
  case $line in
    '[ROUTE]Deleted'*) [ -n "$known" ] ;;
    *' proto 77 '* | *' proto 78 '*) [ -z "$known" ] ;;
    *) [ -n "$known" ] ;;
  esac
}
