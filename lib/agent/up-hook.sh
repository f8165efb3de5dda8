#!/bin/sh
# Managed by cdktf-source-routing: changes made here are lost with the next apply.
#
# Run by a VPN daemon when a tunnel is up (OpenVPN: --up; WireGuard: PostUp = FILE %i).
# Copies the routes of the tunnel from the main table into the tables below. Rules send the traffic of
# clients to those tables, and clients must still reach each other and this machine. The kernel removes
# the routes together with the tunnel, so there is no down hook.

# Clients can set words in the environment of the daemon, so dangerous variables are removed.
unset IFS CDPATH ENV BASH_ENV
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin
LC_ALL=C
export PATH LC_ALL

tables='@TABLES@'

# A failing hook would stop the tunnel from coming up, so errors are only printed.
complain() {
  printf 'source-routing: %s: %s\n' "$0" "$*" >&2
}

copy_routes() {
  ip "-$1" -o route show table main dev "$device" | while read -r prefix word gateway rest; do
    case $prefix in
      default | 169.254.* | 22[4-9].* | 23[0-9].* | fe80:* | ff*) continue ;;
      *[!0-9a-f.:/]*) continue ;; # a type, such as unreachable
    esac
    [ "$word" = via ] || gateway=
    for table in $tables; do
      # shellcheck disable=SC2086  # the gateway is two words, or none
      ip "-$1" route replace "$prefix" ${gateway:+via "$gateway"} dev "$device" table "$table" proto 78 ||
        complain "cannot copy the route to $prefix into table $table"
    done
  done
}

# OpenVPN gives the interface in the variable dev, wg-quick as the first argument.
device=${dev:-${1-}}
case $device in
  '' | -* | *[!A-Za-z0-9_.:@+-]*)
    complain "no device, or not the name of one: \"$device\""
    exit 0
    ;;
esac
copy_routes 4
copy_routes 6
exit 0
