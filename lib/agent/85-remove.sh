# remove: puts everything back and leaves nothing.

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
  ! is_taken_over || { say_taken_over; return 0; }
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  check_tools
  [ -z "$confirm_timeout" ] || begin_removal "$@"
  # A half removal is worse than a full one. If it is not on trial, it is faster to finish than to undo.
  [ -n "$changed" ] || trap '' INT TERM
  stop_stale_units '' "$@"
  remove_from_kernel "$@" || stop_removal
  drop_kill_switch || stop_removal
  set_accepts '' || stop_removal
  set_sysctls ''
  remove_stale_files '' "$@" || stop_removal
  reload_units || say "note: $problem"
  load_managers /dev/null "$@" || say "note: $problem"
  [ ! -s "$LOCK/loads" ] || remove_from_kernel "$@" || stop_removal
  if [ -n "$confirm_timeout" ]; then
    end_change
    return 0
  fi
  leave_nothing "$@" || stop_removal
  say "done: everything of $owner was removed"
}

# The last steps cannot be undone. The trial and the agent are removed last, so that a later run can continue here.
leave_nothing() {
  local each
  # Another owner may have handed a shared file over to this one, and may be gone by now.
  remove_stale_files '' "$@" || return 1
  remove_stale_directories '' "$@"
  retire '' "$@" || :
  forget_retired
  drop_textfile ''
  rm -f "$REPAIRS.$owner"
  for each in "${home:?}"/*; do
    case $each in "$home/agent" | "$home/trial") continue ;; esac
    rm -rf "$each" || fail "cannot remove $each" || return 1
  done
  disable_recovery
  close_trial
  rm -rf "$home" || fail "cannot remove $home" || return 1
  ! rmdir "$STATE" 2>/dev/null || rm -f "$KEPT"
}

begin_removal() {
  local snapshot
  states_of "$@"
  snapshot=$LOCK/snapshot
  # shellcheck disable=SC2086  # a list of words
  look /dev/null $states || die 70 "nothing was changed: $problem"
  snapshot=
  begin_change
  true >"$trial/begun" || undo "cannot write $trial/begun (disk full, or read-only?)"
}

# On trial, everything can be put back. Otherwise, the only way is to continue from here later.
stop_removal() {
  [ -z "$changed" ] || undo "$problem"
  die 71 "FAILED, not everything was removed: $problem. Mend that and run it again"
}

remove_from_kernel() {
  states_of "$@"
  # shellcheck disable=SC2086  # a list of words
  force_kernel /dev/null $states
}
