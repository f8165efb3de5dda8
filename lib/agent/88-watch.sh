# watch: repair the kernel's state whenever something takes it away. What the unit runs.
#
# `ip monitor` says what happens, a reader picks what matters, and this shell makes a pass. All
# three sleep while nothing happens. The reader tells of an event with a file in `room` and,
# only if that file was not there yet, a line through a FIFO: any number of events while a pass
# is under way cause one more, and nothing piles up. The lines:
#
#   change   a rule or a route of ours, or the kill switch, may be gone
#   link     a device or an address came or went: routes may be gone, or may be set now
#   lost     events came faster than they could be read
#   ended    `nft monitor` has ended
#   timer N  the time is over for which something was put off
#
# `nft monitor` has a reader of its own, so that neither waits for the other.

# Times are in hundredths of a second.
DELAYS='20 50 100 200'  # what could not be put back is tried again after these
FIGHT=20                # repairs within a minute: somebody else wants it otherwise
MOST_HOLD=3000          # a repair is put off for so long, at most, while somebody does
LOST_WAIT=200           # between passes while events are lost
MOST_IN_FRONT=5         # rules of others that one pass reports line by line
AT_ONCE=5               # passes that may come at once: then they come three in a second

room=               # directory of this watch
fine=               # this sleep knows fractions of a second
watchers=           # processes to end with the watch

watch() {
  local cause delays restore
  patient=1
  restore=1
  start_monitor
  say "watching the rules and routes of $owner"
  # The monitor may not have listened yet when the first pass looked: there is a second one.
  cause=start
  delays='100 200 400'
  while :; do
    pace
    # Whoever flushes the rules is still at it: what comes back too early goes again.
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
  # Whichever ends first, the others learn of it by what they read or write next.
  (
    trap - PIPE
    exec ip -N -o monitor label link address route rule
  ) >"$room/monitor" 2>&1 &
  watchers=$!
  read_events <"$room/monitor" >"$room/events" &
  watchers="$watchers $!"
  find_nftables
  if [ -n "$nftables" ]; then
    (
      trap - PIPE
      exec nft monitor
    ) >"$room/nft" 2>/dev/null &
    watchers="$watchers $!"
    read_nft_events <"$room/nft" &
    watchers="$watchers $!"
  fi
  # The two sides of a FIFO wait for each other here; from now on its end is that of the reader.
  exec 7<"$room/events"
}

