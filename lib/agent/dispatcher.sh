#!/bin/sh
# source-routing: looks after the Linux source routing on this machine.
# Managed by cdktf-source-routing; shared by all who declare source routing here.

set -u
umask 077
unset IFS CDPATH ENV BASH_ENV
LC_ALL=C
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export LC_ALL PATH
STATE=/var/lib/source-routing

say() {
  printf 'source-routing: %s\n' "$*"
}

usage() {
  say "usage: source-routing COMMAND [OWNER]
  status   what is in force, and does the kernel agree; with --json, a line of JSON for each owner
  verify   succeeds only if kernel and files agree, and packets of clients get through
  diff     what is missing (+) and what is in the way (-)
  probe    what becomes of a client's packet here; also: probe OWNER --from ADDRESS --to ADDRESS [--in INTERFACE]
  assert   repair the kernel's rules and routes
  confirm  keep a change that is on trial
  rollback undo a change that is on trial
  remove   put everything back, leave nothing"
  exit "$1"
}

# With JSON, nothing else goes to standard output.
json=
case $#,${1-},${2-},${3-} in
  2,status,--json,*) set -- status; json=--json ;;
  3,status,*,--json) set -- status "$2"; json=--json ;;
  3,status,--json,*) set -- status "$3"; json=--json ;;
esac
if [ -n "$json" ]; then
  { true >&1; } 2>/dev/null || exec >/dev/null
  exec 3>&1 >&2
fi

case ${1-} in
  status | verify | diff | probe | assert | confirm | rollback | remove) ;;
  '' | help | -h | --help) usage 0 ;;
  *)
    say "there is no command $1"
    usage 64
    ;;
esac
[ $# -le 2 ] || [ "$1" = probe ] || usage 64

if [ "$(id -u)" != 0 ]; then
  say "root is needed: sudo source-routing $*"
  exit 69
fi

owners=
found=
for directory in "$STATE"/*/; do
  [ -f "${directory}agent" ] || continue
  owner=${directory%/}
  owner=${owner##*/}
  case $owner in -* | *[!A-Za-z0-9._-]*) continue ;; esac
  [ "$owner" != "${2-}" ] || found=1
  owners="$owners${owners:+ }$owner"
done

# The agent checks the other arguments. The checked owner comes last, so that no other --owner overrides it.
run() {
  local command owner
  command=$1
  owner=$2
  shift 2
  if [ -z "$json" ]; then
    /bin/sh "$STATE/$owner/agent" "$command" "$@" --owner "$owner"
  elif grep -q '^ *--json)' "$STATE/$owner/agent"; then
    /bin/sh "$STATE/$owner/agent" "$command" --json "$@" --owner "$owner" >&3 3>&-
  else
    say "the agent of $owner is of an earlier version, which prints no JSON: apply again"
    return 69
  fi
}

if [ -n "${2-}" ]; then
  # sudo may allow a user this command only, so the user must not choose which file it runs.
  if [ -z "$found" ]; then
    say "there is no such owner on this machine; the owners here: ${owners:-none}"
    exit 64
  fi
  run "$@"
  exit
fi
case $owners in
  '')
    say 'nothing is declared on this machine'
    exit 0
    ;;
  *' '*) ;;
  *)
    run "$1" "$owners"
    exit
    ;;
esac
if [ "$1" = status ]; then
  worst=0
  for owner in $owners; do
    run status "$owner" || worst=$?
  done
  exit "$worst"
fi
say "several owners are on this machine ($owners): source-routing $1 OWNER"
exit 64
