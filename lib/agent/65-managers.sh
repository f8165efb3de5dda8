# Network managers: who is in charge of a device, where its configuration is, and how it is read
# again without touching the link. They are called as persistences are.

# Sets manager, empty if it is none of those known here, configured_in: where that one has the
# configuration of device $1, and lacking: what must be done before it reads what is put there.
manager_of() {
  manager=
  configured_in=
  lacking=
  managed_by_networkd "$1" || managed_by_network_manager "$1" || managed_by_network_scripts "$1" ||
    managed_by_ifupdown "$1" || :
}

has_service() {
  has_systemd && systemctl is-active "$1" >/dev/null 2>&1
}

managed_by_networkd() {
  has_service systemd-networkd.service && command -v networkctl >/dev/null 2>&1 || return 1
  networkctl --no-pager --no-legend status "$1" >"$LOCK/manager" 2>/dev/null || return 1
  setup=
  while read -r word value; do
    case $word,$value in
      Network,File:\ *) configured_in=${value#File: } ;;
      State:,*) setup=$value ;;
    esac
  done <"$LOCK/manager"
  case $setup,$configured_in in
    *unmanaged*,* | *,'' | *,n/a) configured_in=; return 1 ;;
    *,/run/systemd/network/*-netplan-*) manager=netplan ;;
    *) manager=networkd ;;
  esac
  # What stands beside such a file would come up with all of them.
  [ "$(networkctl --no-pager --lines=0 --all status 2>/dev/null | grep -c " Network File: $configured_in\$")" -le 1 ] ||
    manager="$manager with one file for several interfaces"
}

managed_by_network_manager() {
  command -v nmcli >/dev/null 2>&1 || return 1
  nmcli -e no -g GENERAL.STATE,GENERAL.CON-UUID device show "$1" >"$LOCK/manager" 2>/dev/null || return 1
  { read -r setup && read -r profile; } <"$LOCK/manager" || return 1
  # "100 (connected (externally))" is a device that somebody else has configured.
  case $setup,$profile in *externally*,* | *,) return 1 ;; esac
  nmcli -e no -t -f UUID,FILENAME connection show >"$LOCK/manager" 2>/dev/null || return 1
  while IFS=: read -r uuid file; do
    [ "$uuid" != "$profile" ] || configured_in=$file
  done <"$LOCK/manager"
  case $configured_in in
    '') return 1 ;;
    # Another one than netplan: it does not hand rules on.
    */netplan-*) manager='netplan with NetworkManager' ;;
    */ifcfg-*)
      manager='network-scripts'
      if [ "${configured_in##*/ifcfg-}" != "$1" ]; then
        lacking="rule-${configured_in##*/ifcfg-} is what is read for that, not rule-$1: name the file ifcfg-$1"
      elif ! has_dispatcher; then
        lacking="NetworkManager does not read rule-$1: install the package NetworkManager-dispatcher-routing-rules"
      fi
      ;;
    *) manager='network-manager' ;;
  esac
}

# Without it, NetworkManager silently ignores the rules of network scripts. One in /etc stands
# in for one of the same name, so a link to /dev/null there switches it off.
has_dispatcher() {
  for dispatcher in /etc /usr/lib; do
    dispatcher=$dispatcher/NetworkManager/dispatcher.d/10-ifcfg-rh-routes.sh
    exists "$dispatcher" && break
  done
  [ -f "$dispatcher" ]
}

# The network service of the package network-scripts.
managed_by_network_scripts() {
  configured_in=/etc/sysconfig/network-scripts/ifcfg-$1
  if [ ! -f "$configured_in" ] || [ ! -f /etc/sysconfig/network-scripts/ifup-routes ]; then
    configured_in=
    return 1
  fi
  manager='network-scripts'
}

managed_by_ifupdown() {
  command -v ifquery >/dev/null 2>&1 || return 1
  answer=0
  ifquery --state "$1" >/dev/null 2>&1 || answer=$?
  if [ "$answer" != 0 ]; then
    # ifupdown2 does not know that option: it is in charge of what it has a stanza for.
    [ "$answer" = 2 ] && ifquery "$1" >/dev/null 2>&1 || return 1
    settings=/etc/network/ifupdown2/ifupdown2.conf
    grep -q '^addon_scripts_support=1' "$settings" 2>/dev/null ||
      lacking="it does not run what is in /etc/network/if-up.d: set addon_scripts_support=1 in $settings"
  fi
  configured_in=/etc/network/interfaces
  manager=ifupdown
}

