# Before a change: would it cut off whoever is logged in, this run included? What the kernel
# would do with the replies of the SSH server is calculated for both states, before and after.

MOST_PEERS=50

# Who is logged in: $ssh, and whoever else is connected to the SSH server and has logged in. One
# a line, as management.awk reads it.
management_peers() {
  peers='
'
  count=0
  port=22
  unknown=
  if [ -n "$ssh" ]; then
    read -r peer _ server port rest <<END
$ssh
END
    add_peer "$peer" "$server" "$port" 0 login || unknown=$ssh
    case $port in '' | *[!0-9]*) port=22 ;; esac
  fi
  command -v ss >/dev/null 2>&1 || return 0
  ss -tnepH state established "sport = :$port" 2>/dev/null |
    while [ "$count" -lt "$MOST_PEERS" ] && read -r _ _ server peer rest; do
      who_has "$rest"
      [ "$login" != nobody ] || continue
      uid=0
      case $rest in
        *uid:*)
          uid=${rest#*uid:}
          uid=${uid%%[!0-9]*}
          ;;
      esac
      add_peer "${peer%:*}" "${server%:*}" "$port" "$uid" "$login" || :
    done
}

# Anybody on the Internet can open a connection to an SSH server and leave it there. Whose is it, as ss
# names its processes in $1? Sets login: to `login` if somebody has logged in, `nobody` if not yet, `unknown`
# if it is no OpenSSH. That gives the process of a login a title such as "sshd: USER@pts/0", "sshd-session:
# USER" since 9.8. Before that there is "[accepted]", "[priv]" or "[net]" in all its titles.
who_has() {
  login=unknown
  processes=$1
  while :; do
    case $processes in *pid=[0-9]*) ;; *) return 0 ;; esac
    processes=${processes#*pid=}
    title=
    # The end of the file is no end of a line. Some shells have something to say about its zeros.
    read -r title 2>/dev/null <"/proc/${processes%%[!0-9]*}/cmdline" || :
    case $title in
      sshd*:\ *\[*) login=nobody ;;
      sshd:\ ?* | sshd-session:\ ?*) login=login; return 0 ;;
    esac
  done
}

# add_peer PEER SERVER PORT UID LOGIN: prints a line, once. The forms are those of sshd and of ss:
# 1.2.3.4, fe80::1%eth0, [fe80::1]%eth0, ::ffff:1.2.3.4.
add_peer() {
  device=-
  plain_address "$1"
  to=$address
  plain_address "$2"
  family=4
  case $to in *:*) family=6 ;; esac
  case "$to $address" in
    *[!0-9A-Fa-f:.\ ]* | ' '* | *' ') return 1 ;;
    *:*\ *:*) ;;
    *:*) return 1 ;;
    *.*\ *.*) ;;
    *) return 1 ;;
  esac
  case $3 in '' | *[!0-9]*) return 1 ;; esac
  case $device in *[!A-Za-z0-9_.:@+-]*) return 1 ;; esac
  entry="$family $to $address $3 $device ${4:-0} $5"
  case $peers in
    *"
$entry
"*) return 0 ;;
  esac
  peers="$peers$entry
"
  count=$((count + 1))
  printf '%s\n' "$entry"
}

# Sets address, and device if one is given.
plain_address() {
  address=$1
  case $address in
    \[*)
      address=${address#?}
      address=${address%%]*}${address#*]}
      ;;
  esac
  case $address in
    *%*)
      device=${address#*%}
      address=${address%%%*}
      ;;
  esac
  case $address in
    ::[Ff][Ff][Ff][Ff]:*.*) address=${address##*:} ;;
  esac
}

# To be called when the plan was read; $LOCK/kernel has rules, routes and links.
check_management_path() {
  ! nothing_planned || return 0
  management_peers >"$LOCK/connections"
  [ -z "$unknown" ] || say "note: \"$unknown\" is no SSH connection; whether it would survive the change was not looked at"
  : >"$LOCK/peers"
  : >"$LOCK/answers"
  set -- part=peers "$LOCK/peers"
  for family in 4 6; do
    # Where nothing changes there is nothing to look at.
    [ -s "${PLAN}add$family" ] || [ -s "${PLAN}drop$family" ] || continue
    grep "^$family " "$LOCK/connections" >"$LOCK/peers$family" || continue
    cat "$LOCK/peers$family" >>"$LOCK/peers"
    while read -r _ peer server port device _; do
      [ "$device" = - ] || server="$server oif $device"
      printf 'route get %s from %s ipproto 6 sport %s\n' "$peer" "$server" "$port"
    done <"$LOCK/peers$family" | ip -N -o "-$family" -force -batch - >>"$LOCK/answers" 2>/dev/null || :
    set -- "$@" part=change "family=$family" "${PLAN}add$family"
  done
  [ -s "$LOCK/peers" ] || return 0
  set -- "$@" part=kernel "$LOCK/kernel" part=answers "$LOCK/answers" part=change
  for family in 4 6; do
    set -- "$@" "family=$family" "${PLAN}add$family" "${PLAN}drop$family"
  done
  if ! awk -v allow="$allow_management" "$AWK_ADDRESS$AWK_KERNEL$AWK_LOOKUP$AWK_MANAGEMENT" "$@" >"$LOCK/problems" 2>"$LOCK/error"; then
    first_line "$LOCK/error"
    printf 'E cannot foresee whether you would be locked out: %s\n' "${first:-awk failed}" >"$LOCK/problems"
  fi
  while IFS= read -r line; do
    case $line in
      E\ *) complain "${line#E }" ;;
      *) say "note: ${line#W }" ;;
    esac
  done <"$LOCK/problems"
}
