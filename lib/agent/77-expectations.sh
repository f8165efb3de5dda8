# Expectations: asks the kernel with `ip route get` how it routes packets, hundreds of them in one batch.

# Asks about every packet that generation $1 has an expectation for. Writes the disagreements to
# $LOCK/disagreements, one a line. Needs the rules of the kernel in $LOCK/kernel, and the ways of
# packets from before the change in $LOCK/noted.
ask_kernel() {
  local asked reasons skipped what all
  : >"$LOCK/disagreements"
  # A generation that an older agent applied has no such file.
  [ -f "$1/expectations" ] || return 0
  { put_all_questions "$1" "$1/expectations" && expectations judge "$LOCK/questions" >"$LOCK/disagreements" &&
    read -r asked skipped reasons <"$LOCK/counts"; } || cannot_ask || return 1
  all=all
  [ ! -s "$LOCK/disagreements" ] || all='not all'
  what="packets asked about: $asked, $all as expected"
  [ "$skipped" -eq 0 ] || what="$what; not asked about: $skipped ($reasons)"
  say "$what"
}

# Asks the same, and fails if the kernel disagrees with any expectation.
as_expected() {
  ask_kernel "$1" || return 1
  [ -s "$LOCK/disagreements" ] || return 0
  show "$LOCK/disagreements"
  first_line "$LOCK/disagreements"
  fail "the kernel does otherwise than expected: ${first#! }"
}

# Runs before a change. For packets that must keep their interface, it notes where they go now.
note_ways() {
  [ -f "$1/expectations" ] || return 0
  # A change of the main table may move them on purpose.
  ! grep -q ' table 25[345] ' "${PLAN}add4" "${PLAN}add6" "${PLAN}drop4" "${PLAN}drop6" || return 0
  { awk '/ is unchanged$/' "$1/expectations" >"$LOCK/unchanged" && put_all_questions "$1" "$LOCK/unchanged" &&
    expectations note "$LOCK/questions" >"$LOCK/noted"; } || cannot_ask || die 70 "nothing was changed: $problem"
}

cannot_ask() { fail_with "cannot ask the kernel about what is expected (is there space left in ${LOCK%/*}?)"; }

# Asks the questions of generation $1 that are in file $2.
put_all_questions() {
  local file
  # shellcheck disable=SC2086  # a list of words
  tables=" $(sed -n 's/^table \([^ ]*\).*/\1/p' "$1/state" $states | tr '\n' ' ')"
  ip -o link show >"$LOCK/links" 2>/dev/null || :
  [ -f "$LOCK/noted" ] || : >"$LOCK/noted"
  : >"$LOCK/questions"
  for file in where ask answers errors; do
    : >"$LOCK/${file}4"
    : >"$LOCK/${file}6"
  done
  expectations where "$2" && put_questions where && expectations ask "$2" && put_questions ask
}

# Runs step $1 of expectations.awk over the questions in file $2. File $3 holds the notes from before the change.
expectations() {
  ask_awk "$1" part=links "$LOCK/links" part=noted "${3:-$LOCK/noted}" \
    part=errors family=4 "$LOCK/errors4" family=6 "$LOCK/errors6" \
    part=answers family=4 "$LOCK/answers4" family=6 "$LOCK/answers6" part=questions "$2"
}

tables=' '     # tables of this owner, with a blank on each side
ask_awk() {
  local step
  step=$1
  shift
  awk -v step="$step" -v out="$LOCK/" -v rules="$LOCK/kernel" -v plan="$PLAN" -v tables="$tables" \
    -v without6="$without6" -v allow="$allow_management" \
    "$AWK_ADDRESS$AWK_KERNEL$AWK_SYSCTL$AWK_LOGINS$AWK_EXPECTATIONS" "$@" 2>"$LOCK/error"
}

put_questions() {
  local family
  for family in 4 6; do
    # An error counts as an answer, so a failed command does not end the run.
    ip -N -o "-$family" -force -batch "$LOCK/$1$family" >"$LOCK/answers$family" 2>"$LOCK/errors$family" || :
  done
}