# How the persistence that manager $1 wants is declared.
persistence_call() {
  case $1 in
    network-manager) call='Persistence.networkManager()' ;;
    network-scripts) call='Persistence.networkScripts()' ;;
    networkd | netplan | ifupdown) call="Persistence.$1()" ;;
    *) call='Persistence.service()' ;;
  esac
}

# The persistence of generation $1, and the devices that its manager must be in charge of: sets
# persistence and devices.
persistence_of() {
  persistence=
  devices=
  [ -f "$1/manifest" ] || return 0
  while read -r word name rest; do
    [ "$word" = persistence ] || continue
    persistence=$name
    devices=$rest
    break
  done <"$1/manifest"
}

# Is manager $1 in charge of devices $2...? If not, sets device, and manager to the one that is.
in_charge() {
  wanted_manager=$1
  shift
  for device in "$@"; do
    manager_of "$device"
    { [ "$manager" = "$wanted_manager" ] && [ -z "$lacking" ]; } || return 1
  done
}

# Which of the persistences that bundle $1 names is it to be? The only one; or, if that is left to the
# machine, the one that is in force; or that of who is in charge. Sets chosen and automatic.
chosen=
automatic=
choose_persistence() {
  awk -v mark="$BUNDLE_MARK" '$0 == mark { data = 1 } data && $1 == "for" { exit }
    data && ($1 == "automatic" || sub(/^persistence /, "")) { sub(/ (own|static)/, ""); print }' "$1" >"$LOCK/persistences"
  automatic=
  read -r chosen _ <"$LOCK/persistences" || chosen=
  [ "$chosen" = automatic ] || return 0
  automatic=1
  persistence_of "$current"
  now_in_force=$persistence
  chosen=
  while read -r name devices; do
    [ "$name" != automatic ] || continue
    # shellcheck disable=SC2086  # a list of words
    [ -z "$devices" ] || in_charge "$name" $devices || continue
    chosen=$name
    # service is the last one, and always possible.
    [ "$name" != "$now_in_force" ] || return 0
    [ -z "$now_in_force" ] || continue
    return 0
  done <"$LOCK/persistences"
  [ -n "$now_in_force" ] || return 0
  while read -r name devices; do
    [ "$name" = "$now_in_force" ] || continue
    # shellcheck disable=SC2086  # a list of words
    in_charge "$name" $devices || :
    persistence_call "${lacking:+service of }$manager"
    complain "the rules of $owner were made permanent by $name, but now $device is managed by ${manager:-no network manager that is known here}${configured_in:+ ($configured_in)}${lacking:+, and $lacking}. Moving them is for you to decide: declare $call once, then automatic choice keeps that"
  done <"$LOCK/persistences"
  [ "$PROBLEMS" -ne 0 ] ||
    complain "the rules of $owner were made permanent by $now_in_force, which cannot express what is declared now. Moving them is for you to decide: declare Persistence.service() once, then automatic choice keeps that"
  refuse_if_problems 69
}

# Is the manager that generation $1 needs in charge, and where does it have its configuration?
# Puts paths into the manifest where it has the name of a device.
place_files() {
  persistence_of "$1"
  : >"$LOCK/places"
  for device in $devices; do
    manager_of "$device"
    if [ "$manager" != "$persistence" ]; then
      persistence_call "$manager"
      complain "$device is managed by ${manager:-no network manager that is known here}${configured_in:+ ($configured_in)}, not by $persistence: use $call"
      continue
    elif [ -n "$lacking" ]; then
      complain "$device is managed by $manager ($configured_in), but $lacking, or use Persistence.service()"
      continue
    fi
    [ "$persistence" != netplan ] || name_in_netplan "$1"
    case $persistence in
      networkd | netplan) place=/etc/systemd/network/${configured_in##*/}.d ;;
      *) place=$configured_in ;;
    esac
    printf '%s %s\n' "$device" "$place" >>"$LOCK/places"
  done
  refuse_if_problems 69
  awk 'part == "places" { at = index($0, " "); PLACE[substr($0, 1, at - 1)] = substr($0, at + 1); next }
    match($0, / @[^\/]+/) {
      device = substr($0, RSTART + 2, RLENGTH - 2)
      $0 = substr($0, 1, RSTART) PLACE[device] substr($0, RSTART + RLENGTH)
    }
    { print }
    END { for (device in PLACE) if (sub(/^\/etc\/systemd\/network\//, "", PLACE[device])) {
      sub(/\.d$/, "", PLACE[device])
      print "network " PLACE[device]
    } }' part=places "$LOCK/places" part=manifest "$1/manifest" >"$1/placed" || die 70 "cannot write $1/placed, nothing was changed: is the disk full?"
  mv -f "$1/placed" "$1/manifest" || die 70 "cannot write $1/manifest, nothing was changed"
  [ -z "$automatic" ] || say "made permanent by $persistence${devices:+, which manages $devices}"
}

