# A change must not cut off whoever is logged in, this run included. Before the change the kernel is asked which way it
# sends the replies of the SSH server, and right after it once more. If a way has moved, the change is undone at once.

MOST_PEERS=50

# Who is logged in: $ssh, and whoever else is connected to the SSH server and has logged in. One
# a line, as logins.awk reads it.
list_logins() {
  local peers count port from peer rest server uid
  peers=$NEWLINE
  count=0
  port=22
  unknown=
  if [ -n "$ssh" ]; then
    read -r peer from server port rest <<END
$ssh
END
    add_peer "$peer" "$from" "$server" "$port" 0 login || unknown=$ssh
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
      add_peer "${peer%:*}" "${peer##*:}" "${server%:*}" "$port" "$uid" "$login" || :
    done
}

# Anybody on the Internet can open a connection to an SSH server and leave it there. Whose is it, as ss
# names its processes in $1? Sets login: to `login` if somebody has logged in, `nobody` if not yet, `unknown`
# if it is no OpenSSH. That gives the process of a login a title such as "sshd: USER@pts/0", "sshd-session:
# USER" since 9.8. Before that there is "[accepted]", "[priv]" or "[net]" in all its titles.
who_has() {
  local processes title
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

# add_peer PEER ITS-PORT SERVER PORT UID LOGIN: prints a line, once for all connections of a peer. The forms are those
# of sshd and of ss: 1.2.3.4, fe80::1%eth0, [fe80::1]%eth0, ::ffff:1.2.3.4.
add_peer() {
  local to family entry device
  device=-
  plain_address "$1"
  to=$address
  plain_address "$3"
  family=4
  case $to in *:*) family=6 ;; esac
  case "$to $address" in
    *[!0-9A-Fa-f:.\ ]* | ' '* | *' ') return 1 ;;
    *:*\ *:*) ;;
    *:*) return 1 ;;
    *.*\ *.*) ;;
    *) return 1 ;;
  esac
  case $2$4 in *[!0-9]*) return 1 ;; esac
  [ -n "$2" ] && [ -n "$4" ] || return 1
  case $device in *[!A-Za-z0-9_.:@+-]*) return 1 ;; esac
  entry="$family $to $address $4 $device ${5:-0} $6"
  case $peers in
    *"$NEWLINE$entry$NEWLINE"*) return 0 ;;
  esac
  peers=$peers$entry$NEWLINE
  count=$((count + 1))
  printf '%s\n' "$entry $2"
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

# Before a change, with the plan read and $LOCK/kernel of now: notes which way the replies go to whoever is logged in.
note_logins() {
  local file
  : >"$LOCK/logins"
  ! nothing_planned || return 0
  list_logins >"$LOCK/logins"
  [ -z "$unknown" ] || say "note: \"$unknown\" is no SSH connection; whether it survives the change is not looked at"
  [ -s "$LOCK/logins" ] || return 0
  grep -e '^family' -e '^[0-9]*:[^ ]' "$LOCK/kernel" >"$LOCK/rules_before" || :
  for file in login_questions login4 login6 links noted_logins; do
    : >"$LOCK/$file"
  done
  { ask_awk logins part=logins "$LOCK/logins" part=told "${PLAN}add4" "${PLAN}add6" "${PLAN}drop4" "${PLAN}drop6" \
    "$LOCK/kernel" && put_questions login && expectations note "$LOCK/login_questions" "$LOCK/noted_logins" >"$LOCK/noted" &&
    mv "$LOCK/noted" "$LOCK/noted_logins" && login_answers >"$LOCK/answers_before"; } || {
    cannot_ask
    die 70 "nothing was changed: $problem"
  }
}

login_answers() {
  cat "$LOCK/answers4" "$LOCK/errors4" "$LOCK/answers6" "$LOCK/errors6"
}

# Do the replies still go the way that they went before? Sets problem, and fails, if not.
keeps_logins() {
  local first_problem more line
  [ -s "$LOCK/logins" ] || return 0
  put_questions login
  login_answers >"$LOCK/answers_after"
  ! cmp -s "$LOCK/answers_before" "$LOCK/answers_after" || return 0
  # Who is to blame is seen in the rules of this moment.
  read_rules >"$LOCK/kernel"
  expectations judge "$LOCK/login_questions" "$LOCK/noted_logins" >"$LOCK/moved" || { cannot_ask; return 1; }
  # Terraform shows the last line only: the first login is its own.
  first_problem=
  more=0
  while IFS= read -r line; do
    case $line in
      W\ *) say "note: ${line#W }" ;;
      *)
        if [ -z "$first_problem" ]; then
          first_problem=${line#E }
        else
          more=$((more + 1))
          [ "$more" -ge "$SHOWN" ] || say "${line#E }"
        fi
        ;;
    esac
  done <"$LOCK/moved"
  problem=$first_problem
  [ "$more" -eq 0 ] || problem="$problem. Other logins that moved: $more"
  # Said once.
  [ ! -s "$LOCK/moved" ] || : >"$LOCK/logins"
  [ -z "$problem" ]
}
