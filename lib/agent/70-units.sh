# systemd units and up hooks.

# Makes systemd read its files again, if this run has written or removed any of them. A reload takes a quarter of a
# second or more, so there is one, and `systemctl enable` and `disable` are told not to do their own.
reload_units() {
  case $changed_files in */systemd/system/*) ;; *) return 0 ;; esac
  keeping_networks systemctl daemon-reload || fail_with 'systemctl daemon-reload failed'
}

# Disables and stops the units of generations $2... that generation $1 (may be empty) does not have.
# The unit files must still exist.
stop_stale_units() {
  local new each rest unit word
  new=$1
  shift
  for each in "$@"; do
    while read -r word unit rest; do
      [ "$word" = unit ] || continue
      [ -z "$new" ] || ! grep -q -x -F -e "unit $unit" "$new/manifest" || continue
      log_undo "disabled $unit"
      # Errors do not matter: the unit may never have been enabled, or somebody may have removed it.
      systemctl disable --now --no-reload "$unit" >/dev/null 2>&1 || :
      case $unit in *.timer) systemctl reset-failed "${unit%.timer}.service" >/dev/null 2>&1 || : ;; esac
    done <"$each/manifest"
  done
}

# Prints those of units $2... for which `systemctl $1` says no. Fails if it gives no answer.
units_that_are_not() {
  local unit answer
  systemctl "$@" >"$LOCK/answers" 2>"$LOCK/error" || :
  shift
  for unit in "$@"; do
    read -r answer || return 1
    case $answer in enabled* | static | alias | indirect | generated | active | activating | reloading) ;; *) printf '%s ' "$unit" ;; esac
  done <"$LOCK/answers"
}

# Enables units $* unless they are enabled. If systemd gives no answer, they may still be enabled: the undo must not
# disable a unit that was enabled before.
enable_units() {
  local disabled
  disabled=$(units_that_are_not is-enabled "$@") || unit_failed is-enabled "$*" || return 1
  [ -n "$disabled" ] || return 0
  # shellcheck disable=SC2086  # a list of words
  { printf 'enabled %s\n' $disabled >>"$undo_log/undo" && sync_undo &&
    systemctl enable --no-reload $disabled >/dev/null 2>"$LOCK/error"; } || unit_failed enable "${disabled% }"
}

# Prints the units of generation $1 that would not start at the next boot.
differing_units() {
  local units unit
  units=$(sed -n 's/^unit //p' "$1/manifest")
  [ -n "$units" ] || return 0
  # shellcheck disable=SC2086  # a list of words
  for unit in $(units_that_are_not is-enabled $units); do
    printf '+ unit %s (it is not enabled)\n' "$unit"
  done
}

# Starts units $*. It does not wait for the start: the unit asserts the state in force, and for that it needs the lock,
# which this run still holds. A running unit keeps the agent that it was started with, so a new agent needs a restart.
start_units() {
  local unit idle restarted
  restarted=
  idle=" $(units_that_are_not is-active "$@" || printf "%s " "$@")"
  for unit in "$@"; do
    case "$idle$changed_files" in
      *" $unit "*) ;;
      *"/$unit "* | *" $home/agent "*) log_undo "restarted $unit" ;;
      *) continue ;;
    esac
    restarted="$restarted $unit"
  done
  # shellcheck disable=SC2086  # a list of words
  [ -z "$restarted" ] || systemctl restart --no-block $restarted 2>"$LOCK/error" || unit_failed restart "${restarted# }"
}

unit_failed() {
  fail_with "systemctl $1 $2 failed" || fail "$problem; see: systemctl status $2"
}

# Runs the hooks of generation $1 for the tunnels that are up: the hook did not exist yet when their
# daemons called it. A hook that fails only causes a note: the tunnel works without it.
run_hooks() {
  families_of "$1/state"
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families
  call_hooks "$1"
}

# Like run_hooks, for callers that have read $LOCK/kernel. Sets tunnels, their number, and unhooked,
# the number of tunnels whose hook failed. With a second argument, it only counts tunnels.
call_hooks() {
  local path word its_tables device
  tunnels=0
  unhooked=0
  while read -r word _ path its_tables; do
    [ "$word" = hook ] || continue
    awk -v tables="$its_tables" "$AWK_ADDRESS$AWK_KERNEL$AWK_HOOKS" part=want "$1/state" \
      part=kernel "$LOCK/kernel" >"$LOCK/tunnels" 2>"$LOCK/error" || {
      say "note: cannot find the tunnels for $path: $(error_text 'awk failed')"
      continue
    }
    while IFS= read -r device; do
      tunnels=$((tunnels + 1))
      [ -z "${2-}" ] || continue
      if dev=$device /bin/sh "$path" "$device" >/dev/null 2>"$LOCK/error" </dev/null && [ ! -s "$LOCK/error" ]; then
        say "ran $path for $device"
      else
        unhooked=$((unhooked + 1))
        say "note: $path failed for $device: $(error_text)"
      fi
    done <"$LOCK/tunnels"
  done <"$1/manifest"
}
