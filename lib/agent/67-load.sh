# How network managers and firewalld reload their files without interrupting the link.

# Makes the managers of generations $2... read again what this run has written or removed. State file $1 is what the
# kernel has by now.
load_managers() {
  local generation_of
  now_there=$1
  shift
  : >"$LOCK/loads"
  for generation_of in "$@"; do
    has_loadable "$generation_of" || continue
    persistence_of "$generation_of"
    sed -n -e "s/^network /loaded $persistence /p" -e "s/^block [^ ]* /loaded $persistence /p" \
      -e "s/^profile [^ ]* /loaded $persistence /p" "$generation_of/manifest" >>"$LOCK/loads"
  done
  case $changed_files in *' /etc/firewalld/'*) echo 'loaded firewalld' >>"$LOCK/loads" ;; esac
  [ -s "$LOCK/loads" ] || return 0
  # An undo must load the same files again.
  cat "$LOCK/loads" >>"$undo_log/undo" && load "$LOCK/loads" "$now_there"
}

# Has this run changed a file of generation $1 that a network manager reads?
has_loadable() {
  awk '$1 == "file" && $4 ~ "^/etc/(systemd/network|netplan)/" { print " " $4 " " }
    sub(/^block [^ ]* /, " ") { print $0 " " }' "$1/manifest" >"$LOCK/loadable"
  [ -s "$LOCK/loadable" ] && printf '%s\n' "$changed_files" | grep -q -F -f "$LOCK/loadable"
}

# Carries out the lines of file $1: "loaded networkd|netplan NETWORK-FILE", "loaded
# network-manager|netplan-network-manager PROFILE", "loaded firewalld". $2 is the state file of what the kernel has.
# Sets problem on failure.
load() {
  local networks name rest
  now_there=$2
  ! grep -q '^loaded netplan' "$1" || keeping_networks netplan generate || fail_with 'netplan generate failed' || return 1
  while read -r _ name rest; do
    case $name in *network-manager) load_profile "$rest" || return 1 ;; esac
  done <"$1"
  networks=$(sed -n -e 's/^loaded networkd //p' -e 's/^loaded netplan //p' "$1")
  # shellcheck disable=SC2086  # a list of words
  [ -z "$networks" ] || load_networks $networks || return 1
  if grep -q '^loaded firewalld' "$1" && has_service firewalld.service; then
    firewall-cmd -q --reload 2>"$LOCK/error" || fail_with 'firewall-cmd --reload failed'
  fi
}

# Runs a command in which netplan writes all files anew: its own, or a daemon-reload, which runs its generator. For
# systemd-networkd a new file is a change, so it would remove the addresses of the uplink for a moment. If the contents are
# the same as before, the old file itself is put back.
keeping_networks() {
  local file status
  rm -rf "$LOCK/generated" && mkdir "$LOCK/generated" 2>"$LOCK/error" || return 1
  # If this fails, the reload is still correct, but not hitless.
  ln /run/systemd/network/10-netplan-* "$LOCK/generated/" 2>/dev/null || :
  status=0
  "$@" >"$LOCK/error" 2>&1 || status=1
  for file in "$LOCK/generated"/*; do
    ! cmp -s "$file" "/run/systemd/network/${file##*/}" || mv -f "$file" /run/systemd/network/
  done
  return "$status"
}

