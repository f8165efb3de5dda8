# What is expected of the kernel: it is asked with `ip route get`, about hundreds of packets at once.

# Asks about every packet of which generation $1 expects something. Leaves in $LOCK/disagreements,
# one a line, what the kernel does otherwise. $LOCK/kernel must have its rules.
ask_kernel() {
  : >"$LOCK/disagreements"
  # One that an older agent has applied has no such file.
  [ -f "$1/expectations" ] || return 0
  ip -o link show >"$LOCK/links" 2>/dev/null || :
  for file in where ask answers errors; do
    : >"$LOCK/${file}4"
    : >"$LOCK/${file}6"
  done
  if ! { expectations where "$1/expectations" && put_questions where &&
    expectations ask "$1/expectations" && put_questions ask &&
    expectations judge "$LOCK/questions" && read -r asked skipped reasons <"$LOCK/counts"; }; then
    first_line "$LOCK/error"
    problem="cannot ask the kernel about what is expected: ${first:-is there space left in ${LOCK%/*}?}"
    return 1
  fi
  what="packets asked about: $asked, all as expected"
  if [ -s "$LOCK/disagreements" ]; then
    what="packets asked about: $asked, not all as expected"
  fi
  [ "$skipped" -eq 0 ] || what="$what; not asked about: $skipped ($reasons)"
  say "$what"
}

# The same, and fails if the kernel does anything else.
as_expected() {
  ask_kernel "$1" || return 1
  [ -s "$LOCK/disagreements" ] || return 0
  show "$LOCK/disagreements"
  first_line "$LOCK/disagreements"
  problem="the kernel does otherwise than expected: ${first#! }"
  return 1
}

# One step of expectations.awk, over file $2.
expectations() {
  awk -v step="$1" -v out="$LOCK/" -v rules="$LOCK/kernel" -v without6="$without6" \
    "$AWK_ADDRESS$AWK_KERNEL$AWK_EXPECTATIONS" part=links "$LOCK/links" \
    part=errors family=4 "$LOCK/errors4" family=6 "$LOCK/errors6" \
    part=answers family=4 "$LOCK/answers4" family=6 "$LOCK/answers6" part=questions "$2" \
    >"$LOCK/disagreements" 2>"$LOCK/error"
}

put_questions() {
  for family in 4 6; do
    # An error is an answer, too.
    ip -N -o "-$family" -force -batch "$LOCK/$1$family" >"$LOCK/answers$family" 2>"$LOCK/errors$family" || :
  done
}
