# The trial of a change: what is needed to undo it, and the decision whether to.
#
# $home/trial holds a copy of the program, what the kernel had of ours (snapshot), the log of
# what was changed besides (undo, kept1...), and one of three files: open, confirmed, rejected.
# It is `open` from before the first change; who renames it decides. The file `applied` is there
# when all changes have been made.

trial=             # its directory
decision=          # open, confirmed, rejected; empty if there is no trial
trial_kind=        # apply, remove
trial_generation=  # as the command line named it
trial_stage=       # directory of the generation that is on trial; empty for a removal
trial_state=       # its state file; /dev/null for a removal
trial_deadline=    # seconds since boot; empty if nobody will confirm
trial_ssh=         # connection of the run

confirm_timeout=   # seconds; empty if the change is final at once

read_trial() {
  local value word
  trial=$home/trial
  trial_kind=
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
      kind) trial_kind=$value ;;
      generation) trial_generation=$value ;;
      stage)
        trial_stage=$home/$value
        trial_state=$trial_stage/state
        ;;
      deadline) trial_deadline=$value ;;
      ssh) trial_ssh=$value ;;
    esac
  done <"$trial/$decision"
}

# Of this boot is a trial that has its mark in /run, which a boot leaves empty. (The kernel's own
# id of the boot looks different from inside a sandbox, or a container.)
mark_boot() {
  printf '%s\n' "$trial_generation ${trial_stage##*/}" >"$MARK.$owner"
}

same_boot() {
  first_line "$MARK.$owner"
  [ "$first" = "$trial_generation ${trial_stage##*/}" ]
}

# Is the trial that of a change that was made, and may it still be confirmed?
still_on_trial() {
  time_remaining
  [ "$decision" = open ] && [ -f "$trial/applied" ] && same_boot &&
    [ -n "$trial_deadline" ] && [ "$remaining" -ge $((-2 * SEIZE_AFTER)) ]
}

# Sets remaining: seconds until the trial is over, if it has an end.
time_remaining() {
  clock
  remaining=$((${trial_deadline:-0} - now / 100))
}

# Begins the trial of an `apply` or a `remove`. It is on the disk before the first change, or a
# power cut would leave half a change and nothing to undo it by.
open_trial() {
  trial=$home/trial
  decision=open
  trial_kind=$1
  trial_generation=$generation
  trial_stage=$stage
  trial_ssh=$ssh
  # It is to be a line of a file.
  case $ssh in *[!0-9A-Za-z.:%\ _-]*) trial_ssh= ;; esac
  clock
  trial_deadline=
  [ -z "$confirm_timeout" ] || trial_deadline=$((now / 100 + confirm_timeout))
  # What is half made has no decision in it, so it is nothing. The program gets its name when all of
  # it is there: whoever finds it runs it.
  rm -rf "$trial"
  mkdir -p "$trial" && cat "$LOCK/snapshot" >"$trial/snapshot" &&
    copy_program "$trial/new" && mv "$trial/new" "$trial/agent" &&
    printf '%s\n' "kind $1" "generation $generation" ${stage:+"stage ${stage##*/}"} \
      ${trial_deadline:+"deadline $trial_deadline"} "ssh $trial_ssh" >"$trial/new" &&
    mark_boot && mv "$trial/new" "$trial/open" && { sync -f "$trial" 2>/dev/null || sync; }
}

# The program as it was installed, or as it came with the bundle.
copy_program() {
  if [ -n "$stage" ]; then
    cat "$stage/agent" >"$1"
  else
    cat "$home/agent" >"$1"
  fi
}

# What was decided is done. Comes before the log and what was kept go: with half of them, it would be done wrongly.
forget_decision() {
  rm -f "$trial/open" "$trial/confirmed" "$trial/rejected"
}

# Nothing is on trial any more.
close_trial() {
  forget_decision
  rm -rf "$trial" "$MARK.$owner"
  undo_log=$LOCK
}

# A run that was killed may have left a trial that has no decision in it yet: nothing was changed by then.
drop_half_made() {
  [ -n "$decision" ] || close_trial
}

# decide confirmed|rejected: fails if that was decided otherwise before.
decide() {
  [ "$decision" = "$1" ] && return 0
  mv "$trial/open" "$trial/$1" 2>/dev/null || return 1
  decision=$1
}

# What must be in the kernel now: sets states, what this owner may have there, and wanted, the
# state file that says it; /dev/null for nothing, empty for hands off, as a change is being
# undone or was left half-way by a run that was killed.
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
      # What was on trial when the machine went down is not tried again.
      same_boot || return 0
      # A run that was killed before its first change: nobody may be there to undo nothing.
      case " $pending " in
        *" $trial_stage "*) ;;
        *) [ "$trial_kind" != apply ] || return 0 ;;
      esac
      wanted=
      [ ! -f "$trial/applied" ] || wanted=$trial_state
      ;;
    confirmed) wanted=$trial_state ;;
  esac
}

# A trial that another run has left: waits for one that may still be confirmed, and does what
# was decided, or must be, about any other.
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
      # What this run is about to do takes the rest into account, and may be just the mend.
      if ! go_back; then
        say "note: not everything could be undone (${incomplete#; })"
        # The way back from a first change takes the agent away, which a removal needs.
        [ -f "$home/agent" ] || cp -p "$trial/agent" "$home/agent" || :
        close_trial
      fi
    fi
    read_generations
  done
}
