# The kernel's rules and routes: read them, plan the changes, carry the plan out.
#
# The number of processes does not depend on the number of rules. For each family, two processes read and
# one `ip -batch` writes.

without6=
[ -e /proc/net/if_inet6 ] || without6=1

# Writes the rules and routes of families $* to $LOCK/kernel. A rule begins with "100:<tab>", a device with
# "2: eth0: <". All other lines are routes. This is a file, not a pipe: ip writes line by line, and would wake its
# reader for each. Rules are read with details (-d), since only these show `proto kernel`. Guards and stand-ins for
# our rules have that tag. Routes are read without details, which would say too much. ip does not notice that there is no
# space left for what it prints. So a last line shows that all of a family is there.
read_kernel() {
  local family
  for family in "$@"; do
    [ "$family" = 4 ] || [ -z "$without6" ] || continue
    printf 'family %s\n' "$family"
    ip -N -o -d "-$family" rule show 2>"$LOCK/error$family" || { printf 'failed %s\n' "$family"; continue; }
    ip -N -o "-$family" route show table all 2>"$LOCK/error$family" || { printf 'failed %s\n' "$family"; continue; }
    printf 'whole %s\n' "$family"
  done >"$LOCK/kernel" 2>/dev/null
}

# look WANTED [OWN...]: reads the kernel, and plans the changes that give it the rules and routes of state file
# WANTED. awk starts and reads the state files while `ip` still works. The pipe carries no data: its end tells awk
# that $LOCK/kernel is complete.
look() {
  families_of "$@"
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families | plan "$@"
  read_plan
}

# Plans at the end of standard input, from $LOCK/kernel. Call families_of first. Writes these files under $PLAN in the
# scratch space: add4, add6, drop4, drop6, report, front (foreign rules in front of ours) and counts. It ends its
# shell, so call it behind a pipe or in a subshell.
PLAN=$LOCK/plan.
snapshot=      # file for the rules and routes that we have in the kernel now
restore=       # set to restore the kernel's own rules, if they were removed together with ours
protect=       # set to add only what rejects packets
plan() {
  local file want both
  for file in add4 add6 drop4 drop6 report front; do
    : >"$PLAN$file"
  done
  want=$1
  shift
  # In the usual case WANTED is also the first OWN. It is read only once.
  both=
  if [ "$want" = "${1-}" ]; then
    both=1
    shift
  fi
  # shellcheck disable=SC2086  # a list of words
  exec awk -v out="$PLAN" -v both="$both" -v without6="$without6" -v families="$families" -v most="$SHOWN" \
    -v snapshot="$snapshot" -v restore="$restore" -v protect="$protect" "$AWK_KERNEL$AWK_PLAN" part=want "$want" part=own "$@" \
    part=wait - part=kernel "$LOCK/kernel" >"${PLAN}counts" 2>"${PLAN}error"
}

# Sets added, dropped, essential and restored (see plan.awk), or problem.
read_plan() {
  added=
  read -r added dropped essential restored <"${PLAN}counts" || :
  case $added in
    failed)
      [ -s "$LOCK/error$dropped" ] || fail "no space left in ${LOCK%/*} for the IPv$dropped rules and routes of the kernel" || return 1
      fail_with "cannot read the IPv$dropped rules and routes of the kernel" "$LOCK/error$dropped"
      ;;
    '') fail_with 'cannot compare the kernel with what is wanted' "${PLAN}error" ;;
  esac
}

# Does the kernel have all that was planned for?
nothing_planned() {
  [ "$added" -eq 0 ] && [ "$dropped" -eq 0 ]
}

first_difference() { head -n 1 "${PLAN}report"; }

# Carries the plan out. All additions come before the first removal, so that an error during them has removed
# nothing yet. $1 is -force to go on after an error.
carry_out() {
  local failed step family
  failed=
  for step in add4 add6 drop4 drop6; do
    [ -s "$PLAN$step" ] || continue
    case $step in *4) family=4 ;; *) family=6 ;; esac
    # shellcheck disable=SC2086  # nothing, or an option
    ip "-$family" ${1-} -batch "$PLAN$step" >/dev/null 2>"$LOCK/error" && continue
    [ -n "$failed" ] || explain_error
    failed=1
    [ -n "${1-}" ] || return 1
  done
  [ -z "$failed" ]
}

# force_kernel WANTED [OWN...]: makes the kernel agree with a state file, and shows the changes. If some of them fail, it
# makes all others. Sets problem and fails if a difference is left.
force_kernel() {
  local option
  for option in '' -force; do
    look "$@" || continue
    nothing_planned && return 0
    carry_out ${option:+"$option"} || :
    show "${PLAN}report"
  done
  look "$@" || return 1
  nothing_planned || fail "kernel: $(first_difference)"
}

# Sets problem: which line of the batch failed, why, and how to repair it.
explain_error() {
  local reason what mend number
  number=$(sed -n '/^Command failed /{s/.*://p;q;}' "$LOCK/error")
  reason=$(sed -n '/^Command failed /d;/./{s/^RTNETLINK answers: //;s/^Error: //;s/\.$//;p;q;}' "$LOCK/error")
  what=${number:+$(sed -n "${number}p" "$PLAN$step")}
  mend='see "ip rule" and "ip route show table all" for what the machine has'
  case $reason in
    *[Ii]nvalid\ gateway* | *unreachable* | *'No route to host'*)
      mend='is the gateway inside a subnet of an address of that device? If it is not, declare the route on-link' ;;
    *'Cannot find device'* | *'No such device'*) mend='see "ip link" for the devices of this machine' ;;
    *'File exists'*) mend='someone else made the same at this moment: see "ip rule" and "ip route show table all"' ;;
    *'not permitted'*) mend='root without the right to change the network, as in a container: give it CAP_NET_ADMIN' ;;
    *'is down'*) mend='set the device up: ip link set DEVICE up' ;;
    *'not supported'* | *'Invalid argument'* | *'is wrong'*) mend='this kernel or iproute2 may be too old for it' ;;
  esac
  problem="the kernel refused IPv$family \"${what:-a rule or route}\": ${reason:-ip failed without a word} ($mend)"
}
