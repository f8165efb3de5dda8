#!/bin/sh
# Runs when the host is removed from the configuration: root puts everything back, on trial.
# shellcheck disable=SC2154 # the parameters are set in front of this text
# shellcheck source=as-root.sh

# Does another declaration apply here for the same owner? It may take the place of this one, and wait for its end. The script
# of a run that is over does not count. It waits for Terraform to empty it, which a Terraform that was killed never does.
# The words are separated first, since the grep of BusyBox reads only the first one.
others_run() {
  cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' '\n' | grep -F -e "/.source-routing-$owner." | grep -q -F -e .bundle.
}

base=/var/lib/source-routing
if [ -d "$base" ]; then
  # Only root can see what is in there.
  # shellcheck disable=SC2016 # for the inner shell
  as_root sh -c '
    # A trial has the newest agent, and older agents do not know about the trial.
    agent=$1/$2/trial/agent
    [ -f "$agent" ] || agent=$1/$2/agent
    if ! [ -f "$agent" ]; then
      echo "source-routing: $2: nothing to remove"
      exit 0
    fi
    sh "$agent" remove --owner "$2" --generation "$3" --confirm-timeout "$4" --ssh "$5" ${6:+--anchor "$6"}
    status=$?
    if [ "$status" -eq 64 ]; then
      echo "source-routing: note: the agent on this machine is of an earlier version: it removes without waiting for a confirmation"
      sh "$agent" remove --owner "$2"
      status=$?
    fi
    exit "$status"
  ' sh "$base" "$owner" "$generation" "$confirm_timeout" "${SSH_CONNECTION-}" "$anchor"
else
  echo "source-routing: $owner: nothing to remove"
fi
status=$?
# Runs that were interrupted may have left files, too. What somebody else has just uploaded is not ours.
set -- "$here/.source-routing-$owner.$generation."*
if ! others_run; then
  for left in "$here/.source-routing-$owner."*; do
    [ -n "$(find "$left" -prune -newer "$script" 2>/dev/null)" ] || set -- "$@" "$left"
  done
fi
finish "$status" "$@"