# Puts the name by which netplan calls $device into the file of generation $1, and what it is: the
# bundle has an Ethernet of its own name there.
name_in_netplan() {
  id=${configured_in##*/10-netplan-}
  id=${id%.network}
  [ -e "$LOCK/netplan" ] || netplan get all >"$LOCK/netplan" 2>"$LOCK/error" || {
    # Behind a Python traceback.
    first=$(sed -n 's/^.*Exception: //p' "$LOCK/error")
    complain "netplan get failed: ${first:-see what it says}"
    refuse_if_problems 69
  }
  kind=
  section=
  while IFS= read -r line; do
    case $line in
      "    $id:" | "    \"$id\":") section=$kind ;;
      '   '*) ;;
      '  '*:) kind=${line#  } ;;
    esac
  done <"$LOCK/netplan"
  case $section,$id in
    ,* | *,*[!A-Za-z0-9._:-]*)
      complain "netplan made $configured_in for $device, but \"netplan get\" says nothing of \"$id\": use Persistence.service()"
      return
      ;;
  esac
  while read -r word _ number path; do
    [ "$word $path" = "file /etc/netplan/90-source-routing-$owner-$device.yaml" ] || continue
    { awk -v section="  $section" -v id="    \"$id\":" '/^  ethernets:$/ { $0 = section } /^    "/ { $0 = id } { print }' \
      "$1/files/$number" >"$LOCK/named" && cat "$LOCK/named" >"$1/files/$number"; } ||
      die 70 "cannot write $1/files/$number, nothing was changed: is the disk full?"
  done <"$1/manifest"
}

# Has the managers of generations $2... read again what this run has written or removed, where state
# file $1 says what the kernel has by now.
load_managers() {
  now_there=$1
  shift
  : >"$LOCK/loads"
  for generation_of in "$@"; do
    has_loadable "$generation_of" || continue
    persistence_of "$generation_of"
    while read -r word first rest; do
      case $word in
        network) printf 'loaded %s %s\n' "$persistence" "$first" ;;
        block) printf 'loaded %s %s\n' "$persistence" "$rest" ;;
      esac
    done <"$generation_of/manifest" >>"$LOCK/loads"
  done
  [ -s "$LOCK/loads" ] || return 0
  # Going back will have to do the same.
  cat "$LOCK/loads" >>"$undo_log/undo" && load "$LOCK/loads" "$now_there"
}

# Has this run changed a file of generation $1 that a manager reads?
has_loadable() {
  while read -r word mode number path rest; do
    case $word in
      file) case $path in /etc/systemd/network/* | /etc/netplan/*) ;; *) continue ;; esac ;;
      block) path="$number${path:+ $path}${rest:+ $rest}" ;;
      *) continue ;;
    esac
    case $changed_files in *" $path "*) return 0 ;; esac
  done <"$1/manifest"
  return 1
}

# Does what the lines of file $1 say: "loaded networkd|netplan NETWORK-FILE", "loaded network-manager
# PROFILE". $2 is the state of the kernel. Sets problem and fails if that fails.
load() {
  now_there=$2
  networks=
  generate=
  while read -r _ name rest; do
    case $name in
      networkd) networks="$networks $rest" ;;
      netplan)
        generate=1
        networks="$networks $rest"
        ;;
      network-manager) load_profile "$rest" || return 1 ;;
    esac
  done <"$1"
  [ -z "$generate" ] || generate_networks || return 1
  # shellcheck disable=SC2086  # a list of words
  [ -z "$networks" ] || load_networks $networks
}

# netplan writes all files anew, and a new file is a change to systemd-networkd, which would take the
# addresses of the uplink away for a moment. Where one says what it said before, the very file is put back.
generate_networks() {
  rm -rf "$LOCK/generated"
  mkdir "$LOCK/generated" || { problem="cannot make $LOCK/generated"; return 1; }
  for file in /run/systemd/network/10-netplan-*; do
    # Without it, the reload is not hitless, but right.
    [ ! -f "$file" ] || ln "$file" "$LOCK/generated/" 2>/dev/null || :
  done
  generated=1
  netplan generate >"$LOCK/error" 2>&1 || generated=
  for file in "$LOCK/generated"/*; do
    ! cmp -s "$file" "/run/systemd/network/${file##*/}" || mv -f "$file" /run/systemd/network/
  done
  [ -z "$generated" ] || return 0
  first_line "$LOCK/error"
  problem="netplan generate failed: ${first:-no reason given}"
  return 1
}

