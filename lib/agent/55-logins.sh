# A change must not cut off anybody who is logged in, including this run. Before the change, the agent asks the kernel
# by which path it sends the replies of the SSH server. Right after the change, it asks again. If a path has changed,
# the change is undone at once.

# Lists $ssh, and all others that are connected to the SSH server and have logged in, in the form that logins.awk reads.
list_logins() {
  local port server peer rest uid
  # The last of its four words is the port of the server.
  port=${ssh##* }
  [ -z "$ssh" ] || printf 'given 0 %s\n' "$ssh"
  case $port in '' | *[!0-9]*) port=22 ;; esac
  command -v ss >/dev/null 2>&1 || return 0
  ss -tnepH state established "sport = :$port" 2>/dev/null | while read -r _ _ server peer rest; do
    who_has "$rest"
    [ "$login" != nobody ] || continue
    uid=0
    case $rest in *uid:*) uid=${rest#*uid:} ;; esac
    printf '%s %s %s %s %s %s\n' "$login" "${uid%%[!0-9]*}" "${peer%:*}" "${peer##*:}" "${server%:*}" "$port"
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

# Notes by which path the replies to each login go. Call it before a change, when the plan is read and $LOCK/kernel
# is current.
note_logins() {
  local file
  : >"$LOCK/logins"
  ! nothing_planned || return 0
  list_logins >"$LOCK/logins"
  [ -s "$LOCK/logins" ] || return 0
  grep -e '^family' -e '^[0-9]*:[^ ]' "$LOCK/kernel" >"$LOCK/rules_before" || :
  for file in login_questions login4 login6 links noted_logins; do
    : >"$LOCK/$file"
  done
  { ask_awk logins part=logins "$LOCK/logins" part=told "${PLAN}add4" "${PLAN}add6" "${PLAN}drop4" "${PLAN}drop6" \
    "$LOCK/kernel" >"$LOCK/unknown_logins" && put_questions login &&
    expectations note "$LOCK/login_questions" "$LOCK/noted_logins" >"$LOCK/noted" &&
    mv "$LOCK/noted" "$LOCK/noted_logins" && login_answers >"$LOCK/answers_before"; } ||
    cannot_ask || die 70 "nothing was changed: $problem"
  show "$LOCK/unknown_logins"
}

login_answers() {
  cat "$LOCK/answers4" "$LOCK/errors4" "$LOCK/answers6" "$LOCK/errors6"
}

# Do the replies still take the same path as before? If not, sets problem and fails.
keeps_logins() {
  local more
  [ -s "$LOCK/logins" ] || return 0
  put_questions login
  login_answers >"$LOCK/answers_after"
  ! cmp -s "$LOCK/answers_before" "$LOCK/answers_after" || return 0
  # The present rules show which rule is to blame.
  read_kernel 4 6
  expectations judge "$LOCK/login_questions" "$LOCK/noted_logins" >"$LOCK/moved" || cannot_ask || return 1
  # Terraform shows only the last line. The first login is its own, so that problem is printed last.
  awk -v most="$SHOWN" '/^W / { print "note: " substr($0, 3) }
    /^E / && n++ && n <= most { print substr($0, 3) }' "$LOCK/moved" | say_lines
  problem=$(sed -n '/^E /{s/^E //p;q;}' "$LOCK/moved")
  more=$(($(grep -c '^E ' "$LOCK/moved") - 1))
  [ "$more" -le 0 ] || problem="$problem. Other logins that moved: $more"
  # Each run reports this only once.
  [ ! -s "$LOCK/moved" ] || : >"$LOCK/logins"
  [ -z "$problem" ]
}
