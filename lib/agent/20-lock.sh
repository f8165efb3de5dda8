# One lock for all owners. The directory is also the scratch space of its holder: it goes
# away with the lock, and with a reboot.

locked=
patient=       # wait as long as it takes, without a word

# When a process began: tells a living holder from another process with the same number.
started_at() {
  started=
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # The name in brackets may hold blanks; 20 words after it comes the start time.
  # shellcheck disable=SC2086  # splitting is the point
  set -- ${stat##*) }
  started=${20-}
}

# Who holds the lock: sets holder (pid, start, owner); fails if that process is gone.
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
# second would take away the lock that the first has just made.
break_stale_lock() {
  mkdir "$LOCK.break" 2>/dev/null || return 1
  if ! lock_holder_lives; then
    say "removing the lock of a run that was killed (${holder:-unknown})"
    rm -rf "$LOCK"
  fi
  rmdir "$LOCK.break"
}

take_lock() {
  waited=0
  refused=0
  until mkdir "$LOCK" 2>/dev/null; do
    # Not there and yet not to be made: once, it may have gone in between; not many times.
    if [ ! -d "$LOCK" ]; then
      refused=$((refused + 1))
      [ "$refused" -lt 20 ] || die 69 "refused, nothing was changed: cannot make the directory $LOCK: is ${LOCK%/*} missing or read-only, or are you not root?"
      continue
    fi
    refused=0
    # A lock without a name may be just made, not stale: look twice before breaking it.
    if lock_holder_lives; then
      [ "$waited" -ne 0 ] || [ -n "$patient" ] || say "waiting for another run (pid, start, owner: $holder)"
    elif [ "$waited" -ne 0 ] || [ -n "$holder" ]; then
      break_stale_lock && continue
    fi
    if [ "$waited" -ge "$LOCK_WAIT" ] && [ -z "$patient" ]; then
      die 75 "busy, nothing was changed: another run holds $LOCK (pid, start, owner: ${holder:-unknown}). Wait for it and try again; if there is no such run, remove $LOCK and $LOCK.break"
    fi
    waited=$((waited + 1))
    sleep 1
  done
  locked=1
  started_at $$
  printf '%s %s %s\n' "$$" "$started" "$owner" >"$LOCK/holder"
}

drop_lock() {
  [ -z "$locked" ] || rm -rf "$LOCK"
  locked=
}
