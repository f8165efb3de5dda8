# The rollback timer, which is armed before the first change, and the unit that rolls back at boot.

recovery_unit=     # rolls back at boot; exists as long as the owner has anything on the machine
timer_unit=        # rolls back after the timeout
name_timer() {
  local part
  part=${trial_stage##*/}
  timer_unit=source-routing-$owner.rollback-${part:-$trial_generation}
}

has_systemd() {
  [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1
}

# Arms the rollback. Sets problem and fails if that is not possible.
arm() {
  name_timer
  if has_systemd; then
    enable_recovery || return 1
    arm_timer && return 0
    say "note: systemd-run failed ($(error_text)): a process of our own waits for the confirmation instead"
  fi
  arm_process
}

# AccuracySec is set, since systemd may otherwise be one minute late.
arm_timer() {
  systemd-run --quiet --collect --unit="$timer_unit" --on-active="${confirm_timeout}s" \
    --timer-property=AccuracySec=100ms --property=SyslogIdentifier=source-routing \
    --description="Source routing: undo what $owner does not confirm" \
    /bin/sh "$trial/agent" rollback --owner "$owner" --generation "$trial_generation" 2>"$LOCK/error" &&
    systemctl is-active --quiet "$timer_unit.timer" 2>"$LOCK/error"
}

# Without systemd, a process waits instead. It has its own session, so that the hang-up of a terminal does not reach
# it. It counts as armed only when it has made the file `armed`.
arm_process() {
  local detach timer delay
  detach=setsid
  command -v setsid >/dev/null 2>&1 || detach=
  # shellcheck disable=SC2016  # for the inner shell
  $detach /bin/sh -c '
    trap "" HUP INT
    : >"$1/armed" || exit 1
    sleep "$2"
    exec /bin/sh "$1/agent" rollback --owner "$3" --generation "$4"
  ' sh "$trial" "$confirm_timeout" "$owner" "$trial_generation" </dev/null >/dev/null 2>&1 &
  timer=$!
  for delay in 0.02 0.05 0.1 0.2 0.5 1 1 1 1 1; do
    if [ -e "$trial/armed" ]; then
      started_at "$timer"
      printf '%s %s\n' "$timer" "$started" >"$trial/timer" && return 0
    fi
    pause "$delay"
  done
  fail 'the process that would undo the change did not start'
}

# Stops the rollback timer, since the trial has ended. The timer may be this very process, which must not be killed.
disarm() {
  local timer
  [ -n "$trial_deadline" ] || return 0
  name_timer
  ! has_systemd || systemctl stop "$timer_unit.timer" >/dev/null 2>&1 || :
  first_line "$trial/timer"
  timer=${first%% *}
  [ -n "$timer" ] && [ "$timer" != $$ ] || return 0
  started_at "$timer"
  [ "$first" != "$timer $started" ] || kill -TERM "-$timer" 2>/dev/null || kill -TERM "$timer" 2>/dev/null || :
}

# Installs the unit that rolls back at boot, for a machine that goes down during a trial. It restores the files
# before the network comes up, since the network managers read them then.
enable_recovery() {
  problem="cannot write $trial (disk full, or read-only?)"
  recovery_unit_text >"$LOCK/unit" || return 1
  note_file 0644 "$LOCK/unit" "/etc/systemd/system/$recovery_unit" >"$LOCK/install" && install_noted || return 1
  enable_units "$recovery_unit"
}

recovery_unit_text() {
  cat <<END
# Managed by cdktf-source-routing: changes here are lost.
[Unit]
Description=Source routing: undo a change of $owner that was not confirmed
ConditionPathExists=$home/trial/agent
DefaultDependencies=no
RequiresMountsFor=$home
Conflicts=shutdown.target
After=local-fs.target
Before=network-pre.target source-routing-$owner.service shutdown.target
Wants=network-pre.target

[Service]
Type=oneshot
SyslogIdentifier=source-routing
ExecStart=/bin/sh $home/trial/agent rollback --owner $owner --boot

[Install]
WantedBy=multi-user.target
END
}

disable_recovery() {
  local file
  file=/etc/systemd/system/$recovery_unit
  rm -f "$file.source-routing-new"
  if has_systemd && [ -f "$file" ]; then
    systemctl disable --no-reload "$recovery_unit" >/dev/null 2>&1 || :
    rm -f "$file"
    keeping_networks systemctl daemon-reload || :
  fi
}
