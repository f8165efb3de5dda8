#!/bin/sh
# Asks a machine over SSH whether it is as declared. Runs where Terraform runs, and changes nothing.
#
# The arguments are NAME=VALUE: seconds and owner, and the login by its names in Terraform's state. It is the login of
# Terraform, which reads no configuration of OpenSSH and is asked for nothing.

# ask NAME=VALUE...: prints what the machine says. Returns 0 if it is as declared, 1 if it differs, 2 if it could not be
# asked.
ask() {
  seconds=60 owner='' host='' port=22 user=root agent='' certificate_file='' host_key='' key_file='' key_variable=''
  bastion_host='' bastion_port=22 bastion_user='' bastion_host_key='' bastion_key_file='' bastion_key_variable=''
  for each; do
    value=${each#*=}
    case $each in
      seconds=*) seconds=$value ;;
      owner=*) owner=$value ;;
      host=*) host=$value ;;
      port=*) port=$value ;;
      user=*) user=$value ;;
      agent=*) agent=$value ;;
      certificate_file=*) certificate_file=$value ;;
      host_key=*) host_key=$value ;;
      key_file=*) key_file=$value ;;
      key_variable=*) key_variable=$value ;;
      bastion_host=*) bastion_host=$value ;;
      bastion_port=*) bastion_port=$value ;;
      bastion_user=*) bastion_user=$value ;;
      bastion_host_key=*) bastion_host_key=$value ;;
      bastion_key_file=*) bastion_key_file=$value ;;
      bastion_key_variable=*) bastion_key_variable=$value ;;
    esac
  done
  for each in ssh ${key_variable:+ssh-agent} ${bastion_key_variable:+ssh-agent}; do
    if ! command -v "$each" >/dev/null 2>&1; then
      echo "there is no $each here: install OpenSSH"
      return 2
    fi
  done
  for each in $key_variable $bastion_key_variable; do
    if [ -z "$(printenv "$each")" ]; then
      echo "$each is not set. Set it to the private key, as for Terraform."
      return 2
    fi
  done
  directory=$(mktemp -d) || return 2
  trap 'rm -rf "$directory"' EXIT
  running=
  trap 'kill "$running" 2>/dev/null; exit 2' HUP INT TERM
  converse
  # Other programs end so, too: the shell of a login that is not allowed.
  case $?,$(grep -E '^(source-routing: |nothing of )' "$directory/said") in
    0,?*) return 0 ;;
    # It differs, or nothing of this owner is there.
    1,?* | 64,?*) return 1 ;;
    # There is no connection or no sudo, or a change is under way.
    *) return 2 ;;
  esac
}

# Runs OpenSSH with a login to the machine, by way of the bastion if there is one.
converse() {
  # From OpenSSH 8.5 to 9.8, its first choice takes a tenth of a second of processor time, which is too much for hundreds of
  # machines. Terraform takes this one, too.
  key_exchange=
  case $(ssh -Q kex 2>/dev/null) in
    *mlkem*) ;;
    *sntrup761*) key_exchange=KexAlgorithms=^curve25519-sha256 ;;
  esac
  set -- ssh -F none -o BatchMode=yes ${key_exchange:+-o "$key_exchange"} -o ConnectTimeout=10 -o LogLevel=ERROR
  if [ -n "$bastion_host" ]; then
    proxy=
    # As with Terraform, the key of the machine is also that of the bastion.
    if [ -z "$bastion_key_file$bastion_key_variable" ]; then
      bastion_key_file=$key_file bastion_key_variable=$key_variable
    fi
    with_login collect "$bastion_host" "$bastion_port" "${bastion_user:-$user}" "$bastion_key_file" "$bastion_key_variable" '' \
      "$bastion_host_key" bastion ssh -F none -o BatchMode=yes \
      ${key_exchange:+-o "$key_exchange"}
    set -- "$@" -o "ProxyCommand=$proxy -W '[%h]:%p' -- $(quoted "$bastion_host")"
  fi
  with_login with_agent "$host" "$port" "$user" "$key_file" "$key_variable" "$certificate_file" "$host_key" machine "$@"
}

