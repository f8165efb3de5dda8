#!/bin/sh
# Runs over a new connection: if it gets here, the machine can still be reached, which was to be proved.
# The script before it may have ended without a message, so this one tells how the change ended.
# shellcheck disable=SC2154 # the parameters are set in front of this text
# shellcheck source=as-root.sh

base=/var/lib/source-routing
if [ -z "$removal" ] || [ -d "$base" ]; then
  # Only root can see what is in there.
  # shellcheck disable=SC2016 # for the inner shell
  as_root sh -c '
    home=$1/$2 said=/run/source-routing.said/$2 generation=$3 connection=$4 removal=$5 anchor=$6
    for agent in "$home/trial/agent" "$home/agent"; do
      [ -f "$agent" ] || continue
      words=$(sh "$agent" confirm --owner "$2" --generation "$generation" --ssh "$connection" ${removal:+--removal} \
        ${anchor:+--anchor "$anchor"} 2>&1)
      status=$?
      case $status:$words in
        0:*"source-routing: done: "*) ;;
        # This agent knows no trials, was removed before it could be read, or is incomplete, because the run that
        # wrote it was killed.
        2:* | 64:* | 126:* | 127:* | 0:*) continue ;;
        *) ;;
      esac
      printf "%s\n" "$words"
      exit "$status"
    done
    # The change was refused before there was an agent.
    if [ -f "$said" ]; then
      { read -r whose status; read -r words; } <"$said"
      if [ "$whose" = "$generation" ]; then
        printf "source-routing: %s\n" "$words"
        rm -f "$said"
        rmdir "${said%/*}" 2>/dev/null
        # Whatever the file says, the result is not a success.
        case $status in
          [1-9] | [1-9][0-9]) exit "$status" ;;
          *) exit 70 ;;
        esac
      fi
    fi
    if [ -z "$removal" ]; then
      echo "source-routing: ERROR: generation $generation is not on this machine: the change was never made, or undone by a reboot; see above, and: journalctl -t source-routing"
      exit 67
    elif [ -f "$home/agent" ] || [ -f "$home/current" ] || [ -f "$home/pending" ]; then
      echo "source-routing: ERROR: $2 is still on this machine: see above, and: source-routing status"
      exit 71
    fi
    # The directory itself may still exist: a power cut may come before any step.
    rm -rf "$1/${2:?}"
    rmdir "$1" 2>/dev/null
    echo "source-routing: done: nothing of $2 is on this machine"
  ' sh "$base" "$owner" "$generation" "${SSH_CONNECTION-}" "$removal" "$anchor"
else
  echo "source-routing: done: nothing of $owner is on this machine"
fi
finish "$?" "$here/.source-routing-$owner.$generation.bundle.see-ssh.scriptDirectory"
