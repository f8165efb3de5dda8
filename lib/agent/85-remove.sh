# remove: put everything back, leave nothing.

remove() {
  check_root
  take_lock
  forget_said
  read_generations
  settle_trial
  if [ ! -d "$home" ]; then
    rmdir "$STATE" 2>/dev/null || :
    say "done: there is nothing of $owner on this machine"
    return 0
  fi
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  check_tools
  [ "$PROBLEMS" -eq 0 ] || die 69 "refused, nothing was changed: $problem"
  [ -z "$confirm_timeout" ] || begin_removal "$@"
  # Half removed is worse than removed: from here on it is quicker to end.
  [ -n "$changed" ] || trap '' INT TERM
  stop_stale_units '' "$@"
  remove_from_kernel "$@" || stop_removal
  drop_kill_switch || stop_removal
  set_accepts '' || stop_removal
  set_sysctls ''
  remove_stale_files '' "$@" || stop_removal
  ! units_changed || reload_units || say "note: $problem"
  load_managers /dev/null "$@" || say "note: $problem"
  [ ! -s "$LOCK/loads" ] || remove_from_kernel "$@" || stop_removal
  if [ -n "$confirm_timeout" ]; then
    end_change remove
    return 0
  fi
  leave_nothing "$@" || stop_removal
  say "done: everything of $owner was removed"
}

# The last steps, which cannot be undone. The trial and the agent go last: whoever finds them goes on from here.
leave_nothing() {
  local each
  # Another owner may have left a shared file to this one, and be gone by now.
  remove_stale_files '' "$@" || return 1
  remove_stale_directories '' "$@"
  retire /dev/null "$@" || :
  forget_retired
  for each in "${home:?}"/*; do
    case $each in "$home/agent" | "$home/trial") continue ;; esac
    rm -rf "$each" || { problem="cannot remove $each"; return 1; }
  done
  disable_recovery
  close_trial
  rm -rf "$home" || { problem="cannot remove $home"; return 1; }
  ! rmdir "$STATE" 2>/dev/null || rm -f "$KEPT"
}

begin_removal() {
  local snapshot
  states_of "$@"
  snapshot=$LOCK/snapshot
  # shellcheck disable=SC2086  # a list of words
  look /dev/null $states || die 70 "nothing was changed: $problem"
  snapshot=
  begin_change remove
}

# On trial everything can be put back; else, go on from here is all that can be done.
stop_removal() {
  [ -z "$changed" ] || undo "$problem"
  die 71 "FAILED, not everything was removed: $problem. Mend that and run it again"
}

remove_from_kernel() {
  states_of "$@"
  # shellcheck disable=SC2086  # a list of words
  look /dev/null $states || return 1
  nothing_planned && return 0
  carry_out || carry_out -force || :
  show "${PLAN}report"
  # shellcheck disable=SC2086  # a list of words
  look /dev/null $states || return 1
  nothing_planned && return 0
  problem="the kernel still has: $(first_difference)"
  return 1
}
