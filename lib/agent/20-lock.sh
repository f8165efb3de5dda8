# One lock for all owners. The directory is also the scratch space of its holder: it goes
# away with the lock, and with a reboot.

locked=
patient=       # wait as long as it takes, without a word

# When a process began: tells a living holder from another process with the same number.
started_at() {
  local stat
  started=
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # The name in brackets may hold blanks; 20 words after it comes the start time.
  # shellcheck disable=SC2086  # splitting is the point
  set -- ${stat##*) }
  started=${20-}
}

# Who holds the lock: sets holder (pid, start, owner, command); fails if that process is gone.
lock_holder_lives() {
  holder=
  [ ! -f "$LOCK/holder" ] || read -r holder 2>/dev/null <"$LOCK/holder" || :
  [ -n "$holder" ] || return 1
  started_at "${holder%% *}"
  case $holder in
    "${holder%% *} $started "*) [ -n "$started" ] ;;
    # Where /proc hides what may do more than this process (hidepid), it may be there all the same.
    *) [ -z "$started" ] && kill -0 "${holder%% *}" 2>/dev/null ;;
  esac
}

# Takes away the lock of a process that is gone. Only one run may do that at a time, or the
# second would take away the lock that the first has just made. The kernel frees what flock holds
# when its process ends, however it ends. (The lock itself is none of flock's: a child that
# hangs, or that is meant to live on, would keep it.)
break_stale_lock() {
  local stale
  command -v flock >/dev/null 2>&1 ||
    die 75 "busy, nothing was changed: a run that was killed has left $LOCK, and flock is missing, without which it cannot be taken over safely. Install it (package util-linux)"
  stale=$holder
  (
    exec 9<"$LOCK"
    # Another run may have made a lock of its own since.
    flock -n 9 && ! lock_holder_lives && [ "$holder" = "$stale" ] && is_seen || exit 1
    say "removing the lock of a run that was killed (${holder:-unknown})"
    rm -rf "$LOCK"
  ) 2>/dev/null
}

# A lock without a name may be just made, not stale: it is looked at twice before it is broken.
seen=          # inode and name of the lock that was looked at first
is_seen() {
  [ -n "$holder" ] || [ "$(ls -di "$LOCK" 2>/dev/null)" = "$seen" ]
}

# A signal waits until it is noted whose the lock is: in between, the lock would stay, or that of
# another run would go.
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
  # Signals to all processes of a unit reach it, too.
  rm -rf "$LOCK" || rm -rf "$LOCK"
  locked=
  end_uninterruptible
}

end_uninterruptible() {
  local signal
  uninterruptible=
  signal=$late_signal
  # The end of the run drops the lock, and comes here again.
  late_signal=
  [ -z "$signal" ] || stopped "$signal"
}

# One try: fails if another run has the lock.
holder=
try_lock() {
  local refused
  refused=0
  until make_lock; do
    # Not there and yet not to be made: once, it may have gone in between; not many times.
    if [ ! -d "$LOCK" ]; then
      refused=$((refused + 1))
      [ "$refused" -lt 20 ] || die 69 "refused, nothing was changed: cannot make the directory $LOCK: is ${LOCK%/*} missing or read-only, or are you not root?"
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
  printf '%s %s %s %s\n' "$$" "$started" "$owner" "$command" 2>/dev/null >"$LOCK/holder" ||
    die 70 "nothing was changed: cannot write $LOCK/holder; is ${LOCK%/*} full?"
}

take_lock() {
  local waited
  waited=0
  until try_lock; do
    [ "$waited" -ne 0 ] || [ -z "$holder" ] || [ -n "$patient" ] || say "waiting for another run (pid, start, owner, command: $holder)"
    if [ "$waited" -ge "$LOCK_WAIT" ] && [ -z "$patient" ]; then
      die 75 "busy, nothing was changed: another run holds $LOCK (pid, start, owner, command: ${holder:-unknown}). Wait for it and try again; if there is no such run: rm -r $LOCK"
    fi
    waited=$((waited + 1))
    sleep 1
  done
}

# For what cannot wait: a run that has held the lock for too long is told to end, then killed.
# What it has changed is undone by its own trial. A rollback is left alone: somebody may be cut off until it
# is done, too.
seize_lock() {
  local waited
  waited=0
  until try_lock; do
    waited=$((waited + 1))
    case "$waited $holder" in
      *' rollback') ;;
      "$SEIZE_AFTER "?*) kill -TERM "${holder%% *}" 2>/dev/null || : ;;
      $((2 * SEIZE_AFTER))' '?*) kill -KILL "${holder%% *}" 2>/dev/null || : ;;
    esac
    sleep 1
  done
}