# shellcheck disable=SC2317  # called by the trap at the end of a run
stop_monitor() {
  local child
  [ -n "$room" ] || return 0
  # bash has something to say about each of them.
  exec 2>/dev/null
  for child in $timers; do
    child=${child#*:}
    kill "${child%:*}"
  done
  # shellcheck disable=SC2086  # a list of words
  kill $watchers
  # What they were about to write would be left.
  wait
  # Something may have come between its last file and the directory, or a signal to all processes of the unit.
  rm -rf "$room" || rm -rf "$room"
}

# A storm of events that do no harm must not keep the machine busy.
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

# One look, and one repair if it takes one.
linked=        # a device or an address has changed: what is gone may be gone for that
pass() {
  local again
  due=0
  protect=
  take_lock
  again=
  linked=
  [ ! -e "$room/link" ] || linked=1
  # What happens from here on causes another pass: for this one it may be too late.
  rm -f "$room/change" "$room/link" "$room/lost"
  wanted_state
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

not_followed=  # what has been said about that
follow() {
  case $wanted in "$home"/*/state) ;; *) return 0 ;; esac
  if follow_gateways "${wanted%/state}"; then
    not_followed=
  elif [ "$problem" != "$not_followed" ]; then
    not_followed=$problem
    say "note: $problem"
  fi
  [ -z "$followed" ] || say "the gateway is now $followed"
}

# While repairs are put off, what rejects is not: clients must not leak because somebody fights.
protect_clients() {
  protect=1
  take_lock
  rm -f "$room/change"
  wanted_state
  repair
  [ "$repaired" -eq 0 ] || show_repaired
  drop_lock
}

# Tells the reader what to look after, if that has changed: before the kernel is looked at, so
# that what the reader has let pass until then is seen now.
watched=
note_places() {
  local places some file
  places=
  for file in $states; do
    { read -r _ && read -r _ some; } <"$file" && places="$places $some"
  done
  [ "$places" != "$watched" ] || return 0
  watched=$places
  printf '%s\n' "$places" >"$room/places"
  : >"$room/reread"
}

# The same for the chains of a firewall that have accept rules of ours.
watched_chains=
note_chains() {
  local chains line
  chains=
  find_accepts ''
  while IFS= read -r line; do
    case $line in
      iptables*) chains="$chains,ip ${line#* }" ;;
      ip6tables*) chains="$chains,ip6 ${line#* }" ;;
      *) chains=$chains,$line ;;
    esac
  done <"$LOCK/chains"
  [ "$chains" != "$watched_chains" ] || return 0
  watched_chains=$chains
  printf '%s,\n' "$chains" >"$room/chains"
  : >"$room/reread_chains"
  grep '^ip.*tables' "$LOCK/chains" >"$room/legacy" || return 0
  [ -z "$polled" ] || return 0
  # Old ones do not say that they are the legacy one.
  case $(iptables -V 2>/dev/null; ip6tables -V 2>/dev/null) in *nf_tables*nf_tables*) ;; *) poll_legacy ;; esac
}

# Of iptables-legacy, nobody hears what happens: looks twice a second whether its chains are as before.
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

# Names what was missing before the pass and is not any more. Sets again if that had been put back
# before, not long ago.
last=
recent=$NEWLINE  # what has been put back of late
show_repaired() {
  local still line
  still=$NEWLINE
  [ "$kill_switch_repaired" -eq 0 ] || put_back_again 'the kill switch'
  [ "$accepts_repaired" -eq 0 ] || put_back_again 'the accept rules in the firewall'
  if [ "$left" -ne 0 ]; then
    while IFS= read -r line; do
      still="$still$line$NEWLINE"
    done <"${PLAN}report"
  fi
  while IFS= read -r line; do
    case $still in *"$NEWLINE$line$NEWLINE"*) continue ;; esac
    case $line in
      +\ *) put_back_again "${line#+ }" ;;
      -\ *)
        last=${line#- }
        say "took away: $last"
        ;;
      *) say "$line" ;;
    esac
  done <"$LOCK/plan.report"
  [ "${#recent}" -lt 10000 ] || recent=$NEWLINE$last$NEWLINE
}

put_back_again() {
  last=$1
  # One line for each time would fill the journal while somebody fights.
  [ -n "$protect" ] || say "put back: $last"
  case $recent in
    *"$NEWLINE$last$NEWLINE"*) again=1 ;;
    *) recent=$recent$last$NEWLINE ;;
  esac
}

# Reports each rule that somebody has put in front of ours since the apply, once: the watch does not remove it.
seen_in_front=$NEWLINE
note_front() {
  local count line
  case $wanted in */state) ;; *) return 0 ;; esac
  in_front_since "${wanted%/state}"
  count=0
  while IFS= read -r line; do
    [ -n "$line" ] || continue
    case $seen_in_front in *"$NEWLINE$line$NEWLINE"*) continue ;; esac
    count=$((count + 1))
    [ "$count" -gt "$MOST_IN_FRONT" ] ||
      say "in front of ours since the apply: $line. It may take packets of clients: source-routing verify $owner"
    seen_in_front=$seen_in_front$line$NEWLINE
  done <<END
$in_front
END
  [ "$count" -le "$MOST_IN_FRONT" ] || say "in front of ours since the apply: $((count - MOST_IN_FRONT)) more rules"
  # Forgets only the rules that are gone.
  [ "${#seen_in_front}" -lt 10000 ] || seen_in_front=$NEWLINE$in_front
}

# What could not be put back is tried again for some seconds: an address may be there a moment
# before its subnet, and an IPv6 address is of no use before it has been checked for duplicates.
# Then only an event helps, and a person may want to know.
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
    # Somebody has taken it away again before it was looked at.
    again=1
    last=${first#+ }
  fi
}

plan_retry() {
  local delay
  if [ "$cause" != timer ] && [ "$cause" != start ]; then
    delays=$DELAYS
  fi
  if [ "$hold" -ne 0 ] || [ "$left$bare" = 00 ] && [ "$cause" != start ]; then
    return 0
  fi
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

# The daemon of a tunnel that has just come up calls the hook itself: only if it has not, or if
# something has taken away what it did, the hook is run here.
bare=0         # tunnels whose routes are missing
hopeless=      # the hook has failed
fill_hooked() {
  bare=0
  [ -z "$linked" ] || hopeless=
  case $wanted in */state) ;; *) return 0 ;; esac
  if [ -n "$hopeless" ] || ! has_hooks "${wanted%/state}"; then
    return 0
  fi
  if [ -n "$linked" ] || [ "$cause" = start ]; then
    call_hooks "${wanted%/state}" only
    bare=$tunnels
  else
    call_hooks "${wanted%/state}"
    [ "$unhooked" -eq 0 ] || hopeless=1
    [ "$tunnels" -eq "$unhooked" ] || { again=1; last='the routes of a tunnel'; }
  fi
}

