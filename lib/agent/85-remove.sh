# remove: put everything back, leave nothing.

remove() {
  check_root
  take_lock
  read_generations
  if [ ! -d "$home" ]; then
    rmdir "$STATE" 2>/dev/null || :
    say "done: there is nothing of $owner on this machine"
    return 0
  fi
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  check_tools
  [ "$PROBLEMS" -eq 0 ] || die 69 "refused, nothing was changed: $problem"
  # Half removed is worse than removed: from here on it is quicker to end.
  trap '' INT TERM
  stop_stale_units '' "$@"
  remove_from_kernel "$@" || die 71 "FAILED, not everything was removed: $problem. Mend that and run it again"
  remove_stale_files '' "$@" || die 71 "FAILED, not everything was removed: $problem. Mend that and run it again"
  ! units_changed || reload_units || say "note: $problem"
  remove_stale_directories '' "$@"
  rm -rf "$home" || die 71 "FAILED, not everything was removed: cannot remove $home. Mend that and run it again"
  rmdir "$STATE" 2>/dev/null || :
  say "done: everything of $owner was removed"
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
