# apply: makes the machine match the bundle, or leaves it as it was.

stage=         # directory of the generation that is being applied
dropped_stage= # set while the stage must go away when the run ends
changed=       # set from the first change of the machine to the last
changed_kernel=

apply() {
  check_root
  take_lock
  forget_said
  describe_bundle "$bundle"
  # Comes before settle_trial: that would handle an earlier trial with this version, too.
  check_formats
  read_generations
  settle_trial
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  states_of "$@"
  stage=$(free_directory "$generation")
  dropped_stage=1
  read_bundle "$bundle" "$stage"
  note_anchor
  preflight "$stage"
  note_directories "$stage"
  plan_change

  begin_change
  write_pending "$@" "$stage" || undo "cannot write $home/pending (disk full, or read-only?)"
  retire "$stage" || :
  install_files "$stage" || undo "$problem"
  take_adopted || undo "$problem"
  change_kernel
  change_units "$@"
  # With this file, a rename is enough to put the generation in force. A rename works even on a full disk.
  printf '%s\n' "${stage##*/}" >"$trial/current" || undo "cannot write $trial/current (disk full, or read-only?)"
  ! grep -q '^hook ' "$stage/manifest" || run_hooks "$stage"
  cp "${PLAN}front" "$stage/front" 2>/dev/null || undo "cannot write $stage/front (disk full, or read-only?)"
  as_expected "$stage" || undo "$problem"
  packets_pass "$stage" || undo "$problem"
  # Units and hooks that this run has started may have moved the logins to another path.
  keeps_logins || undo "$problem"
  end_change
}

# Notes whose declaration the new generation is, and which ones it takes over from: their clean-ups must not remove it.
note_anchor() {
  local before
  [ -n "$anchor" ] || return 0
  before=/dev/null
  [ -z "$current" ] || [ ! -f "$current/anchor" ] || before=$current/anchor
  { printf '%s\n' "$anchor" && awk -v anchor="$anchor" '$0 != anchor && NR < 100' "$before"; } >"$stage/anchor" ||
    die 70 "cannot write $stage/anchor, nothing was changed: is the disk full or read-only?"
  first_line "$before"
  [ "${first:-$anchor}" = "$anchor" ] ||
    say "note: another declaration has configured $owner on this machine before. If that is still there, give each an owner of its own"
}

# Looks a last time before the change: plans it, and notes how packets go now.
plan_change() {
  local snapshot
  [ ! -f "$stage/adopted" ] || states="$states $stage/adopted"
  snapshot=$LOCK/snapshot
  # shellcheck disable=SC2086  # a list of words
  (plan "$stage/state" $states) || :
  read_plan || die 70 "nothing was changed: $problem; is there space left in ${LOCK%/*}?"
  check_gateways
  refuse_if_problems 69
  note_ways "$stage"
  note_logins
}

# Changes rules, routes and the kill switch. Meanwhile, the kill switch lets packets of both generations pass.
change_kernel() {
  has_kill_switch_of "$stage" && look_at_accepts "$stage" && holds_accepts || changed_kernel=1
  widen_kill_switch "$current" "$stage" || undo "$problem"
  if ! nothing_planned; then
    carry_out || undo "$problem"
    keeps_logins || undo "$problem"
    show "${PLAN}report"
    changed_kernel=1
    # shellcheck disable=SC2086  # a list of words
    look "$stage/state" "$stage/state" $states || undo "$problem"
    nothing_planned || undo "the kernel did not keep what was set: $(first_difference)"
  fi
  if [ -n "$changed_kernel" ]; then
    set_kill_switch "$stage" || undo "$problem"
    set_accepts "$stage" || undo "$problem"
  fi
  set_sysctls "$stage"
  ! grep -q -x 'without nftables' "$stage/manifest" || say "note: $NO_KILL_SWITCH"
}

# Changes units and network managers, and removes stale files. $* are the previous generations.
change_units() {
  local units
  units=$(sed -n 's/^unit //p' "$stage/manifest")
  # shellcheck disable=SC2086  # a list of words
  [ -z "$units" ] || enable_units $units || undo "$problem"
  stop_stale_units "$stage" "$@"
  remove_stale_files "$stage" "$@" || undo "$problem"
  reload_units || undo "$problem"
  # shellcheck disable=SC2086  # a list of words
  [ -z "$units" ] || start_units $units || undo "$problem"
  load_managers "$stage/state" "$stage" "$@" || undo "$problem"
  check_loaded "$stage" || undo "$problem"
  # shellcheck disable=SC2086  # a list of words
  [ ! -s "$LOCK/loads" ] || hold_on "$stage/state" "$stage/state" $states || undo "$problem"
}

# A network manager that reloads its files may remove rules and routes, and may do so after a moment.
# Puts back what is wanted until it stays; $* are the arguments of look.
hold_on() {
  local steady delay
  steady=0
  for delay in 0.1 0.2 0.4 0.8 1 1; do
    look "$@" || return 1
    if nothing_planned; then
      steady=$((steady + 1))
    else
      steady=0
      carry_out -force || :
    fi
    [ "$steady" -lt 3 ] || return 0
    pause "$delay"
  done
  look "$@" || return 1
  nothing_planned || fail "the network manager does not leave what was set: $(first_difference)"
}

# Prints an unused directory for generation $1. The id may already be in use: by the generation in
# force, if only a value changed, or by a run that was killed.
free_directory() {
  local directory number
  directory=$home/$1
  number=1
  while exists "$directory"; do
    number=$((number + 1))
    directory=$home/$1.$number
  done
  printf '%s' "$directory"
}

# From here on everything can be undone: by this run or, with a confirmation timeout, without it.
begin_change() {
  open_trial || {
    close_trial
    die 70 "nothing was changed: cannot write $trial; is the disk full or read-only?"
  }
  undo_log=$trial
  changed=1
  dropped_stage=   # the end of the trial removes it
  [ -z "$confirm_timeout" ] || arm || undo "cannot arm the rollback, so nothing was tried: $problem"
}

# Runs when all of the `apply` or `remove` is done and checked. Keeps the change, or leaves it on trial until it
# is confirmed.
end_change() {
  local what
  # From here on, it is faster to finish than to undo.
  trap '' INT TERM
  changed=
  # Must happen before the change can be kept: after a power cut, unsynced files would be empty.
  [ ! -s "$trial/undo" ] || sync -f "$home" /etc 2>/dev/null || sync
  if [ -n "$confirm_timeout" ]; then
    true >"$trial/applied" || undo "cannot write $trial/applied (disk full?)"
    what="generation $generation of $owner"
    [ -n "$trial_stage" ] || what="the removal of $owner"
    say "on trial: $what; undone in $confirm_timeout seconds unless it is confirmed over a new connection"
  else
    decide confirmed || undo "cannot write $trial/confirmed"
    keep_change || die 71 "FAILED: $problem. Mend that and apply again"
    say_kept
  fi
}

# Writes the file pending: the generations that may be on the machine besides the one in force.
write_pending() {
  local directory
  for directory in "$@"; do
    [ "$directory" = "$current" ] || printf '%s\n' "${directory##*/}"
  done | put_file 0600 "$home/pending"
}
