# One lock for all owners. Its directory is also the scratch space of the holder. It disappears with the lock,
# and at a reboot.

locked=

# Sets started, the start time of process $1. It tells a living holder from another process with the same pid.
started_at() {
  local stat
  started=
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # The process name in brackets may hold blanks. The start time is the 20th word after it.
  # shellcheck disable=SC2086  # splitting is the point
  set -- ${stat##*) }
  started=${20-}
}

# Sets holder (pid, start, owner, command) to who holds the lock. Fails if that process is gone.
lock_holder_lives() {
  holder=
  [ ! -f "$LOCK/holder" ] || read -r holder 2>/dev/null <"$LOCK/holder" || :
  [ -n "$holder" ] || return 1
  started_at "${holder%% *}"
  case $holder in
    "${holder%% *} $started "*) [ -n "$started" ] ;;
    # With hidepid, /proc hides processes that have more rights than this one. The holder may still exist.
    *) [ -z "$started" ] && kill -0 "${holder%% *}" 2>/dev/null ;;
  esac
}

# Removes the lock of a process that is gone. Only one run may do that at a time. Otherwise the second run would
# remove the lock that the first one has just made. flock guards this step, since the kernel releases it however
# the process ends. The lock itself does not use flock: a child that hangs, or that must live on, would keep it.
break_stale_lock() {
  local stale
  command -v flock >/dev/null 2>&1 ||
    die 75 "busy, nothing was changed: a run that was killed has left $LOCK, and flock is missing, without which it cannot be taken over safely. Install it (package util-linux)"
  stale=$holder
  (
    exec 9<"$LOCK"
    # Another run may have made its own lock in the meantime.
    flock -n 9 && ! lock_holder_lives && [ "$holder" = "$stale" ] && is_seen || exit 1
    end_changes
    say "removing the lock of a run that was killed (${holder:-unknown})"
    rm -rf "$LOCK"
  ) 2>/dev/null
}

# Ends the commands with which a killed run still changes the kernel. Otherwise they would go on beside this run.
end_changes() {
  local tries processes
  for tries in 1 2 3 4 5 6 7 8 9 10; do
    processes=$(users_of "$LOCK/plan.")
    [ -n "$processes" ] || return 0
    # shellcheck disable=SC2086  # a list of words
    kill -KILL $processes 2>/dev/null || :
    pause 0.1
  done
}

# Prints the processes that have files open whose paths begin with $1. A file of a container may have the same path.
users_of() {
  local descriptor file
  # shellcheck disable=SC2012  # names of descriptors are numbers
  ls -l -n /proc/[0-9]*/fd 2>/dev/null | awk -v start="$1" '
    /^\/proc\// { directory = substr($0, 1, length($0) - 1) }
    index($NF, start) == 1 { print directory "/" $(NF - 2), $NF }' |
    while read -r descriptor file; do
      # shellcheck disable=SC3013  # all shells have it
      [ "$descriptor" -ef "$file" ] && descriptor=${descriptor#/proc/} && printf '%s ' "${descriptor%%/*}"
    done
}

# A lock without a holder may be new instead of stale. It is checked twice before it is broken.
seen=          # inode and name of the lock at the first check
is_seen() {
  [ -n "$holder" ] || [ "$(ls -di "$LOCK" 2>/dev/null)" = "$seen" ]
}

# A signal is held back until `locked` says whether the lock is ours. In between, the end of the run would leave
# our lock in place, or would remove the lock of another run.
uninterruptible=
late_signal=
make_lock() {
  uninterruptible=1
  ! mkdir "$LOCK" 2>/dev/null || locked=1
  end_uninterruptible
  [ -n "$locked" ]
}

drop_lock() {
  [ -n "$locked" ] || return 0
  uninterruptible=1
  # A signal to all processes of a unit also reaches rm, so it is tried twice.
  rm -rf "$LOCK" || rm -rf "$LOCK"
  locked=
  end_uninterruptible
}

end_uninterruptible() {
  local signal
  uninterruptible=
  signal=$late_signal
  # The end of the run drops the lock, and calls this function again.
  late_signal=
  [ -z "$signal" ] || stopped "$signal"
}

# Tries once to take the lock. Fails if another run has it.
holder=
try_lock() {
  local refused
  refused=0
  until make_lock; do
    # mkdir failed, but there is no lock. Once, another run may just have dropped it. Many times is an error.
    if [ ! -d "$LOCK" ]; then
      refused=$((refused + 1))
      [ "$refused" -lt 20 ] ||
        give_up 69 "refused, nothing was changed: cannot make the directory $LOCK: is ${LOCK%/*} missing or read-only, or are you not root?" || return 1
      continue
    fi
    refused=0
    ! lock_holder_lives || return 1
    if ! is_seen; then
      seen=$(ls -di "$LOCK" 2>/dev/null) || seen=
      return 1
    fi
    break_stale_lock || return 1
  done
  started_at $$
  { printf '%s %s %s %s\n' "$$" "$started" "$owner" "$command" >"$LOCK/holder" && has_room; } 2>/dev/null ||
    give_up 70 "nothing was changed: cannot write $LOCK/holder; is ${LOCK%/*} full?"
}

# Ends a run that cannot have the lock. A rollback keeps trying: somebody may be cut off, and its timer runs out only
# once. At boot nobody is cut off, and the network waits for the rollback.
give_up() {
  [ "$command$at_boot" = rollback ] || die "$@"
  drop_lock
  holder=
  [ -n "$told" ] || say "waiting: $2"
  told=1
  return 1
}

# Is there space for the work of a rollback? If it failed for lack of space, nobody would try it again.
has_room() {
  [ "$command$at_boot" != rollback ] || { head -c 100000 /dev/zero >"$LOCK/room" && rm -f "$LOCK/room"; }
}

# Most runs take less than a second, and the watch takes the lock again and again while interfaces change. So the lock is
# looked at ten times in the first second: `soon` of the caller counts. A lock without a holder may be as new, and is not
# looked at again so soon.
wait_a_moment() {
  [ -n "$holder" ] && [ "$soon" -lt 10 ] || return 1
  soon=$((soon + 1))
  pause 0.1
}

take_lock() {
  local waited soon
  waited=0
  soon=0
  until try_lock; do
    ! wait_a_moment || continue
    [ "$waited" -ne 0 ] || [ -z "$holder" ] || [ -z "$LOCK_WAIT" ] || say "waiting for another run (pid, start, owner, command: $holder)"
    if [ -n "$LOCK_WAIT" ] && [ "$waited" -ge "$LOCK_WAIT" ]; then
      die 75 "busy, nothing was changed: another run holds $LOCK (pid, start, owner, command: ${holder:-unknown}). Wait for it and try again; if there is no such run: rm -r $LOCK"
    fi
    waited=$((waited + 1))
    sleep 1
  done
}

# Takes the lock for a run that cannot wait. A holder that takes too long gets a TERM signal, then a KILL. Its own
# trial undoes its changes. A rollback is never killed: somebody may be cut off until that rollback is done.
seize_lock() {
  local waited soon told
  waited=0
  soon=0
  told=
  until try_lock; do
    ! wait_a_moment || continue
    waited=$((waited + 1))
    case "$waited $holder" in
      *' rollback') ;;
      "$SEIZE_AFTER "?*) kill -TERM "${holder%% *}" 2>/dev/null || : ;;
      $((2 * SEIZE_AFTER))' '?*) kill -KILL "${holder%% *}" 2>/dev/null || : ;;
    esac
    sleep 1
  done
}
