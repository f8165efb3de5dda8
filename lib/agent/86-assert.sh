# assert: repair the kernel's state. What the boot unit runs.
#
# The first pass must work before any device is up: rules and unreachable routes go in at
# once, so that nothing leaks; routes through a device follow when the device is ready.

passes=0
repaired=0     # by all passes together

assert() {
  restore=1
  take_lock
  assert_once
  [ -z "$settle" ] || keep_asserting
  if [ -z "$current$pending" ]; then
    say "done: nothing of $owner is in force"
  elif [ "$left" -eq 0 ]; then
    say "done: the kernel agrees with generation ${current##*/} of $owner ($repaired repaired)"
  elif [ -n "$settle" ] || [ "$essential" -ne 0 ]; then
    show "${PLAN}report"
    die 70 "FAILED, $left rules or routes are still missing: $problem. Mend that, then: source-routing assert $owner"
  else
    show "${PLAN}report"
    say "done: the rules of $owner are in force; $left routes have to wait for their device"
  fi
}

# systemd-networkd takes foreign rules away when it starts, and devices come up late: go on
# until the kernel has agreed for long enough. The lock is free in between.
keep_asserting() {
  agreed=0
  while [ "$agreed" -lt "$settle" ] && [ "$passes" -lt "$SETTLE_LIMIT" ]; do
    drop_lock
    sleep 1
    take_lock
    before=$repaired
    assert_once
    passes=$((passes + 1))
    agreed=$((agreed + 1))
    [ "$left" -eq 0 ] && [ "$repaired" -eq "$before" ] || agreed=0
  done
}

# One pass. Adds to repaired; sets left, how much is missing after it.
assert_once() {
  left=0
  essential=0
  PLAN=$LOCK/plan.
  problem=
  : >"$LOCK/refused"
  read_generations
  wanted_state
  if [ -z "$states" ] || [ -z "$wanted" ]; then
    return 0
  fi
  # shellcheck disable=SC2086  # a list of words
  look "$wanted" $states || die 70 "nothing was changed: $problem"
  if nothing_planned; then
    return 0
  fi
  planned=$((added + dropped))
  [ "$restored" -eq 0 ] || say "the kernel's own rules were taken away together with ours: putting them back"
  # Everything that can be set is set, whatever else cannot: the kernel itself says which
  # device is not there yet, or has no address yet. The next plan has files of its
  # own: its awk starts while this one is being carried out.
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
  repaired=$((repaired + planned - added - dropped))
}
