# apply: make the machine so, or leave it as it was.

stage=         # directory of the generation that is being applied
dropped_stage= # set while the stage must go away when the run ends
changed=       # set from the first change to the last

apply() {
  check_root
  take_lock
  read_generations
  # shellcheck disable=SC2086  # a list of words
  set -- $current $pending
  stage=$(free_directory "$generation")
  dropped_stage=1
  read_bundle "$bundle" "$stage"
  first_line "$stage/summary"
  size=$first
  preflight "$stage"
  note_directories "$stage"
  states_of "$@"
  snapshot=$LOCK/snapshot
  # shellcheck disable=SC2086  # a list of words
  (plan "$stage/state" $states) || :
  snapshot=
  read_plan || die 70 "nothing was changed: $problem; is there space left in ${LOCK%/*}?"
  check_management_path
  refuse_if_problems 69

  write_pending "$@" "$stage" ||
    die 70 "nothing was changed: cannot write $home/pending; is the disk full or read-only?"
  changed=1
  install_files "$stage" || undo "$problem"
  if ! nothing_planned; then
    carry_out || undo "$problem"
    show "${PLAN}report"
    changed_kernel=1
    # shellcheck disable=SC2086  # a list of words
    look "$stage/state" "$stage/state" $states || undo "$problem"
    nothing_planned || undo "the kernel did not keep what was set: $(first_difference)"
  fi
  ! units_changed || reload_units || undo "$problem"
  start_units "$stage" || undo "$problem"
  stop_stale_units "$stage" "$@"
  remove_stale_files "$stage" "$@" || undo "$problem"
  ! units_changed || reload_units || undo "$problem"
  commit || undo "cannot write $home/current"
  tidy_up "$@"
  ! has_hooks "$stage" || run_hooks "$stage"
  summary
}

changed_kernel=

# A directory for generation $1. The id may have been used: by the one in force, if only a
# value changed, or by a run that was killed.
free_directory() {
  directory=$home/$1
  number=1
  while exists "$directory"; do
    number=$((number + 1))
    directory=$home/$1.$number
  done
  printf '%s' "$directory"
}

# pending: what may be on the machine from now on besides the generation in force.
write_pending() {
  for directory in "$@"; do
    [ "$directory" = "$current" ] || printf '%s\n' "${directory##*/}"
  done | put_file 0600 "$home/pending"
}

# The one moment at which the new generation is in force. Its files must be on the disk by
# then, or a power cut would leave a name for nothing.
commit() {
  # From here on it is quicker to end than to go back.
  trap '' INT TERM
  [ -z "$changed_kernel$changed_files" ] || sync -f "$home" 2>/dev/null || :
  printf '%s\n' "${stage##*/}" | put_file 0600 "$home/current" || return 1
  changed=
  dropped_stage=
}

# Nothing here can fail in a way that matters: what is left over goes with the next run.
tidy_up() {
  remove_stale_directories "$stage" "$@"
  rm -f "$home/pending" "$stage/requires" "$stage/summary" "$stage/agent"
  for directory in "$home"/*/; do
    directory=${directory%/}
    [ "$directory" = "$stage" ] || rm -rf "$directory"
  done
}

summary() {
  if [ -z "$changed_kernel$changed_files" ]; then
    say "done: nothing to do, generation $generation of $owner is in force ($size)"
  else
    say "done: generation $generation of $owner is in force ($size)"
  fi
}

# Goes back to the snapshot and ends the run; $1 is why.
undo() {
  why=$1
  trap '' INT TERM
  changed=
  incomplete=
  say "failed: $why"
  say 'putting everything back'
  undo_units enabled
  undo_files
  undo_kernel
  if [ -f "$LOCK/undo" ] && grep -q '/systemd/\|^enabled\|^disabled' "$LOCK/undo"; then
    systemctl daemon-reload 2>/dev/null || incomplete="$incomplete; systemctl daemon-reload"
  fi
  undo_units disabled
  if [ -n "$incomplete" ]; then
    # What is pending stays written down, so that the next run accounts for it.
    dropped_stage=
    die 71 "FAILED, and not everything could be put back (${incomplete#; }): $why. Mend that, then run apply again, or: source-routing diff $owner"
  fi
  # shellcheck disable=SC2086  # a list of words
  write_pending $pending
  [ -s "$home/pending" ] || rm -f "$home/pending"
  die 70 "FAILED, and everything was put back as it was: $why"
}

undo_units() {
  [ -f "$LOCK/undo" ] || return 0
  while read -r word unit; do
    [ "$word" = "$1" ] || continue
    case $word in
      enabled) systemctl disable --now "$unit" >/dev/null 2>&1 || incomplete="$incomplete; unit $unit is still enabled" ;;
      disabled)
        { systemctl enable "$unit" && systemctl start --no-block "$unit"; } >/dev/null 2>&1 ||
          incomplete="$incomplete; unit $unit is not enabled any more"
        ;;
    esac
  done <"$LOCK/undo"
}

# The log backwards.
undo_files() {
  [ -f "$LOCK/undo" ] || return 0
  awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' "$LOCK/undo" >"$LOCK/backwards" ||
    incomplete="$incomplete; files: see $LOCK/undo"
  while read -r word number path; do
    case $word in
      absent) rm -f "$number" || incomplete="$incomplete; $number" ;;
      dir) [ ! -d "$number" ] || rmdir "$number" || incomplete="$incomplete; directory $number" ;;
      kept)
        rm -f "$path.source-routing-new"
        { cp -pP "$LOCK/kept$number" "$path.source-routing-new" && mv -f "$path.source-routing-new" "$path"; } ||
          incomplete="$incomplete; $path"
        ;;
    esac
  done <"$LOCK/backwards"
}

# The same plan as ever: wanted is the snapshot, ours is all that may have come since.
undo_kernel() {
  # shellcheck disable=SC2086  # a list of words
  if look "$LOCK/snapshot" "$stage/state" $states && { nothing_planned || carry_out; }; then
    look "$LOCK/snapshot" "$stage/state" $states && nothing_planned && return 0
  fi
  # One thing cannot be put back: put back at least the others.
  # shellcheck disable=SC2086  # a list of words
  if look "$LOCK/snapshot" "$stage/state" $states; then
    carry_out -force || :
    look "$LOCK/snapshot" "$stage/state" $states && nothing_planned && return 0
    show "${PLAN}report"
    incomplete="$incomplete; kernel: $(first_difference)"
  else
    incomplete="$incomplete; kernel: $problem"
  fi
}