# systemd-networkd deletes the IPv4 addresses of a link whose files have changed, and adds them again,
# unless it is told to keep what there is; the routes of the link go with its addresses. It is told
# so for this one time: what else is in the files shall mean what it says.
KEEP=99-source-routing-keep.conf
load_networks() {
  has_service systemd-networkd.service || return 0
  # Those that were kept before have changed, too: what kept them is gone.
  while read -r network; do
    case " $* " in *" $network "*) ;; *) set -- "$@" "$network" ;; esac
  done <"$(known_file "$KEPT")"
  for network in "$@"; do
    # Without it, the reload is not hitless, but right.
    { mkdir -p "/run/systemd/network/$network.d" && chmod 0755 /run/systemd/network "/run/systemd/network/$network.d" &&
      printf '[Network]\nKeepConfiguration=static\n' | put_file 0644 "/run/systemd/network/$network.d/$KEEP"; } 2>/dev/null || :
  done
  printf '%s\n' "$@" >"$KEPT"
  stand_in "$now_there"
  loaded=1
  networkctl reload 2>"$LOCK/error" || loaded=
  # It answers before it has finished.
  sleep 0.3 2>/dev/null || sleep 1
  for network in "$@"; do
    rm -f "/run/systemd/network/$network.d/$KEEP"
    rmdir "/run/systemd/network/$network.d" 2>/dev/null || :
  done
  [ -z "$loaded" ] || return 0
  first_line "$LOCK/error"
  problem="networkctl reload failed: ${first:-no reason given}"
  return 1
}

# A file, or what stands for none.
known_file() {
  if [ -f "$1" ]; then printf '%s' "$1"; else printf /dev/null; fi
}

# When it reads its files, systemd-networkd deletes rules and routes that it does not know yet, or knows under
# another link, some of them only to add them again. Those of state file $1 get a copy each under the
# tag of the kernel, which it leaves alone: routes behind all others but what fails closed. The
# next look takes the copies away, once all is there (see plan.awk).
stand_in() {
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

# The uuid of the profile in file $1.
profile_of() {
  nmcli -e no -t -f UUID,FILENAME connection show >"$LOCK/profiles" 2>/dev/null || :
  while IFS=: read -r uuid file; do
    [ "$file" != "$1" ] || printf '%s' "$uuid"
  done <"$LOCK/profiles"
}

# Has NetworkManager taken all of the blocks of generation $1? What it does not understand it leaves out, and
# says so in the journal only; without its options, a route is in the main table.
check_loaded() {
  has_loadable "$1" && has_service NetworkManager.service || return 0
  while read -r word number path; do
    [ "$word" = block ] || continue
    nmcli -e no -g ipv4.routes,ipv4.routing-rules,ipv6.routes,ipv6.routing-rules connection show uuid "$(profile_of "$path")" \
      >"$LOCK/loaded" 2>"$LOCK/error" || {
      first_line "$LOCK/error"
      problem="NetworkManager has no profile $path any more: ${first:-no reason given}"
      return 1
    }
    for property in ipv4.routes ipv4.routing-rules ipv6.routes ipv6.routing-rules; do
      IFS= read -r line || line=
      printf '%s\t%s\n' "$property" "$line"
    done <"$LOCK/loaded" >"$LOCK/values"
    lacking=$(awk -v loaded=1 "$AWK_KEYFILE" part=ours "$1/files/$number" part=file "$LOCK/values") || lacking='(awk failed)'
    [ -z "$lacking" ] || {
      problem="NetworkManager does not take from $path: $lacking. See: journalctl -u NetworkManager"
      return 1
    }
  done <"$1/manifest"
}

# The profile is read, and comes into force when the connection comes up the next time: to reapply it
# now would take IPv6 away from the device for one or two seconds. What it was before, NetworkManager may
# bring back with the link until then: see 66-retired.sh.
load_profile() {
  has_service NetworkManager.service || return 0
  nmcli connection load "$1" >"$LOCK/error" 2>&1 && [ ! -s "$LOCK/error" ] && return 0
  first_line "$LOCK/error"
  problem="nmcli connection load $1 failed: ${first:-no reason given}"
  return 1
}
