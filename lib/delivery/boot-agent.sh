#!/bin/sh
# The agent of a machine that booted with its declaration. The first apply over SSH puts the real one in its place.
# It is called like that one, and knows only what the unit and a clean-up ask for. What it sets is in the state file
# of a generation, so all of it belongs to the owner.

PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
home=${0%/*}
owner=${home##*/}
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

# Prints what ip says if it ends at a line that it cannot parse. It goes on behind one that the kernel refuses, and says
# its number last.
batch() {
  local said
  said=$(ip "-$1" -force -batch - 2>&1) && return 0
  case ${said##*Command failed -:} in
    *[!0-9]* | '') printf '%s\n' "${said##*Command failed -:}" ;;
  esac
}

# A route waits for its interface. What is there already stays as it is. At a line that it cannot parse, ip ends without
# a try of those that follow.
change_kernel() {
  local family line said
  for family in 4 6; do
    [ -n "$(kernel_lines "$1" "$family" | batch "$family")" ] || continue
    kernel_lines "$1" "$family" | while read -r line; do
      said=$(printf '%s\n' "$line" | batch "$family")
      [ -z "$said" ] || echo "source-routing: $line: $said" >&2
    done
  done
}

# `nft flush ruleset` takes the kill switch away, too.
keep() {
  local file
  file=/etc/source-routing/$owner.nft
  change_kernel add
  [ ! -e "$file" ] || nft list table inet "source_routing_$owner" >/dev/null 2>&1 || nft -f "$file"
}

# Prints family, address and link of the addresses of links that have a default route: SSH may come to them.
own_addresses() {
  local family defaults link address rest
  for family in 4 6; do
    defaults=$(ip -o "-$family" route show default table main 2>/dev/null)
    ip -o "-$family" address show scope global 2>/dev/null | while read -r _ link _ address rest; do
      case $rest in *tentative* | *temporary*) continue ;; esac
      case "$defaults " in *" dev $link "*) echo "$family ${address%%/*} $link" ;; esac
    done
  done
}

# Prints the same, each with its way out.
own_ways() {
  local family address link to
  own_addresses | while read -r family address link; do
    to=192.0.2.1
    [ "$family" = 4 ] || to=2001:db8::1
    to=$(ip -N -o "-$family" route get "$to" from "$address" 2>/dev/null |
      sed -n 's/^.* from [^ ]* \(.*dev [^ ]*\)\( table [0-9]*\)*.*/\1\2/p')
    echo "$family $address $link $to"
  done
}

# Prints the addresses whose way in $1 is not that of $2. A way by the link of the address is good, if it is new.
moved_ways() {
  local family address link way line before
  printf '%s\n' "$1" | while read -r family address link way; do
    way=${way% table *}
    printf '%s\n' "$2" | while read -r line; do
      case $line in "$family $address $link "*) ;; *) continue ;; esac
      before=${line#"$family $address $link "}
      before=${before% table *}
      case $before in
        '' | "$way") ;;
        *"dev $link") echo "$address" ;;
        *) case $way in *"dev $link") ;; *) echo "$address" ;; esac ;;
      esac
    done
  done
}

# Nobody could log in any more if the rules took the machine's own replies, as with a pool that has the address of the
# uplink. Then all is withdrawn. Without addresses, there is nothing to see yet.
check() {
  local with moved
  with=$(own_ways)
  # Only a way by another table, or none, may be due to a rule.
  if printf '%s\n' "$with" | grep -q -v -e ' dev [^ ]*$' -e '^$'; then
    change_kernel del 2>/dev/null
    moved=$(moved_ways "$with" "$(own_ways)")
    if [ -n "$moved" ]; then
      # Said first: systemd ends this when the unit stops.
      printf 'source-routing: %s withdrawn until the first apply: its rules move packets of the machine itself, from %s\n' \
        "$owner" "$(printf '%s\n' "$moved" | tr '\n' ' ')" >&2
      withdraw
      return 1
    fi
    change_kernel add 2>/dev/null
  fi
  own_addresses >"$made/checked"
}

has_new_address() {
  local line
  own_addresses | while read -r line; do
    grep -q -x -F -e "$line" "$made/checked" || echo "$line"
  done | grep -q .
}

# Prints the lines of the manifest that begin with $1.
manifest() {
  grep "^$1 " "$made/manifest"
}

# Nothing here waits for a unit, since one of them may be what calls this.
withdraw() {
  local path units
  units=$(manifest unit | cut -d ' ' -f 2)
  # shellcheck disable=SC2086 # a list of words
  [ -z "$units" ] || systemctl disable --no-reload $units >/dev/null 2>&1 || :
  manifest file | while read -r _ _ _ path; do
    rm -f "$path"
  done
  manifest dir | sort -r | while read -r _ path; do
    rmdir "$path" 2>/dev/null || :
  done
  # The owner that made it may have gone first.
  rmdir /etc/source-routing 2>/dev/null || :
  change_kernel del 2>/dev/null
  nft delete table inet "source_routing_$owner" 2>/dev/null || :
  rm -rf "$home"
  rmdir "${home%/*}" 2>/dev/null || :
  # shellcheck disable=SC2086
  [ -z "$units" ] || systemctl stop --no-block $units >/dev/null 2>&1 || :
}

remove() {
  local name
  # systemd stops no unit whose file is gone.
  manifest unit | while read -r _ name; do
    systemctl disable --now "$name" >/dev/null 2>&1 || :
  done
  withdraw
  systemctl daemon-reload
  echo "source-routing: done: nothing of $owner is on this machine"
}

case ${1-} in
  assert)
    keep
    # The boot hook checks by itself, at its end.
    [ ! -e "$made/checked" ] || [ -e /run/source-routing.lock ] || check || :
    ;;
  check) check ;;
  watch)
    # A run of the real agent, which changes the kernel, has the lock.
    while sleep 1; do
      [ ! -e /run/source-routing.lock ] || continue
      keep 2>/dev/null
      # The unit restarts, and asserts with the right to withdraw.
      ! has_new_address || exit 0
    done
    ;;
  withdraw) withdraw ;;
  remove) remove ;;
  *) exit 64 ;;
esac
