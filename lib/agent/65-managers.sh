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
  has_systemd && systemctl is-active --quiet "$1" 2>/dev/null
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
}

managed_by_network_manager() {
  command -v nmcli >/dev/null 2>&1 || return 1
  profile=$(nmcli -e no -g GENERAL.CON-UUID device show "$1" 2>/dev/null) || return 1
  [ -n "$profile" ] || return 1
  nmcli -e no -t -f UUID,FILENAME connection show >"$LOCK/manager" 2>/dev/null || return 1
  while IFS=: read -r uuid file; do
    [ "$uuid" != "$profile" ] || configured_in=$file
  done <"$LOCK/manager"
  case $configured_in in
    '') return 1 ;;
    */netplan-*) manager=netplan ;;
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

# Which of the persistences that bundle $1 names is it to be? The only one; or the one that is
# in force; or that of who is in charge. Sets chosen, and automatic if there was a choice.
chosen=
automatic=
choose_persistence() {
  awk -v mark="$BUNDLE_MARK" '$0 == mark { data = 1 } data && $1 == "for" { exit }
    data && $1 == "persistence" { sub(/^persistence /, ""); sub(/ [a-z]+/, ""); print }' "$1" >"$LOCK/persistences"
  chosen=
  automatic=
  { read -r chosen _ && ! read -r _; } <"$LOCK/persistences" && return 0
  automatic=1
  persistence_of "$current"
  now_in_force=$persistence
  chosen=
  while read -r name devices; do
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

# Has the managers of generations $* read again what this run has written or removed.
load_managers() {
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
  cat "$LOCK/loads" >>"$undo_log/undo" && load "$LOCK/loads"
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
# PROFILE". Sets problem and fails if that fails.
load() {
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
  if [ -n "$generate" ] && ! netplan generate 2>"$LOCK/error"; then
    first_line "$LOCK/error"
    problem="netplan generate failed: ${first:-no reason given}"
    return 1
  fi
  # shellcheck disable=SC2086  # a list of words
  [ -z "$networks" ] || load_networks $networks
}

# systemd-networkd deletes the IPv4 addresses of a link whose files have changed, and adds them again,
# unless it is told to keep what there is; the routes of the link go with its addresses. It is told
# so for this one time: what else is in the files shall mean what it says.
KEEP=99-source-routing-keep.conf
load_networks() {
  has_service systemd-networkd.service || return 0
  for network in "$@"; do
    # Without it, the reload is not hitless, but right.
    { mkdir -p "/run/systemd/network/$network.d" && chmod 0755 /run/systemd/network "/run/systemd/network/$network.d" &&
      printf '[Network]\nKeepConfiguration=static\n' | put_file 0644 "/run/systemd/network/$network.d/$KEEP"; } 2>/dev/null || :
  done
  loaded=1
  networkctl reload 2>"$LOCK/error" || loaded=
  for network in "$@"; do
    rm -f "/run/systemd/network/$network.d/$KEEP"
    rmdir "/run/systemd/network/$network.d" 2>/dev/null || :
  done
  [ -z "$loaded" ] || return 0
  first_line "$LOCK/error"
  problem="networkctl reload failed: ${first:-no reason given}"
  return 1
}

# The profile is read, and comes into force when the connection comes up the next time: to reapply it
# now would take IPv6 away from the device for one or two seconds.
load_profile() {
  has_service NetworkManager.service || return 0
  nmcli connection load "$1" >"$LOCK/error" 2>&1 && [ ! -s "$LOCK/error" ] && return 0
  first_line "$LOCK/error"
  problem="nmcli connection load $1 failed: ${first:-no reason given}"
  return 1
}
