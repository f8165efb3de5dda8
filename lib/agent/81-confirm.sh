# confirm and rollback: how a trial ends.

removal=       # confirm: succeeds if nothing is left on the machine
at_boot=       # rollback: set at boot, when only files can still be on trial

# Keeps the change on trial, after it was decided. An interrupted run can be repeated. If the result
# cannot be written, it sets problem and fails, and the trial stays for the next run.
keep_change() {
  local stage
  stage=$trial_stage
  disarm
  if [ -z "$stage" ]; then
    # shellcheck disable=SC2086  # a list of words
    leave_nothing $current $pending
    return
  fi
  first_line "$stage/summary"
  size=$first
  # shellcheck disable=SC2086  # a list of words
  remove_stale_directories "$stage" $current $pending
  save_adopted
  drop_textfile "$stage"
  if [ -f "$trial/current" ]; then
    mv -f "$trial/current" "$home/current" || fail "cannot write $home/current" || return 1
  fi
  current=$stage
  pending=
  find_unused
  # shellcheck disable=SC2086  # a list of words
  retire "$stage" $unused || :
  rm -f "$home/pending" "$stage/requires" "$stage/summary" "$stage/agent" \
    "$stage/adopt" "$stage/adopted" "$stage/taken"
  # shellcheck disable=SC2086  # a list of words
  rm -rf $unused
  close_trial
}

# Finds directories of generations that are not on the machine: old ones, and those of runs that were killed
# before any change. Sets unused, with a blank in front of each: our own names contain no blanks.
# Anything else in there is not touched.
find_unused() {
  local directory
  unused=
  for directory in "$home"/*/; do
    directory=${directory%/}
    case " $current $pending $trial $trial_stage $home/adopted " in
      *" $directory "*) ;;
      *) ! is_name "${directory##*/}" || [ ! -d "$directory" ] || unused="$unused $directory" ;;
    esac
  done
}

say_kept() {
  if [ -z "$trial_stage" ]; then
    say "done: everything of $owner was removed"
  elif [ "$command" = apply ] && [ -z "$changed_kernel$changed_files" ]; then
    say "done: nothing to do, generation $trial_generation of $owner is in force ($size)"
  else
    say "done: generation $trial_generation of $owner is in force ($size)"
  fi
}

confirm() {
  local early
  check_root
  # A connection that was opened before the change was complete proves nothing.
  early=
  [ -f "$STATE/$owner/trial/applied" ] || early=1
  take_lock
  find_trial || tell_outcome
  if [ "$decision" = open ]; then
    [ -z "$ssh" ] || [ "$ssh" != "$trial_ssh" ] ||
      die 64 "this is the connection over which the change was made: it proves nothing; confirm over a new one"
    if [ -n "$early" ] || [ ! -f "$trial/applied" ] || ! same_boot; then
      reject "its connection was lost while it was being made, so nothing shows that the machine can still be reached"
      tell_outcome
    fi
  fi
  # From here on, it is faster to finish than to stop.
  trap '' INT TERM
  if ! decide confirmed; then
    [ "$decision" = rejected ] || [ ! -f "$trial/open" ] || die 70 "FAILED, it is not confirmed, and will be undone: $problem"
    go_back || :
    tell_outcome
  fi
  keep_change || die 71 "FAILED: it is confirmed, but $problem. Mend that and confirm again"
  forget_said
  say_kept
}

# Runs when there is nothing to confirm: prints the reason, and exits with the matching code.
tell_outcome() {
  local code line its_generation in_force trial_deadline
  # Keeps record from storing this outcome: it is printed right here.
  trial_deadline=
  find_unused
  # shellcheck disable=SC2086  # a list of words
  rm -rf $unused
  rmdir "$home" "$STATE" 2>/dev/null || :
  if [ -f "$SAID/$owner" ]; then
    { read -r its_generation code && IFS= read -r line; } <"$SAID/$owner" || :
    if [ -z "$generation" ] || [ "$its_generation" = "$generation" ]; then
      forget_said
      say "$line"
      exit "$code"
    fi
  fi
  if [ -n "$removal" ]; then
    ! is_taken_over || { say_taken_over; exit 0; }
    [ -z "$current$pending" ] || die 70 "ERROR: $owner was not removed: the clean-up was never run, or undone by a reboot. Try again"
    leave_nothing || die 71 "FAILED: $problem. Mend that and try again"
    die 0 "done: nothing of $owner is on this machine"
  fi
  in_force=${current##*/}
  case $in_force in
    "$generation" | "$generation".[0-9]*) die 0 "done: generation $generation of $owner is in force" ;;
  esac
  die 67 "ERROR: generation $generation of $owner is not in force (${in_force:-nothing} is): it was never made, or undone by a reboot. See: journalctl -t source-routing"
}

# Stores the failure of the last run of this owner, for a confirmation that comes too late.
record() {
  case $command in
    apply | remove | rollback | confirm) ;;
    *) return 0 ;;
  esac
  [ "$1" -ne 0 ] && [ "$1" -ne 64 ] && [ -n "$confirm_timeout$trial_deadline" ] || return 0
  { mkdir -p "$SAID" && printf '%s %s\n%s\n' "${trial_generation:-$generation}" "$1" "$2" |
    put_file 0600 "$SAID/$owner"; } 2>/dev/null || rmdir "$SAID" 2>/dev/null || :
}

forget_said() {
  exists "$SAID/$owner" || return 0
  rm -f "$SAID/$owner"
  rmdir "$SAID" 2>/dev/null || :
}

rollback() {
  check_root
  # Until the rollback is done, the machine may be unreachable for everybody.
  seize_lock
  trap '' INT TERM
  if ! find_trial; then
    say "done: nothing of $owner is on trial"
    return 0
  fi
  if [ "$decision" = confirmed ]; then
    keep_change || die 70 "FAILED: $problem"
    say "done: generation $trial_generation of $owner was confirmed before"
    return 0
  fi
  if [ -n "$at_boot" ]; then
    reject 'the machine went down before it was confirmed'
  elif [ -n "$generation" ]; then
    reject 'it was not confirmed over a new connection in time; most likely it cut the way to this machine'
  else
    reject 'somebody asked for that'
  fi
  say "done: what $owner had before is in force again"
}

# Rejects the change on trial, undoes it, and tells the client that made it.
reject() {
  local tried
  decide rejected || return 0
  tried="generation $trial_generation of $owner"
  [ -n "$trial_stage" ] || tried="the removal of $owner"
  go_back || die 71 "FAILED, $tried was undone, but not completely (${incomplete#; }): $1. Mend that, then: source-routing rollback $owner"
  say "ROLLED BACK: $tried was undone: $1"
  record 67 "ROLLED BACK, everything is as it was: $tried was undone: $1"
  reset_connection
}

# After a cut, TCP waits longer before each retry, so it may need up to a minute after the path is
# back. The reset lets the client at the other end of the run's connection know at once.
reset_connection() {
  [ -z "$at_boot" ] && command -v ss >/dev/null 2>&1 || return 0
  # shellcheck disable=SC2086  # four words
  set -- $trial_ssh
  [ $# -eq 4 ] || return 0
  case $1 in
    *%*) return 0 ;;
    *:*) set -- "[$1]" "$2" "$3" "$4" ;;
  esac
  ss -K -t -n state established dst "$1" dport = ":$2" sport = ":$4" >/dev/null 2>&1 || :
}
