#!/bin/sh
# The agent of a machine that booted with its declaration. The first apply over SSH puts the real one in its place.
# It is called like that one, and knows only what the unit and a clean-up ask for. What it sets is in the state file
# of a generation, so all of it belongs to the owner.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
home=${0%/*}
made=$home/cloud-init

# Prints the lines for `ip -batch` that add (or del) the rules and routes of family $2.
kernel_lines() {
  local word family place rest destination metric type
  while read -r word family place rest; do
    [ "$family" = "$2" ] || continue
    case $word in
      guard) printf 'rule %s pref %s %s proto 2\n' "$1" "$place" "$rest" ;;
      rule) printf 'rule %s pref %s %s proto 77\n' "$1" "$place" "$rest" ;;
      route)
        destination=${rest%% *}
        rest="${rest#* } "
        metric=${rest%% *}
        rest=${rest#* }
        type=
        case $rest in
          'type '*)
            rest=${rest#type }
            type="${rest%% *} "
            rest=${rest#* }
            ;;
        esac
        printf 'route %s %s%s table %s metric %s proto 77 %s\n' "$1" "$type" "$destination" "$place" "$metric" "$rest"
        ;;
    esac
  done <"$made/state"
}

# A route waits for its interface. What is there already stays as it is.
change_kernel() {
  local family
  for family in 4 6; do
    kernel_lines "$1" "$family" | ip "-$family" -force -batch - >/dev/null 2>&1 || :
  done
}

# Prints the lines of the manifest that begin with $1.
manifest() {
  grep "^$1 " "$made/manifest"
}

remove() {
  local owner name path
  owner=${home##*/}
  # systemd stops no unit whose file is gone.
  manifest unit | while read -r _ name; do
    systemctl disable --now "$name" >/dev/null 2>&1 || :
  done
  manifest file | while read -r _ _ _ path; do
    rm -f "$path"
  done
  manifest dir | sort -r | while read -r _ path; do
    rmdir "$path" 2>/dev/null || :
  done
  change_kernel del
  nft delete table inet "source_routing_$owner" 2>/dev/null || :
  systemctl daemon-reload
  rm -rf "$home"
  rmdir "${home%/*}" 2>/dev/null || :
  echo "source-routing: done: nothing of $owner is on this machine"
}

case ${1-} in
  assert) change_kernel add ;;
  watch)
    # A run of the real agent, which changes the kernel, has the lock.
    while sleep 1; do
      [ -e /run/source-routing.lock ] || change_kernel add
    done
    ;;
  remove) remove ;;
  *) exit 64 ;;
esac
