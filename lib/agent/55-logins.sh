# A change must not cut off anybody who is logged in, including this run. Before the change, the agent asks the kernel
# by which path it sends the replies of the SSH server. Right after the change, it asks again. If a path has changed,
# the change is undone at once.

MOST_PEERS=50

# Lists who is logged in: $ssh, and all others that are connected to the SSH server and have logged in. One login a
# line, in the form that logins.awk reads.
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

# Has somebody logged in on the connection whose processes ss names in $1? This matters, since anybody on the Internet
# can open an SSH connection and leave it open. Sets login: `login` if somebody has, `nobody` if not yet, `unknown` if
# the server is not OpenSSH. OpenSSH gives the process of a login a title such as "sshd: USER@pts/0", or since 9.8
# "sshd-session: USER". Before the login, all titles of its processes have "[accepted]", "[priv]" or "[net]".
who_has() {
  local processes title
  login=unknown
  processes=$1
  while :; do
    case $processes in *pid=[0-9]*) ;; *) return 0 ;; esac
    processes=${processes#*pid=}
    title=
    # The file does not end with a newline, so `read` fails. Some shells warn about its zero bytes.
    read -r title 2>/dev/null <"/proc/${processes%%[!0-9]*}/cmdline" || :
    case $title in
      sshd*:\ *\[*) login=nobody ;;
      sshd:\ ?* | sshd-session:\ ?*) login=login; return 0 ;;
    esac
  done
}

# add_peer PEER ITS-PORT SERVER PORT UID LOGIN: prints one line for all connections of a peer. Addresses have the forms
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

# Sets address to the plain form of $1, and device if $1 names one.
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

# Notes by which path the replies to each login go. Call it before a change, when the plan is read and $LOCK/kernel
# is current.
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
    mv "$LOCK/noted" "$LOCK/noted_logins" && login_answers >"$LOCK/answers_before"; } || cannot_ask || die 70 "nothing was changed: $problem"
}

login_answers() {
  cat "$LOCK/answers4" "$LOCK/errors4" "$LOCK/answers6" "$LOCK/errors6"
}

# Do the replies still take the same path as before? If not, sets problem and fails.
keeps_logins() {
  local first_problem more line
  [ -s "$LOCK/logins" ] || return 0
  put_questions login
  login_answers >"$LOCK/answers_after"
  ! cmp -s "$LOCK/answers_before" "$LOCK/answers_after" || return 0
  # The present rules show which rule is to blame.
  read_kernel 4 6
  expectations judge "$LOCK/login_questions" "$LOCK/noted_logins" >"$LOCK/moved" || cannot_ask || return 1
  # Terraform shows only the last line. The first login is its own, so that problem is printed last.
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
  # Each run reports this only once.
  [ ! -s "$LOCK/moved" ] || : >"$LOCK/logins"
  [ -z "$problem" ]
}
