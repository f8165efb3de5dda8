# The kernel's rules and routes: read them, plan, carry the plan out.
#
# The number of processes does not depend on the number of rules: one `ip -batch` reads, one
# writes, per family.

without6=
[ -e /proc/net/if_inet6 ] || without6=1

# What the kernel has, for families $*: files kernel4 and kernel6. The output needs no
# delimiters: "100:<tab>" is a rule, "2: eth0: <" a device, anything else a route.
read_kernel() {
  : >"$LOCK/kernel4"
  : >"$LOCK/kernel6"
  reader=
  case $without6$* in
    1*) ;;
    *6*)
      read_family 6 &
      reader=$!
      ;;
  esac
  read_family 4 || { problem_of_reading 4; return 1; }
  [ -z "$reader" ] || wait "$reader" || { problem_of_reading 6; return 1; }
}

read_family() {
  ip -N -o "-$1" -batch - >"$LOCK/kernel$1" 2>"$LOCK/error$1" <<'END'
rule show
route show table all
link show
END
}

problem_of_reading() {
  first_line "$LOCK/error$1"
  problem="cannot read the IPv$1 rules and routes of the kernel: ${first:-ip failed}"
}

# plan WANTED [OWN...]: what to do so that the kernel has what state file WANTED says. Sets
# added, dropped, later and essential (see plan.awk); leaves add4, add6, drop4, drop6, report, later in the scratch space.
# waits=1: routes whose device is not ready are left for later.
waits=
plan() {
  for file in add4 add6 drop4 drop6 report later; do
    : >"$LOCK/$file"
  done
  want=$1
  shift
  awk -v out="$LOCK" -v without6="$without6" -v waits="$waits" -v snapshot="" \
    "$AWK_ADDRESS$AWK_KERNEL$AWK_PLAN" part=want "$want" part=own "$@" \
    part=kernel4 "$LOCK/kernel4" part=kernel6 "$LOCK/kernel6" \
    >"$LOCK/counts" 2>"$LOCK/error" && read -r added dropped later essential <"$LOCK/counts" && return 0
  first_line "$LOCK/error"
  problem="cannot compare the kernel with what is wanted: ${first:-awk failed}"
  return 1
}

# What the kernel has of ours, as a state file in the scratch space: what undo goes back to.
take_snapshot() {
  want=$1
  shift
  awk -v without6="$without6" -v snapshot="$LOCK/snapshot" "$AWK_ADDRESS$AWK_KERNEL$AWK_PLAN" \
    part=want "$want" part=own "$@" part=kernel4 "$LOCK/kernel4" part=kernel6 "$LOCK/kernel6" 2>"$LOCK/error"
}

# Reads the kernel and plans.
plan_now() {
  families_of "$@"
  # shellcheck disable=SC2086  # a list of words
  read_kernel $families && plan "$@"
}

# Does the kernel have all that was planned for?
nothing_planned() {
  [ "$added" -eq 0 ] && [ "$dropped" -eq 0 ]
}

# Carries the plan out. All that is added comes before anything is taken away, so that an
# error on the way has taken nothing away yet. $1 is -force to go on after an error.
carry_out() {
  failed=
  for step in add4 add6 drop4 drop6; do
    [ -s "$LOCK/$step" ] || continue
    case $step in *4) family=4 ;; *) family=6 ;; esac
    # shellcheck disable=SC2086  # nothing, or an option
    ip "-$family" ${1-} -batch "$LOCK/$step" >/dev/null 2>"$LOCK/error" && continue
    [ -n "$failed" ] || explain_error
    failed=1
    [ -n "${1-}" ] || return 1
  done
  [ -z "$failed" ]
}

# Sets problem: which line of the batch failed, why, and the mend.
explain_error() {
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
    *) what=$(sed -n "${number}p" "$LOCK/$step") ;;
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
