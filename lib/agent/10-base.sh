#!/bin/sh
# cdktf-source-routing agent: declares Linux source routing on this machine.
# Assembled from lib/agent; README.md there is its contract.

set -u
umask 077
unset IFS CDPATH ENV BASH_ENV
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export LC_ALL PATH

# A lost connection must not stop a run halfway, nor make it fail. A run that somebody suspends would keep the lock.
trap '' HUP PIPE TSTP TTIN TTOU

STATE=/var/lib/source-routing
LOCK=/run/source-routing.lock
LOCK_WAIT=60        # seconds that a run waits for another one; empty to wait without a limit and without a message
SEIZE_AFTER=10      # seconds that the rollback waits for another one
MARK=/run/source-routing.trial  # plus .OWNER: marks a trial of this boot
SAID=/run/source-routing.said   # how the last run of each owner failed
KEPT=/run/source-routing.kept   # .network files whose links were told to keep their configuration
RETIRED=/run/source-routing.retired  # rules and routes that a network manager may bring back
LOADED=/run/source-routing.kill-switch  # the kill switch of each owner, and what nft listed when it was loaded
SHOWN=20            # changes named one by one; a machine may have thousands of rules
NEWLINE='
'

# The terminal may be gone, so a failed write does not fail the run. Interface names and lines of foreign files
# can hold control characters, so these are replaced.
say() {
  local text
  text=$*
  case $text in *[![:print:]]*) text=$(printf '%s' "$text" | tr '\t' ' ' | tr -c '\040-\176' '?') ;; esac
  printf 'source-routing: %s\n' "$text" 2>/dev/null || unheld=$unheld${output_held:+"source-routing: $text$NEWLINE"}
}

# While a run holds the lock, the watch waits. So a command that only looks keeps what it says, and prints it when it has
# dropped the lock: whoever reads that may be slow.
output_held=
unheld=        # lines for which there was no space
hold_output() {
  { true >"$LOCK/output"; } 2>/dev/null || return 0
  exec 4>&1 >"$LOCK/output"
  exec 3<"$LOCK/output"
  output_held=1
}

print_held() {
  [ -n "$output_held" ] || return 0
  output_held=
  await_sender
  exec >&4 4>&-
  drop_lock
  trap - TSTP TTIN TTOU
  cat <&3 2>/dev/null || :
  [ -z "$unheld" ] || printf '\n%s' "$unheld" 2>/dev/null || :
}

# Prints the reason and ends the run. Terraform shows only the last line that is printed.
die() {
  local code
  code=$1
  shift
  record "$code" "$*"
  say "$*"
  exit "$code"
}

say_lines() {
  local line
  while IFS= read -r line; do
    say "$line"
  done
}

# Prints the first SHOWN lines of a file.
show() {
  local hidden
  [ -s "$1" ] || return 0
  head -n "$SHOWN" "$1" | say_lines
  hidden=$(($(wc -l <"$1") - SHOWN))
  [ "$hidden" -le 0 ] || say "... and $hidden more"
}

# Problems are collected, so that one run names them all. `problem` keeps the last one.
PROBLEMS=0
problem=
complain() {
  [ "$PROBLEMS" -eq 0 ] || say "$problem"
  PROBLEMS=$((PROBLEMS + 1))
  problem=$*
}

# Ends the run if there were problems. A single problem is itself the last line, since Terraform shows only that.
refuse_if_problems() {
  [ "$PROBLEMS" -eq 0 ] && return 0
  [ "$PROBLEMS" -ne 1 ] || die "$1" "refused, nothing was changed: $problem"
  say "$problem"
  die "$1" "refused, nothing was changed: $PROBLEMS problems, named above; mend them and apply again"
}

exists() {
  [ -e "$1" ] || [ -L "$1" ]
}

# First line of a file, empty if there is none.
first_line() {
  first=
  [ ! -f "$1" ] || IFS= read -r first <"$1" || :
}

# Writes standard input to $2 with mode $1. Readers see either the old file or the new one.
put_file() {
  make_new "$2" && chmod "$1" "$2.source-routing-new" &&
    mv -f "$2.source-routing-new" "$2" && return 0
  rm -f "$2.source-routing-new"
  return 1
}

# Writes standard input to a new file beside $1. `set -C` opens it with O_EXCL, so that a link with its name is
# not followed.
make_new() {
  ! exists "$1.source-routing-new" || rm -f "$1.source-routing-new" || return 1
  (set -C && cat >"$1.source-routing-new")
}

# Sets problem, and fails.
fail() { problem=$*; return 1; }

# Prints the first line that the command that failed has left in $LOCK/error, or $1 if there is none.
error_text() {
  first_line "$LOCK/error"
  printf '%s' "${first:-${1-no reason given}}"
}

# Sets problem to $1 and the reason in file $2, where the command that failed has left it, and fails.
fail_with() {
  first_line "${2-$LOCK/error}"
  fail "$1: ${first:-no reason given}"
}

# Sleeps for a fraction of a second, or for one second if `sleep` does not support fractions.
pause() {
  sleep "$1" 2>/dev/null || sleep 1
}

# Sets now, in hundredths of a second since boot. The time of day may be changed during a run.
clock() {
  local up
  now=0
  read -r up _ 2>/dev/null </proc/uptime || return 0
  now=$((${up%.*} * 100 + 1${up#*.} - 100))
}
