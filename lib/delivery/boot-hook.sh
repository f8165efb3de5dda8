#!/bin/sh
# What cloud-init runs at each boot. At the first one, it makes the machine one that has had an apply, of a generation
# that is called cloud-init. `current` comes last, so what was interrupted runs again.
# shellcheck disable=SC2154 # owner is set in front of this text

home=/var/lib/source-routing/$owner
# Belongs to the instance. Otherwise, what a clean-up has removed would be back after a reboot.
made=/var/lib/cloud/instance/source-routing-$owner
[ ! -e "$made" ] || exit 0
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
umask 077
new=$home/cloud-init
instance=$(cat /var/lib/cloud/data/instance-id 2>/dev/null) || instance=
if [ -e "$home/current" ]; then
  # A snapshot of a machine that has booted with another declaration has that one. What an apply has made stays.
  if [ "$(cat "$home/current")" != cloud-init ] || [ "$(cat "$new/instance")" = "$instance" ]; then
    : >"$made"
    exit 0
  fi
  rm "$home/current"
  sh "$home/agent" withdraw
fi
number=0
units=
rm -rf "$new"
mkdir -p "$new/files"
: >"$new/manifest"
printf '%s\n' "$instance" >"$new/instance"

# Installs standard input as file $2 with mode $1.
install_file() {
  local directory missing
  number=$((number + 1))
  # Forwarding of IPv4 does not depend on that of IPv6.
  case $2 in
    /etc/sysctl.d/99-z-*) if loses_default_route; then grep -v '^net/ipv6/conf/all/forwarding' || :; else cat; fi ;;
    *) cat ;;
  esac >"$new/files/$number"
  directory=${2%/*}
  missing=
  until [ -d "$directory" ]; do
    missing="$directory $missing"
    directory=${directory%/*}
  done
  for directory in $missing; do
    mkdir -m 755 "$directory"
    echo "dir $directory" >>"$new/manifest"
  done
  cp "$new/files/$number" "$2"
  chmod "$1" "$2"
  echo "file $1 $number $2" >>"$new/manifest"
}

# Notes unit $1, which start_units starts.
install_unit() {
  echo "unit $1" >>"$new/manifest"
  units="$units $1"
}

# This runs while the machine boots: to wait for a unit could be to wait for itself. systemd finds new units without a
# daemon-reload, in which netplan would write the files of all links anew.
start_units() {
  # Nothing is left if not. It is not tried again: the apply has checks of its own, and says more.
  if ! sh "$home/agent" check; then
    : >"$made"
    exit 0
  fi
  [ -d /run/systemd/system ] || return 0
  # shellcheck disable=SC2086 # a list of words
  systemctl enable --no-reload $units
  # shellcheck disable=SC2086
  systemctl start --no-block $units
}

has_nftables() {
  nft list tables >/dev/null 2>&1
}

# Would forwarding of IPv6 end a default route that the kernel has from router advertisements, or keep it from the first
# one? The apply refuses that, and says what to do.
loses_default_route() {
  local line link
  ip -6 -o route show default proto ra 2>/dev/null | while read -r line; do
    link=${line#* dev }
    cat "/proc/sys/net/ipv6/conf/${link%% *}/accept_ra"
  done | grep -q -x 1 && return 0
  ! ip -6 -o route show default 2>/dev/null | grep -q -v -E '^unreachable| proto (ra|kernel) ' || return 1
  ip -o link show up | while read -r _ link _; do
    link=${link%:}
    link=/proc/sys/net/ipv6/conf/${link%%@*}
    # A link that forwards already has ignored them so far.
    case $link in */lo) ;; *) cat "$link/disable_ipv6" "$link/forwarding" "$link/accept_ra" | tr -d '\n' ;; esac
    echo
  done 2>/dev/null | grep -q -x 001
}
