# The trial of a change: what is needed to undo it, and the decision whether to undo it.
#
# $home/trial holds a copy of the program, our rules and routes in the kernel before the change (snapshot), the log
# of all other changes (undo, kept1...), and one of three files: open, confirmed, rejected. The file `open` is made
# before the first change. Renaming it decides the trial. The file `begun` exists before the first change of a
# removal, and `applied` once all changes are made.

trial=             # directory of the trial
decision=          # open, confirmed, rejected; empty if there is no trial
trial_generation=  # as given on the command line
trial_stage=       # directory of the generation that is on trial; empty for a removal
trial_state=       # state file of that generation; /dev/null for a removal
trial_deadline=    # seconds since boot; empty if nobody will confirm
trial_ssh=         # SSH connection of the run

confirm_timeout=   # seconds; empty if the change is final at once

read_trial() {
  local value word
  trial_generation=
  trial_stage=
  trial_state=/dev/null
  trial_deadline=
  trial_ssh=
  for decision in confirmed rejected open ''; do
    [ ! -f "$trial/$decision" ] || break
  done
  [ -n "$decision" ] || return 0
  while read -r word value; do
    case $word in
      generation) trial_generation=$value ;;
      stage)
        trial_stage=$home/$value
        trial_state=$trial_stage/state
        ;;
      deadline) trial_deadline=$value ;;
      ssh) trial_ssh=$value ;;
    esac
  done <"$trial/$decision"
  # The disk did not take the decision (see decide).
  ! { [ "$decision" = open ] && same_boot && grep -q -x rejected "$MARK.$owner"; } || decision=rejected
}

# A trial of this boot has its mark in /run, which is empty after a boot. The boot id of the kernel does not serve:
# it looks different from inside a sandbox or a container.
mark_boot() {
  printf '%s\n' "$trial_generation ${trial_stage##*/}" >"$MARK.$owner"
}

same_boot() {
  first_line "$MARK.$owner"
  [ "$first" = "$trial_generation ${trial_stage##*/}" ]
}

# Is the change of this trial complete, and may it still be confirmed?
still_on_trial() {
  time_remaining
  [ "$decision" = open ] && [ -f "$trial/applied" ] && same_boot &&
    [ -n "$trial_deadline" ] && [ "$remaining" -ge $((-2 * SEIZE_AFTER)) ]
}

# Sets remaining to the seconds until the trial ends, if it has a deadline.
time_remaining() {
  clock
  remaining=$((${trial_deadline:-0} - now / 100))
}

# Begins the trial of this `apply` or `remove`. The trial is on the disk before the first change. Otherwise a power
# cut could leave half a change, and nothing to undo it with.
open_trial() {
  decision=open
  trial_generation=$generation
  trial_stage=$stage
  trial_ssh=$ssh
  # It becomes one line of a file.
  case $ssh in *[!0-9A-Za-z.:%\ _-]*) trial_ssh= ;; esac
  clock
  trial_deadline=
  [ -z "$confirm_timeout" ] || trial_deadline=$((now / 100 + confirm_timeout))
  # A half-made trial has no decision in it, so it counts as none. The program, which is that of the bundle if there is
  # one, gets its name only when it is complete: the rollback unit runs it as soon as the name exists.
  rm -rf "$trial"
  mkdir -p "$trial" && cat "$LOCK/snapshot" >"$trial/snapshot" &&
    cat "${stage:-$home}/agent" >"$trial/new" && mv "$trial/new" "$trial/agent" &&
    printf '%s\n' "kind $command" "generation $generation" ${stage:+"stage ${stage##*/}"} \
      ${trial_deadline:+"deadline $trial_deadline"} "ssh $trial_ssh" >"$trial/new" &&
    mark_boot && mv "$trial/new" "$trial/open" && { sync -f "$trial" 2>/dev/null || sync; }
}

# Removes the decision, since it is carried out. This happens before the log and the kept files are removed: with
# half of them, the decision would be carried out wrongly.
forget_decision() {
  rm -f "$trial/open" "$trial/confirmed" "$trial/rejected" 2>/dev/null || :
}