# Does somebody take away again and again what is put back? A link that comes and goes, and takes
# its routes along, is no reason to wait.
hold=0
repairs=0
since=0
fought=0
note_fight() {
  if [ -n "$linked" ] || [ -z "$again" ]; then
    return 0
  fi
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
      # The file is gone if a pass came first for another reason.
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

# In time $1 await makes a pass, unless one comes earlier. A timer that is under
# way is not stopped: what is killed just after its start may, in some shells, do what its
# parent would do at its end. One that comes in time serves for this, too, so there are few.
due=0          # when the pass is to be made; 0 if none is
timers=        # NUMBER:PROCESS:TIME of those under way, each with a blank in front
timer_number=0
set_timer() {
  local each fraction time sleeper
  clock
  for each in $timers; do
    if [ "${each##*:}" -gt $((now + $1 / 2)) ] && [ "${each##*:}" -le $((now + $1)) ]; then
      due=${each##*:}
      return 0
    fi
  done
  due=$((now + $1))
  timer_number=$((timer_number + 1))
  fraction=$(($1 % 100 + 100))
  time=$(($1 / 100)).${fraction#1}
  [ -n "$fine" ] || time=$((($1 + 99) / 100))
  (
    sleeper=
    trap 'kill "$sleeper" 2>/dev/null; exit 0' TERM
    sleep "$time" &
    sleeper=$!
    # Opened for reading, too: nobody is waited for.
    wait "$sleeper" && printf 'timer %s\n' "$timer_number" 1<>"$room/events"
  ) 7<&- &
  timers="$timers $timer_number:$!:$due"
}

# Timer $1 is over. Is it time?
is_due() {
  local rest
  rest=${timers#*" $1:"}
  # Waited for, or the shell would keep its exit code for ever.
  wait "${rest%%:*}" || :
  timers="${timers%%" $1:"*} ${rest#* }"
  case $rest in *' '*) ;; *) timers=${timers%%" $1:"*} ;; esac
  clock
  [ "$due" -ne 0 ] && [ "$due" -le $((now + 2)) ]
}

# Reads what `ip monitor` prints, without a process for a line: a router may change thousands
# of routes in a second, none of them ours.
read_events() {
  local places shared line
  places=' '
  shared=
  while IFS= read -r line; do
    if [ -e "$room/reread" ]; then
      rm -f "$room/reread"
      read -r places <"$room/places"
      places=" $places "
      case $places in *:*) shared=1 ;; *) shared= ;; esac
    fi
    case $line in
      '[ROUTE]'*) ! is_our_route || tell change ;;
      '[RULE]Deleted '*) tell change ;;
      # Our own doing.
      '[RULE]'*' proto 77'* | '[RULE]'*' proto 78'*) ;;
      '[RULE]'*) tell change ;;
      # An interface of the probe, which comes and goes.
      '[LINK]'*': srprobe'* | '[ADDR]'*': srprobe'*) ;;
      '[LINK]'* | '[ADDR]'*) tell link ;;
      # Most likely "No buffer space available".
      *) tell lost ;;
    esac
  done
}

# Reads what `nft monitor` prints. Others may change their tables as often as they like.
read_nft_events() {
  local line chains
  chains=
  set -f
  while IFS= read -r line; do
    if [ -e "$room/reread_chains" ]; then
      rm -f "$room/reread_chains"
      read -r chains <"$room/chains"
    fi
    if [ -n "$chains" ]; then
      # add rule FAMILY TABLE CHAIN ..., delete chain FAMILY TABLE CHAIN
      # shellcheck disable=SC2086  # splitting is the point
      set -- $line
      case $chains in
        *",${3-} ${4-} ${5-},"*)
          case $line in
            # Our own doing.
            *" comment \"source-routing $owner\""*) ;;
            *) tell change 1<>"$room/events" ;;
          esac
          continue
          ;;
      esac
    fi
    case "$line " in
      # Opened for reading, too: nobody is waited for.
      *" source_routing_$owner "*) tell change 1<>"$room/events" ;;
    esac
  done
  echo ended 1<>"$room/events"
}

tell() {
  [ -e "$room/$1" ] || { true >"$room/$1" && echo "$1"; } 2>/dev/null || exit 1
}

# Does the event in `line` speak of a route in a place of ours, and not just of our own doing? A
# route of ours in a place that is not known shows that there may be new ones.
is_our_route() {
  local own table place destination
  own=
  case $line in *' proto 77 '* | *' proto 78 '*) own=1 ;; esac
  case $line in
    *' table '*)
      table=${line#* table }
      table=${table%% *}
      ;;
    *) table=254 ;;
  esac
  place=
  case $places in
    *" $table "*) place=$table ;;
    *)
      [ -n "$own$shared" ] || return 1
      destination=${line#*]}
      destination=${destination#Deleted }
      # A type in front of it, as a number.
      case $destination in [0-9]\ * | [0-9][0-9]\ *) destination=${destination#* } ;; esac
      case $places in *" $table:${destination%% *} "*) place=$table ;; esac
      ;;
  esac
  case $place,$own,$line in
    ,1,'[ROUTE]Deleted'*) return 1 ;;
    ,1,* | ?*,*,'[ROUTE]Deleted'*) return 0 ;;
    ?*,,*) return 0 ;;
  esac
  return 1
}
