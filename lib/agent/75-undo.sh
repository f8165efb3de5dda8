# Rollback: restores the state from before a change.

# Rolls back a run that failed, and ends it; $1 is the reason.
undo() {
  local why
  why=$1
  trap '' INT TERM
  changed=
  say "failed: $why"
  say 'putting everything back'
  decide rejected || die 71 "FAILED: $why. And what to do about it was decided by someone else: see source-routing status $owner"
  if go_back; then
    find_before_change
    die 70 "FAILED, and everything was put back as it was: $why$before_change"
  fi
  die 71 "FAILED, and not everything could be put back (${incomplete#; }): $why. Mend that, then: source-routing rollback $owner"
}

# Undoes the change on trial, after its rejection was decided. An interrupted undo can be repeated.
# Sets incomplete, and fails, if something could not be put back: then the trial stays, so that
# the next run tries again.
go_back() {
  local stage
  incomplete=
  stage=$trial_stage
  undo_log=$trial
  # The kernel comes first: its rules or routes may have cut somebody off. After a boot it has nothing to undo.
  if same_boot; then
    widen_kill_switch "$stage" "$current" || incomplete="$incomplete; $problem"
    undo_kernel
  fi
  set_kill_switch "$current" || incomplete="$incomplete; $problem"
  set_accepts "$current" || incomplete="$incomplete; $problem"
  set_sysctls "$current"
  undo_units enabled
  undo_files
  if [ -f "$trial/undo" ] && grep -q '/systemd/system/\|^enabled\|^disabled' "$trial/undo" && has_systemd; then
    keeping_networks systemctl daemon-reload || incomplete="$incomplete; systemctl daemon-reload"
  fi
  undo_units disabled
  undo_units restarted
  undo_loads
  disarm
  [ -z "$incomplete" ] || return 1
  forget_pending
  if same_boot && [ -n "$stage" ]; then
    retire "$current" "$stage" || :
    [ -n "$current" ] || forget_retired
  fi
  # The recovery unit is disabled last: after a power cut, it continues this rollback at the next boot.
  ! grep -q -x -F "absent /etc/systemd/system/$recovery_unit" "$trial/undo" 2>/dev/null || disable_recovery
  forget_decision
  rm -rf "$stage" 2>/dev/null || :
  close_trial
  # Removes them only if they are empty: a first apply that failed leaves nothing.
  rmdir "$home" "$STATE" 2>/dev/null || :
}

# Removes the stage from the list of pending generations: it is not on the machine any more.
forget_pending() {
  rm -f "$home/pending.source-routing-new"
  [ -f "$home/pending" ] || return 0
  grep -v -x -F -e "${stage##*/}" "$home/pending" >"$LOCK/pending" || :
  put_file 0600 "$home/pending" <"$LOCK/pending"
  [ -s "$home/pending" ] || rm -f "$home/pending"
} 2>/dev/null

undo_units() {
  local unit word
  [ -f "$trial/undo" ] || return 0
  while read -r word unit; do
    [ "$word" = "$1" ] || continue
    case $word in
      enabled)
        [ "$unit" != "$recovery_unit" ] || continue
        # If the unit file is gone, an earlier try has disabled it: systemd does not know the unit any more.
        systemctl disable --now --no-reload "$unit" >/dev/null 2>&1 || ! exists "/etc/systemd/system/$unit" ||
          incomplete="$incomplete; unit $unit is still enabled"
        ;;
      disabled)
        { systemctl enable "$unit" && systemctl start --no-block "$unit"; } >/dev/null 2>&1 ||
          incomplete="$incomplete; unit $unit is not enabled any more"
        ;;
      restarted) systemctl try-restart --no-block "$unit" >/dev/null 2>&1 || : ;;
    esac
  done <"$trial/undo"
}

# Makes the network managers read their restored files. They may remove rules and routes while they
# reload, so the kernel is restored once more.
undo_loads() {
  [ -f "$trial/undo" ] || return 0
  grep '^loaded ' "$trial/undo" >"$LOCK/loads" || :
  # At boot, netplan read the files of the change, so it must read them again.
  ! grep -q ' /etc/netplan/' "$trial/undo" || printf 'loaded netplan\n' >>"$LOCK/loads"
  [ -s "$LOCK/loads" ] || return 0
  # firewalld is loaded last, so all others are done. It reads the restored file when it can be reloaded.
  load "$LOCK/loads" "$trial/snapshot" || case $problem in
    firewall-cmd*) say "note: $problem" ;;
    *) incomplete="$incomplete; $problem" ;;
  esac
  ! same_boot || undo_kernel
}

# Undoes the logged changes to files, the latest one first.
undo_files() {
  local path word number
  [ -f "$trial/undo" ] || return 0
  awk '{ line[NR] = $0 } END { for (i = NR; i > 0; i--) print line[i] }' "$trial/undo" >"$LOCK/backwards" ||
    incomplete="$incomplete; files: see $trial/undo"
  while read -r word number path; do
    case $word in
      absent)
        [ "$number" != "/etc/systemd/system/$recovery_unit" ] || continue
        rm -f "$number" "$number.source-routing-new" || incomplete="$incomplete; $number"
        ;;
      dir) [ ! -d "$number" ] || rmdir "$number" || incomplete="$incomplete; directory $number" ;;
      kept)
        rm -f "$path.source-routing-new"
        put_back "$trial/kept$number" "$path" || incomplete="$incomplete; $path"
        ;;
    esac
  done <"$LOCK/backwards"
}

# Puts back the original file as a hard link, or a copy of it if it is on another disk. The kept file
# stays, in case this must be repeated.
put_back() {
  # The original is still in place: nothing has replaced it.
  # shellcheck disable=SC3013  # all shells have it, and POSIX has since 2024
  [ ! -L "$1" ] && [ "$1" -ef "$2" ] && return 0
  { [ ! -L "$1" ] && ln "$1" "$2.source-routing-new" 2>/dev/null; } || cp -pP "$1" "$2.source-routing-new" || return 1
  mv -f "$2.source-routing-new" "$2"
}

# Restores the kernel with the usual plan: the snapshot is what is wanted. All rules and routes that
# may have been added since count as ours.
undo_kernel() {
  # shellcheck disable=SC2086  # a list of words
  states_of $current $pending ${stage:+"$stage"}
  # shellcheck disable=SC2086  # a list of words
  force_kernel "$trial/snapshot" $states || incomplete="$incomplete; $problem"
}