# If the files of a link have changed, systemd-networkd deletes its IPv4 addresses and adds them again. The routes of
# the link disappear with the addresses. KeepConfiguration prevents this. It is set for this one reload only, so that
# the files otherwise keep their meaning.
KEEP=99-source-routing-keep.conf
load_networks() {
  local network loaded
  has_service systemd-networkd.service || return 0
  # Links of the last reload have changed, too: their KeepConfiguration file is gone.
  # shellcheck disable=SC2046  # a list of words
  [ ! -f "$KEPT" ] || set -- $(printf '%s\n' "$@" | sort -u - "$KEPT")
  for network in "$@"; do
    # If this fails, the reload is still correct, but not hitless.
    { mkdir -p "/run/systemd/network/$network.d" && chmod 0755 /run/systemd/network "/run/systemd/network/$network.d" &&
      printf '[Network]\nKeepConfiguration=static\n' | put_file 0644 "/run/systemd/network/$network.d/$KEEP"; } 2>/dev/null || :
  done
  printf '%s\n' "$@" >"$KEPT"
  stand_in "$now_there"
  loaded=1
  networkctl reload 2>"$LOCK/error" || loaded=
  # networkctl returns before the reload has finished.
  pause 0.3
  for network in "$@"; do
    rm -f "/run/systemd/network/$network.d/$KEEP"
    rmdir "/run/systemd/network/$network.d" 2>/dev/null || :
  done
  [ -n "$loaded" ] || fail_with 'networkctl reload failed'
}

# When systemd-networkd reads its files, it deletes rules and routes that it does not know yet, or knows under another
# link. It adds some of them again. Each one in state file $1 gets a copy with `proto kernel`, which systemd-networkd
# does not touch. Copies of routes come behind all other routes except the fail-closed ones. The next look removes
# the copies, once everything is there (see plan.awk).
stand_in() {
  local family
  for family in 4 6; do
    awk -v family="$family" '
      $2 != family { next }
      $1 == "rule" || $1 == "static" { print "rule add pref " $3 substr($0, length($1 $2 $3) + 3) " proto kernel" }
      $1 == "route" && !/ type / && ($3 < 253 || $3 > 255) {
        words = substr($0, length($1 $2 $3 $4 $5) + 5)
        sub(/ proto [0-9]+$/, "", words)
        printf "route add %s table %s metric %.0f proto kernel%s\n", $4, $3, 4278190000 + ($5 < 8000 ? $5 : 8000), words
      }' "$1" | ip "-$family" -force -batch - >/dev/null 2>&1 || :
  done
}

# Prints the uuid of the profile in file $1.
profile_of() {
  local file uuid
  nmcli -e no -t -f UUID,FILENAME connection show 2>/dev/null | while IFS=: read -r uuid file; do
    [ "$file" != "$1" ] || printf '%s' "$uuid"
  done
}

# Has NetworkManager accepted all blocks of generation $1? It leaves out what it does not understand, and says so
# only in the journal. A route that loses its options would be in the main table.
check_loaded() {
  local path word property line refused number
  has_loadable "$1" && has_service NetworkManager.service || return 0
  while read -r word number path; do
    case $word in block | profile) ;; *) continue ;; esac
    nmcli -e no -g ipv4.routes,ipv4.routing-rules,ipv6.routes,ipv6.routing-rules connection show uuid "$(profile_of "$path")" \
      >"$LOCK/loaded" 2>"$LOCK/error" || fail_with "NetworkManager has no profile $path any more" || return 1
    for property in ipv4.routes ipv4.routing-rules ipv6.routes ipv6.routing-rules; do
      IFS= read -r line || line=
      printf '%s\t%s\n' "$property" "$line"
    done <"$LOCK/loaded" >"$LOCK/values"
    refused=$(awk -v loaded=1 "$AWK_KEYFILE" part=ours "$1/files/$number" part=file "$LOCK/values") || refused='(awk failed)'
    [ -z "$refused" ] || fail "NetworkManager does not take from $path: $refused. See: journalctl -u NetworkManager" || return 1
  done <"$1/manifest"
}

# Loads profile $1. It takes effect when the connection comes up the next time. Reapplying it now would interrupt IPv6
# on the device for one or two seconds. Until then, NetworkManager may bring back the old routes when the link comes
# up: see 66-retired.sh.
load_profile() {
  has_service NetworkManager.service || return 0
  { nmcli connection load "$1" >"$LOCK/error" 2>&1 && [ ! -s "$LOCK/error" ]; } || fail_with "nmcli connection load $1 failed"
}
