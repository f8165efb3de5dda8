# The kernel's rules and routes: read them, plan, carry the plan out.
#
# The number of processes does not depend on the number of rules: two read, one `ip -batch`
# writes, per family.

without6=
[ -e /proc/net/if_inet6 ] || without6=1

besides=       # what else is asked for

# Writes to $LOCK/kernel what the kernel has of families $*: "100:<tab>" begins a rule,
# "2: eth0: <" a device, anything else is a route. (A file, not a pipe: ip writes line by line,
# and would wake its reader for each.) Only with details does ip say that a rule is `proto
# kernel`, as a guard is, and what stands in for one of ours; of routes they would say too much.
read_kernel() {
  local family
  for family in "$@"; do
    [ "$family" = 4 ] || [ -z "$without6" ] || continue
    printf 'family %s\n' "$family"
    ip -N -o -d "-$family" rule show 2>"$LOCK/error$family" || { printf 'failed %s\n' "$family"; continue; }
    ip -N -o "-$family" -batch - 2>"$LOCK/error$family" <<END || printf 'failed %s\n' "$family"
route show table all
$besides
END
  done >"$LOCK/kernel"
}

# Prints the rules alone, in the same form.
read_rules() {
  local family
  for family in 4 6; do
    printf 'family %s\n' "$family"
    ip -N -o -d "-$family" rule show 2>/dev/null || :
  done
}

# look WANTED [OWN...]: reads the kernel and plans what to do so that it has what state file
# WANTED says. awk starts, and reads what is wanted, while `ip` is at work: the pipe carries
# nothing but its end, upon which awk reads what the kernel has.
look() {
  families_of "$@"
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families | plan "$@"
  read_plan
}

# Plans, when standard input has come to its end, with what $LOCK/kernel says; families_of must
# have been called before. Leaves add4, add6, drop4, drop6, report, front (the rules of others that stand in
# front of ours) and counts under $PLAN in the scratch space. Ends its shell: call it behind a pipe, or in
# brackets.
PLAN=$LOCK/plan.
snapshot=      # a file for what the kernel has of ours now
restore=       # put back the kernel's own rules, if they went with ours
protect=       # add only what rejects
plan() {
  local file want both
  for file in add4 add6 drop4 drop6 report front; do
    : >"$PLAN$file"
  done
  want=$1
  shift
  # The usual case, not to read it twice.
  both=
  if [ "$want" = "${1-}" ]; then
    both=1
    shift
  fi
  # shellcheck disable=SC2086  # a list of words
  exec awk -v out="$PLAN" -v both="$both" -v without6="$without6" -v most="$SHOWN" \
    -v snapshot="$snapshot" -v restore="$restore" -v protect="$protect" "$AWK_KERNEL$AWK_PLAN" part=want "$want" part=own "$@" \
    part=wait - part=kernel "$LOCK/kernel" >"${PLAN}counts" 2>"$LOCK/error"
}

# Sets added, dropped, essential and restored (see plan.awk), or problem.
read_plan() {
  added=
  read -r added dropped essential restored <"${PLAN}counts" || :
  case $added in
    failed)
      first_line "$LOCK/error$dropped"
      problem="cannot read the IPv$dropped rules and routes of the kernel: ${first:-ip failed}"
      return 1
      ;;
    '')
      first_line "$LOCK/error"
      problem="cannot compare the kernel with what is wanted: ${first:-awk failed}"
      return 1
      ;;
  esac
}

plan_nothing() {
  added=0
  dropped=0
  essential=0
  restored=0
}

# Does the kernel have all that was planned for?
nothing_planned() {
  [ "$added" -eq 0 ] && [ "$dropped" -eq 0 ]
}

first_difference() {
  first_line "${PLAN}report"
  printf '%s' "$first"
}

# Carries the plan out. All that is added comes before anything is taken away, so that an
# error on the way has taken nothing away yet. $1 is -force to go on after an error.
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

# Sets problem: which line of the batch failed, why, and the mend.
explain_error() {
  local reason line what mend number
  number=
  reason=
  while IFS= read -r line; do
    case $line in
      'Command failed '*) [ -n "$number" ] || number=${line##*:} ;;
      *) [ -n "$reason" ] || reason=$line ;;
    esac
  done <"$LOCK/error"
  reason=${reason#RTNETLINK answers: }
  reason=${reason#Error: }
  reason=${reason%.}
  what=
  case $number in
    '' | *[!0-9]*) ;;
    *) what=$(sed -n "${number}p" "$PLAN$step") ;;
  esac
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