# Ends the trial: nothing is on trial any more.
close_trial() {
  forget_decision
  # On a read-only disk the trial stays. Without its mark, it does not count any more.
  rm -rf "$trial" "$MARK.$owner" 2>/dev/null || :
  undo_log=$LOCK
}

# Reads the trial. Fails unless the given generation is on trial, or any if none is given.
find_trial() {
  read_generations
  read_trial
  # A killed run may have left a trial without a decision. That run had not changed anything yet.
  [ -n "$decision" ] || { close_trial; return 1; }
  [ -z "$generation" ] || [ "$generation" = "$trial_generation" ]
}

# decide confirmed|rejected: fails if the trial was decided otherwise before, and if a confirmation cannot be written.
# A rejection must not depend on the disk, since somebody may be cut off. So the mark of the trial keeps it, too.
decide() {
  [ "$decision" = "$1" ] && return 0
  [ "$decision" != rejected ] || return 1
  if ! mv "$trial/open" "$trial/$1" 2>/dev/null; then
    [ -f "$trial/open" ] || return 1
    problem="cannot write $trial (disk full, or read-only?)"
    [ "$1" = rejected ] || return 1
    say "note: $problem: what is on trial is undone all the same"
    ! same_boot || printf 'rejected\n' >>"$MARK.$owner" || :
  fi
  decision=$1
}

# Sets states and wanted. states: the state files of all that this owner may have in the kernel. wanted: the state
# file of what the kernel must have now. It is /dev/null for nothing, and empty for "change nothing": a change is
# being undone, or a killed run has left one halfway.
wanted_state() {
  read_generations
  wanted=/dev/null
  [ -z "$current" ] || wanted=$current/state
  # shellcheck disable=SC2086  # a list of words
  states_of $current $pending
  read_trial
  [ -n "$decision" ] || return 0
  case $decision in
    rejected) ! same_boot || wanted= ;;
    open)
      # A change that was on trial when the machine went down is not tried again.
      same_boot || return 0
      # The run was killed before its first change. There is nothing to undo, and maybe nobody to close the trial.
      if [ -n "$trial_stage" ]; then
        case " $pending " in *" $trial_stage "*) ;; *) return 0 ;; esac
      else
        [ -f "$trial/begun" ] || [ -f "$trial/applied" ] || return 0
      fi
      wanted=
      [ ! -f "$trial/applied" ] || wanted=$trial_state
      ;;
    confirmed) wanted=$trial_state ;;
  esac
}

# A rollback that is over, but not complete, has left its trial. A link may have been down. The watch restores what
# was in force before, as soon as the kernel takes it.
wanted_by_watch() {
  wanted_state
  [ -n "$wanted" ] || [ "$decision" != rejected ] || [ -z "$current" ] || wanted=$current/state
}

# Ends a trial that another run has left. Waits for one that may still be confirmed. Completes one that was
# confirmed, and undoes any other.
settle_trial() {
  local told
  told=
  while read_trial && [ -n "$decision" ]; do
    if still_on_trial; then
      [ -n "$told" ] || say "waiting: generation $trial_generation of $owner is on trial, for $remaining more seconds at most (made over SSH: ${trial_ssh:-no})"
      told=1
      drop_lock
      sleep 1
      take_lock
    elif [ "$decision" = confirmed ]; then
      say "completing generation $trial_generation, which was confirmed"
      keep_change || die 70 "nothing was changed: $problem"
    else
      say "undoing what a run that was killed has left"
      decide rejected || continue
      # This run takes account of what could not be undone, and may be the one that repairs it.
      if ! go_back; then
        say "note: not everything could be undone (${incomplete#; })"
        # Undoing a first change removes the agent, but a removal needs it.
        [ -f "$home/agent" ] || cp -p "$trial/agent" "$home/agent" || :
        close_trial
      fi
      [ ! -d "$trial" ] || die 70 "undone, but nothing else was changed: cannot remove $trial (is the disk read-only?)"
    fi
    read_generations
  done
}
