# status, verify, diff: these only look, and change nothing. verify and diff also try packets of clients.

# Takes the lock, and sets current and wanted to what is in force or on trial. If there is neither, it sets problem
# and fails.
in_force() {
  LOCK_WAIT=10
  take_lock
  hold_output
  wanted_state
  [ -n "$states" ] || fail "nothing of $owner is in force on this machine; the owners here: $(owners)" || return 1
  problem="a change of $owner was killed half-way, and will be undone. At once: source-routing rollback $owner"
  case $decision in
    '') ;;
    open) if [ "$wanted" = "$trial_state" ]; then show_trial; fi ;;
    *) problem="a change of $owner is being undone. If that lasts: source-routing rollback $owner" ;;
  esac
  [ -n "$wanted" ]
}

# Compares kernel and files with the generation in force. Writes the differences to $LOCK/differences.
compare() {
  # shellcheck disable=SC2086  # a list of words
  look "$wanted" $states || die 1 "$problem"
  : >"$LOCK/files"
  : >"$LOCK/missing"
  : >"$LOCK/disagreements"
  has_kill_switch_of "${wanted%/state}" || printf '+ kill switch (nftables table inet source_routing_%s)\n' "$owner" >"$LOCK/missing"
  if [ -n "$current" ]; then
    differing_files "$current" >"$LOCK/files"
    { differing_accepts "$current"; differing_sysctls "$current"; differing_units "$current"; } >>"$LOCK/missing"
    ask_kernel "$current" || die 1 "$problem"
  fi
  cat "${PLAN}report" "$LOCK/missing" "$LOCK/files" "$LOCK/disagreements" >"$LOCK/differences"
}

# Checks the generation on trial like the one in force.
on_trial=
show_trial() {
  current=$trial_stage
  pending=
  time_remaining
  on_trial=" (on trial, for $remaining more seconds at most)"
}

owners() {
  local list directory
  list=
  for directory in "$STATE"/*/; do
    [ ! -d "$directory" ] || { directory=${directory%/}; list="$list${list:+, }${directory##*/}"; }
  done
  printf '%s' "${list:-none}"
}

# Prints what to do about the differences.
advice() {
  if [ -n "$pending" ]; then
    printf 'a run was killed: apply again, or: source-routing remove %s' "$owner"
  elif [ -s "$LOCK/files" ] || grep -q '^+ unit ' "$LOCK/missing"; then
    printf 'apply again'
  elif [ -s "$LOCK/stopped" ]; then
    printf 'change what the lines name, then: source-routing probe %s' "$owner"
  elif nothing_planned && [ ! -s "$LOCK/missing" ]; then
    printf 'see "ip rule" and "ip route show table all" for what stands in front of ours'
  else
    printf 'source-routing assert %s' "$owner"
  fi
}

conclude() {
  local name not_as_expected count
  name=${current##*/}
  if [ ! -s "$LOCK/differences" ] && [ -z "$pending" ]; then
    say "done: kernel and files agree with generation ${name:-(nothing)} of $owner$on_trial"
    return 0
  fi
  not_as_expected=
  [ ! -s "$LOCK/disagreements" ] && [ ! -s "$LOCK/stopped" ] || not_as_expected=', ! not as expected'
  count=$(($(wc -l <"$LOCK/differences")))
  die 1 "$count differences from generation ${name:-(none in force)} of $owner$on_trial (+ missing, - in the way$not_as_expected). To mend: $(advice)"
}

# Looks at the machine. If nothing is in force, it sets problem and fails.
observe() {
  in_force || { : >"$LOCK/differences"; return 1; }
  compare
  try_clients
}

# Tries packets of clients, and adds those that are stopped to the differences. With other differences, packets could
# fail because of those, so only a clean machine is probed.
probed='not tried'
try_clients() {
  [ ! -s "$LOCK/differences" ] && [ -n "$current" ] && find_stopped "$current" || return 0
  probed=passed
  [ ! -s "$LOCK/stopped" ] || probed=failed
  cat "$LOCK/stopped" >>"$LOCK/differences"
}

verify() {
  observe || { write_textfile 0; die 1 "$problem"; }
  write_textfile "$([ -n "$pending" ] && echo 0 || echo 1)"
  show "$LOCK/differences"
  conclude
}

status() {
  [ -z "$as_json" ] || { status_json; return; }
  in_force || die 1 "$problem"
  compare
  say "owner $owner: generation ${current##*/} in force$on_trial${pending:+, and a run that was killed}"
  [ -z "$current" ] || status_of "$current"
  show "$LOCK/differences"
  (conclude) || :
}

# Writes rules and default routes of others to $LOCK/in_front, one a line: those in front of ours that were added after
# generation $1 was applied.
find_in_front() {
  : >"$LOCK/in_front"
  [ -s "${PLAN}front" ] && [ -f "$1/front" ] || return 0
  awk 'part == "known" { KNOWN[$0]; next } !($0 in KNOWN)' part=known "$1/front" part=now "${PLAN}front" >"$LOCK/in_front"
}

status_of() {
  local rest word path what
  sed -n -e 's/^table \([^ ]*\) \(.*\)/table \1 (\2)/p' -e 's/^guard \([^ ]*\) \([^ ]*\)/IPv\1 guard \2:/p' \
    -e 's/^rule \([^ ]*\) \([^ ]*\)/IPv\1 rule \2:/p' -e 's/^static \([^ ]*\) \([^ ]*\)/IPv\1 rule \2:/p' \
    -e 's/^route \([^ ]*\) \([^ ]*\) \([^ ]*\)/IPv\1 route in table \2: \3 metric/p' "$1/state" | say_lines
  while read -r word what path rest; do
    case $word in
      persistence) say "made permanent by $what${path:+, which manages $path${rest:+ $rest}}" ;;
      file) say "file ${rest%% *}" ;;
      block) say "in file $path${rest:+ $rest}" ;;
      hook) say "up hook $path ($what)" ;;
      sysctl)
        read_sysctl "$what"
        say "sysctl $what is ${first:-missing}, wanted is $path"
        ;;
      without) say "$NO_KILL_SWITCH" ;;
      unit) say "unit $what: $(systemctl is-active "$what" 2>/dev/null || :)" ;;
    esac
  done <"$1/manifest"
  # `compare` has left out rules for a chain that its family does not need.
  sed 's/^/accept rule in chain /' "$LOCK/accepts" | say_lines
  find_in_front "$1"
  sed 's/^/in front of ours since the apply: /' "$LOCK/in_front" | say_lines
}
