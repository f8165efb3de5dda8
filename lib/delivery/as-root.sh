#!/bin/sh
# This text is put in front of the other scripts. Terraform runs them as the login user.
# shellcheck disable=SC2154 # owner is set in front of this text

# The terminal ends when Terraform ends, but a run that has begun must still finish in order.
trap '' HUP
umask 077
# If sudo has no secure_path, it uses this PATH.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
export PATH
script=$0
# All uploaded files are in this directory, and nowhere else.
here=${script%/*}

# finish STATUS FILE...: exits with STATUS, and removes this script and the files.
finish() {
  status=$1
  shift
  # After a success, Terraform overwrites this script with an empty file. If the script were removed before, the empty
  # file would stay.
  (
    tries=0
    while [ "$status" -eq 0 ] && [ -s "$script" ] && [ "$tries" -lt 100 ]; do
      tries=$((tries + 1))
      sleep 0.3 || sleep 1
    done
    rm -f -- "$script" "$@"
  ) </dev/null >/dev/null 2>&1 &
  exit "$status"
}

# as_root COMMAND...: runs COMMAND as root. Terraform's terminal never sends an end of file, so nothing may read
# from it.
as_root() {
  private || return
  if [ "$(id -u)" -eq 0 ]; then
    "$@" </dev/null
  elif ! command -v sudo >/dev/null 2>&1; then
    refuse "$(id -un) is not root and there is no sudo: install it, or set ssh.user to root"
  elif ! sudo -n true </dev/null 2>/dev/null; then
    refuse "sudo wants a password from $(id -un): allow it NOPASSWD: ALL in /etc/sudoers.d, or set ssh.user to root"
  else
    sudo -n "$@" </dev/null
  fi
}

# private: succeeds if only this user and root can get here. Terraform has made this script writable for everybody,
# so a directory above it must keep others out. Others must not be able to change any directory above that one.
private() {
  case $here in
    /*) place=$here ;;
    *) place=$(pwd -P)/$here ;;
  esac
  path=/
  rest=${place#/}/
  while :; do
    # shellcheck disable=SC2046 # mode, number of links, owner
    set -- $(LC_ALL=C ls -ldn -- "$path")
    if [ "${3-}" != 0 ] && [ "${3-}" != "$(id -u)" ]; then
      refuse "$path belongs to another user, who could change what root is to run: set ssh.scriptDirectory to a directory of $(id -un)'s own"
      return
    fi
    case $1 in
      l*)
        refuse "$path is a link: set ssh.scriptDirectory to where it leads"
        return
        ;;
      d?????[-S]??[-T]*) return 0 ;;
      # In a directory with the sticky bit, others cannot replace our files.
      d????w???[!tT]* | d???????w[!tT]*)
        refuse "others can write to $path, and so change what root is to run: chmod go-w $path"
        return
        ;;
      *) ;;
    esac
    [ -n "$rest" ] || break
    path=${path%/}/${rest%%/*}
    rest=${rest#*/}
  done
  refuse "others can enter $path, and so change what root is to run: chmod go-rwx $path"
}

refuse() {
  echo "source-routing: refused, nothing was changed: $1"
  return 69
}
