# apply: make the machine so, or leave it as it was.

stage=         # directory of the generation that is being applied
dropped_stage= # set while the stage must go away when the run ends
changed=       # set from the first change to the last
changed_kernel=

apply() {
  check_root
  take_lock
  forget_said
  describe_bundle "$bundle"
  # Before what a trial has left is settled, which would be done by this version, too.
  check_formats
  read_generations
  settle_trial
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  stage=$(free_directory "$generation")
  dropped_stage=1
  read_bundle "$bundle" "$stage"
  preflight "$stage"
  note_directories "$stage"
  plan_change "$@"

  begin_change apply
  write_pending "$@" "$stage" || undo "cannot write $home/pending (disk full, or read-only?)"
  retire "$stage/state" || :
  install_files "$stage" || undo "$problem"
  take_adopted || undo "$problem"
  change_kernel
  change_units "$@"
  # To be in force then takes no more than a rename, for which even a full disk has room.
  printf '%s\n' "${stage##*/}" >"$trial/current" || undo "cannot write $trial/current (disk full, or read-only?)"
  ! has_hooks "$stage" || run_hooks "$stage"
  cp "${PLAN}front" "$stage/front" 2>/dev/null || undo "cannot write $stage/front (disk full, or read-only?)"
  as_expected "$stage" || undo "$problem"
  packets_pass "$stage" || undo "$problem"
  # What was started meanwhile may have moved them.
  keeps_logins || undo "$problem"
  end_change apply
}

# The last look before the change: what is to be done, and how packets go now. $* are the generations that may
# be on the machine.
plan_change() {
  local snapshot
  states_of "$@"
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

# Rules, routes and the kill switch. While they change, packets of both generations may pass.
change_kernel() {
  local old_kill_switch
  kill_switch_of "$current"
  old_kill_switch=$kill_switch
  has_kill_switch_of "$stage/state" && has_accepts "$stage" || changed_kernel=1
  widen_kill_switch "$old_kill_switch" "$kill_switch" || undo "$problem"
  if ! nothing_planned; then
    carry_out || undo "$problem"
    keeps_logins || undo "$problem"
    show "${PLAN}report"
    changed_kernel=1
    # shellcheck disable=SC2086  # a list of words
    look "$stage/state" "$stage/state" $states || undo "$problem"
    nothing_planned || undo "the kernel did not keep what was set: $(first_difference)"
  fi
  kill_switch_of "$stage"
  set_kill_switch "$kill_switch" || undo "$problem"
  set_accepts "$stage" || undo "$problem"
  set_sysctls "$stage"
  ! lacks_nftables "$stage" || say "note: $NO_KILL_SWITCH"
}

# Units and network managers, and the files that are no longer wanted. $* are the generations of before.
change_units() {
  ! units_changed || reload_units || undo "$problem"
  start_units "$stage" || undo "$problem"
  stop_stale_units "$stage" "$@"
  remove_stale_files "$stage" "$@" || undo "$problem"
  ! units_changed || reload_units || undo "$problem"
  load_managers "$stage/state" "$stage" "$@" || undo "$problem"
  check_loaded "$stage" || undo "$problem"
  # shellcheck disable=SC2086  # a list of words
  [ ! -s "$LOCK/loads" ] || hold_on "$stage/state" "$stage/state" $states || undo "$problem"
}

# What was told to read its files again may have taken rules and routes away, and takes a moment.
# Puts back what is wanted; $* is what look takes.
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
  nothing_planned && return 0
  problem="the network manager does not leave what was set: $(first_difference)"
  return 1
}

# A directory for generation $1. The id may have been used: by the one in force, if only a
# value changed, or by a run that was killed.
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

# From here on everything can be undone, by this run or, if it was asked for, without it.
begin_change() {
  open_trial "$1" || {
    close_trial
    die 70 "nothing was changed: cannot write $trial; is the disk full or read-only?"
  }
  undo_log=$trial
  changed=1
  dropped_stage=   # it goes with the trial
  [ -z "$confirm_timeout" ] || arm || undo "cannot arm the rollback, so nothing was tried: $problem"
}

# All of the `apply` or `remove` is made, and looked at. Keeps it, or leaves that to the confirmation.
end_change() {
  local what
  # From here on it is quicker to end than to go back.
  trap '' INT TERM
  changed=
  # Before anybody can decide to keep it: a power cut would leave names of files with nothing in them.
  [ ! -s "$trial/undo" ] || sync -f "$home" /etc 2>/dev/null || sync
  if [ -n "$confirm_timeout" ]; then
    : >"$trial/applied" || undo "cannot write $trial/applied (disk full?)"
    what="generation $generation of $owner"
    [ "$1" = apply ] || what="the removal of $owner"
    say "on trial: $what; undone in $confirm_timeout seconds unless it is confirmed over a new connection"
  else
    decide confirmed || undo "cannot write $trial/confirmed"
    keep_change || die 71 "FAILED: $problem. Mend that and apply again"
    say_kept
  fi
}

# pending: what may be on the machine from now on besides the generation in force.
write_pending() {
  local directory
  for directory in "$@"; do
    [ "$directory" = "$current" ] || printf '%s\n' "${directory##*/}"
  done | put_file 0600 "$home/pending"
}
