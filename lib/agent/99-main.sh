# The command line.

owner=
generation=
given=             # the file on the command line
bundle=            # the same file, after the check that it is a bundle
command=
ssh=               # the SSH connection of the login: CLIENT PORT SERVER PORT
allow_management=  # set if the path of the login may change
anchor=            # id of the declaration in Terraform, as far as it is known

usage() {
  die 64 "$1. Usage: agent apply --owner OWNER --generation ID [--confirm-timeout SECONDS] [--ssh CONNECTION] [--anchor ID] [--allow-management-path-change] BUNDLE | remove --owner OWNER [--generation ID --confirm-timeout SECONDS] [--ssh CONNECTION] [--anchor ID] | confirm --owner OWNER [--generation ID] [--ssh CONNECTION] [--removal [--anchor ID]] | rollback --owner OWNER [--generation ID] [--boot] | assert|watch|verify|diff --owner OWNER | status --owner OWNER [--json] | probe --owner OWNER [--from ADDRESS --to ADDRESS [--in INTERFACE]]"
}

# Runs at the end of every run, after success and failure.
# shellcheck disable=SC2317  # called by trap
finish() {
  trap '' INT TERM
  await_sender
  if [ -n "$dropped_stage" ]; then
    rm -rf "$stage"
    # Removes them only if they are empty: a first apply that failed leaves nothing.
    rmdir "$home" "$STATE" 2>/dev/null || :
  fi
  print_held
  drop_lock
  stop_monitor
  # Errors are hidden, because nothing may be printed after the last line.
  [ -z "$bundle" ] || rm -f "$bundle" 2>/dev/null || :
}

# shellcheck disable=SC2317  # called by trap
stopped() {
  if [ -n "$uninterruptible" ]; then
    late_signal=$1
    return 0
  fi
  trap '' INT TERM
  [ -z "$changed" ] || undo "stopped by signal $1"
  case $command in
    # A unit that was stopped has not failed.
    assert | watch) die 0 "stopped by signal $1" ;;
    *) die 70 "stopped by signal $1; nothing was changed" ;;
  esac
}

# Reads the command line: sets command, and the variables at the top of this part.
read_arguments() {
  local words
  [ $# -gt 0 ] || usage 'a command is missing'
  command=$1
  shift
  case $command in
    apply | remove | confirm | rollback | assert | watch | status | verify | diff | probe) ;;
    *) usage "there is no command $command" ;;
  esac
  while [ $# -gt 0 ]; do
    words=2
    case $1 in
      --owner) owner=${2-} ;;
      --generation) generation=${2-} ;;
      --confirm-timeout) confirm_timeout=${2-} ;;
      --ssh) ssh=${2-} ;;
      --anchor) anchor=${2-} ;;
      --from) probe_from=${2-} ;;
      --to) probe_to=${2-} ;;
      --in) probe_in=${2-} ;;
      *) words=1; read_word "$1" ;;
    esac
    [ $# -ge "$words" ] || usage "$1 needs a value"
    shift "$words"
  done
}

# Reads an option without a value, or the name of the bundle.
read_word() {
  case $1 in
    --removal) removal=1 ;;
    --json) as_json=1 ;;
    --boot) at_boot=1 ;;
    --allow-management-path-change) allow_management=1 ;;
    --) ;;
    -*) usage "there is no option $1" ;;
    *)
      [ -z "$given" ] || usage "unexpected $1"
      given=$1
      case $given in /*) ;; *) given=$PWD/$given ;; esac
      ;;
  esac
}

# Checks the bundle. From here on it belongs to this run, which deletes it at its end.
check_bundle() {
  if [ "$command" = apply ]; then
    # It is deleted after use, so no other file must be taken for one.
    { [ -f "$given" ] && sed -n '2{p;q;}' "$given" 2>/dev/null | grep -q '^# cdktf-source-routing agent'; } ||
      die 65 "${given:-no bundle} is not a bundle of this agent; nothing was changed. Upload it again"
    bundle=$given
  elif [ -n "$given" ]; then
    usage "unexpected $given"
  fi
}

check_arguments() {
  is_name "$owner" || usage "--owner must be a name of letters, digits and . _ -, not \"$owner\""
  case $confirm_timeout in
    *[!0-9]* | ????*) usage "--confirm-timeout must be a number of seconds, not \"$confirm_timeout\"" ;;
  esac
  if [ "$command" = apply ] || [ -n "$generation$confirm_timeout" ]; then
    is_name "$generation" || usage "--generation must be a name of letters, digits and . _ -, not \"$generation\""
    case $generation in
      agent | current | pending | trial) usage "--generation must not be $generation" ;;
    esac
  fi
  [ -z "$anchor" ] || is_name "$anchor" || usage "--anchor must be a name of letters, digits and . _ -, not \"$anchor\""
}

main() {
  # If standard output or error is closed, the next opened file would get its number.
  { true 3>&1; } 2>/dev/null || exec >/dev/null
  true 3>&2 || exec 2>/dev/null
  exec </dev/null
  read_arguments "$@"
  check_bundle
  trap finish EXIT
  trap 'stopped INT' INT
  trap 'stopped TERM' TERM
  check_arguments
  cd / || die 70 'cannot change to /; nothing was changed'
  case $command in
    apply) apply ;;
    remove) remove ;;
    confirm) confirm ;;
    rollback) rollback ;;
    assert) assert ;;
    watch) watch ;;
    status) status ;;
    verify) verify ;;
    # Without the usual limit.
    diff) SHOWN=1000000000; verify ;;
    probe) probe ;;
  esac
}
