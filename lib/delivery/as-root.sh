#!/bin/sh
# In front of the other scripts, which Terraform runs as the login user.
# shellcheck disable=SC2154 # owner is set in front of this text

# When Terraform goes away, so does the terminal: what has begun is to end in order all the same.
trap '' HUP
umask 077
script=$0

# finish STATUS FILE...: ends, and leaves none of the files behind.
finish() {
  status=$1
  shift
  # Terraform puts an empty file in this script's place once it has ended.
  (sleep 2; rm -f -- "$script" "$@") </dev/null >/dev/null 2>&1 &
  exit "$status"
}

# as_root COMMAND...: Terraform's terminal never ends, so nothing may read from it.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@" </dev/null
  elif ! command -v sudo >/dev/null 2>&1; then
    refuse "$(id -un) is not root and there is no sudo: install it, or set ssh.user to root"
  elif ! sudo -n true </dev/null 2>/dev/null; then
    refuse "sudo wants a password from $(id -un): allow it NOPASSWD in /etc/sudoers.d, or set ssh.user to root"
  else
    sudo -n "$@" </dev/null
  fi
}

refuse() {
  echo "source-routing: ERROR: $1; nothing was changed"
  return 69
}
