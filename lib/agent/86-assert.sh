# assert: repairs the kernel's state. The boot unit runs it before the network is up.
#
# It must work before any interface is up. Rules and unreachable routes are added at once, so that
# nothing leaks. Routes through an interface follow when the interface is ready.

assert() {
  local name restore
  restore=1
  take_lock
  wanted_state
  repair
  [ -z "$accepts_problem" ] || say "note: $accepts_problem"
  case $wanted in */state) set_sysctls "${wanted%/state}" ;; esac
  if [ -z "$states" ]; then
    say "done: nothing of $owner is in force"
  elif [ -z "$wanted" ]; then
    say "done: a run of $owner was killed; what it has left is not touched"
  elif [ "$left" -eq 0 ]; then
    name=${wanted%/state}
    [ "$wanted" != /dev/null ] || name='(nothing)'
    say "done: the kernel agrees with generation ${name##*/} of $owner ($repaired repaired)"
  else
    show "${PLAN}report"
    ! misses_essentials ||
      die 70 "FAILED, $left rules or routes are still missing: $problem. Mend that, then: source-routing assert $owner"
    say "done: the rules of $owner are in force; $left routes have to wait for their device"
  fi
}

# Makes one pass: wanted and states say what the kernel must have. Sets repaired, and left: how much
# is missing afterwards. With `protect`, it only adds what rejects packets, and removes only what others have put at its
# place.
repair() {
  repaired=0
  left=0
  PLAN=$LOCK/plan.
  accepts_problem=
  : >"${PLAN}report"
  [ -n "$wanted" ] && [ -n "$states" ] || return 0
  repair_kill_switch
  repair_accepts
  repair_kernel
  repaired=$((repaired + kill_switch_repaired + accepts_repaired))
  [ -z "$kill_switch_problem" ] || left=$((left + 1))
  [ -z "$accepts_problem" ] || left=$((left + 1))
  problem=${problem:-$kill_switch_problem}
}

# Is anything missing that does not wait for an interface?
misses_essentials() {
  [ "$essential" -ne 0 ] || [ -n "$kill_switch_problem" ]
}

# Sets kill_switch_repaired, 0 or 1, and kill_switch_problem.
repair_kill_switch() {
  kill_switch_repaired=0
  kill_switch_problem=
  ! has_kill_switch_of "${wanted%/state}" || return 0
  if set_kill_switch "${wanted%/state}"; then
    kill_switch_repaired=1
  else
    kill_switch_problem=$problem
  fi
}

# Sets accepts_repaired, 0 or 1, and accepts_problem. A missing chain is no problem: its firewall drops nothing.
repair_accepts() {
  accepts_repaired=0
  accepts_problem=
  set_accepts "${wanted%/state}" || accepts_problem=$problem
  [ -z "$accepts_changed" ] || [ -n "$accepts_problem" ] || accepts_repaired=1
}

repair_kernel() {
  local planned
  problem=
  : >"$LOCK/refused"
  # shellcheck disable=SC2086  # a list of words
  look "$wanted" $states || die 70 "nothing was changed: $problem"
  ! nothing_planned || return 0
  planned=$((added + dropped))
  [ "$restored" -eq 0 ] || say "the kernel's own rules were taken away together with ours: putting them back"
  # Sets everything that can be set, even if other parts fail. The kernel itself reports which
  # interface is missing or has no address yet. The next plan uses its own files, also for errors,
  # because its awk starts while this plan is still carried out.
  # shellcheck disable=SC2086  # a list of words
  {
    carry_out -force || printf '%s\n' "$problem" >"$LOCK/refused"
    read_kernel $families
  } | PLAN=$LOCK/check. plan "$wanted" $states
  PLAN=$LOCK/check.
  read_plan || die 70 "the kernel was changed, but not looked at again: $problem"
  first_line "$LOCK/refused"
  problem=$first
  left=$((added + dropped))
  repaired=$((planned - left))
  # Something else may have been removed in between.
  [ "$repaired" -ge 0 ] || repaired=0
}