# with_login THEN HOST PORT USER KEY-FILE KEY-VARIABLE CERTIFICATE-FILE HOST-KEY NAME WORD...: calls THEN with the words,
# and the options of OpenSSH for this login.
with_login() {
  next=$1 at=$2 key=$5 variable=$6 certificate=$7 pinned=$8 known=$directory/$9
  names="$2,[$2]:$3"
  login_port=$3 login_user=$4
  shift 9
  set -- "$@" -p "$login_port" -l "$login_user"
  [ -z "$key" ] || set -- "$@" -i "$(in_configuration "$key")" -o IdentitiesOnly=yes
  if [ -n "$variable" ]; then
    set -- "$@" -o IdentityFile=none
  elif [ "$agent" = false ]; then
    set -- "$@" -o IdentityAgent=none
  elif [ -n "$key_variable$bastion_key_variable" ]; then
    # The agent that was there before.
    set -- "$@" -o "IdentityAgent=${SSH_AUTH_SOCK:-none}"
  fi
  [ -z "$certificate" ] || set -- "$@" -o "CertificateFile=\"$(in_configuration "$certificate")\""
  if [ -n "$pinned" ]; then
    # The key is that of the machine, or of the authority that signs it.
    printf '%s %s\n' "$names" "$pinned" "@cert-authority $names" "$pinned" >"$known"
    set -- "$@" -o StrictHostKeyChecking=yes -o "UserKnownHostsFile=\"$known\"" -o GlobalKnownHostsFile=/dev/null
  fi
  "$next" "$@"
}

# Sets proxy to the words, for a shell and for the percent signs of OpenSSH.
collect() {
  for each; do
    proxy="$proxy${proxy:+ }$(quoted "$each" | sed 's/%/%%/g')"
  done
}

# OpenSSH replaces percent signs in paths.
in_configuration() {
  printf '%s\n' "$1" | sed 's/%/%%/g'
}

quoted() {
  printf "'%s'" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"
}

# with_agent WORD...: runs OpenSSH with an agent that has the keys in environment variables: no file has them.
with_agent() {
  if [ -z "$key_variable$bastion_key_variable" ]; then
    in_time "$@"
    return
  fi
  # shellcheck disable=SC2016 # another shell expands it
  add_keys='trap "ssh-agent -k >/dev/null" EXIT
    for key in "$SOURCE_ROUTING_KEY" "$SOURCE_ROUTING_BASTION_KEY"; do
      [ -z "$key" ] || printf "%s\n" "$key" | SSH_ASKPASS_REQUIRE=never ssh-add -q - || exit 255
    done
    unset SOURCE_ROUTING_KEY SOURCE_ROUTING_BASTION_KEY
    "$@"'
  SOURCE_ROUTING_KEY=$(key_in "$key_variable")
  SOURCE_ROUTING_BASTION_KEY=$(key_in "$bastion_key_variable")
  export SOURCE_ROUTING_KEY SOURCE_ROUTING_BASTION_KEY
  in_time ssh-agent sh -c "$add_keys" ssh-agent "$@"
}

# Prints the key in an environment variable, which has it as it is or in base64. OpenSSH reads no line breaks of Windows.
key_in() {
  [ -n "$1" ] || return 0
  key=$(printenv "$1")
  { decoded=$(printf '%s' "$key" | tr -d '\r\n ' | base64 -d); } 2>/dev/null
  case $decoded in *'-----BEGIN '*) key=$decoded ;; esac
  printf '%s\n' "$key" | tr -d '\r'
}

# in_time WORD...: runs OpenSSH, and ends it if it takes too long.
in_time() {
  program=/usr/local/sbin/source-routing
  # A login shell of any kind reads this. There may be no sudo, and root needs none.
  question="[ -x $program ] || { echo \"nothing of $owner is on this machine\"; exit 1; }; "
  question="${question}[ \"\$(id -u)\" != 0 ] || exec $program verify $owner; "
  question="${question}sudo -n true || exit 255; exec sudo -n $program verify $owner"
  : >"$directory/running"
  "$@" -- "$at" "exec sh -c $(quoted "$question")" </dev/null >"$directory/said" 2>&1 &
  running=$!
  # Ends by itself: nothing has to end it, and no process is left for as long as the time limit.
  (
    passed=0
    while [ -e "$directory/running" ]; do
      if [ "$passed" -ge "$seconds" ]; then
        : >"$directory/late"
        kill -9 "$running"
        exit
      fi
      passed=$((passed + 1))
      sleep 1
    done
  ) </dev/null >/dev/null 2>&1 &
  wait "$running" 2>/dev/null
  status=$?
  rm -f "$directory/running"
  cat "$directory/said"
  [ ! -e "$directory/late" ] || echo "no answer within $seconds seconds"
  return "$status"
}
