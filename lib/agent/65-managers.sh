# Network managers: which one manages a device, and where the configuration of the device is. They have the names of
# the persistences.

# Sets manager to the one that manages device $1, empty if it is not known here. Sets configured_in to the file where
# that manager has the configuration of the device. Sets lacking to what must be done before it reads our files there.
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
  local setup links
  has_service systemd-networkd.service && command -v networkctl >/dev/null 2>&1 || return 1
  networkctl --no-pager --no-legend status "$1" >"$LOCK/manager" 2>/dev/null || return 1
  # systemd before 248 fills lines with blanks at their ends.
  configured_in=$(sed -n -e 's/ *$//' -e 's/^ *Network File: //p' "$LOCK/manager")
  setup=$(sed -n -e 's/ *$//' -e 's/^ *State: //p' "$LOCK/manager")
  case $setup,$configured_in in
    *unmanaged*,* | *,'' | *,n/a) configured_in=; return 1 ;;
    *,/run/systemd/network/*-netplan-*) manager=netplan ;;
    *) manager=networkd ;;
  esac
  # A drop-in of such a file applies to all interfaces that use the file.
  links=$(networkctl --no-pager --lines=0 --all status 2>/dev/null | sed -e 's/^ *//' -e 's/ *$//' | grep -c -x -F -e "Network File: $configured_in")
  [ "$links" -le 1 ] || manager="$manager with one file for several interfaces"
}

managed_by_network_manager() {
  local setup profile
  command -v nmcli >/dev/null 2>&1 || return 1
  nmcli -e no -g GENERAL.STATE,GENERAL.CON-UUID device show "$1" >"$LOCK/manager" 2>/dev/null || return 1
  { read -r setup && read -r profile; } <"$LOCK/manager" || return 1
  # "100 (connected (externally))": something other than NetworkManager has configured this device.
  case $setup,$profile in *externally*,* | *,) return 1 ;; esac
  configured_in=$(nmcli -e no -t -f UUID,FILENAME connection show 2>/dev/null | sed -n "s/^$profile://p")
  case $configured_in in
    '') return 1 ;;
    /run/*/netplan-*) manager='netplan-network-manager' ;;
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

# Is the dispatcher script installed? Without it, NetworkManager silently ignores the rules of network scripts. A
# script in /etc overrides the one in /usr/lib, so a link to /dev/null there switches it off.
has_dispatcher() {
  local dispatcher
  for dispatcher in /etc /usr/lib; do
    dispatcher=$dispatcher/NetworkManager/dispatcher.d/10-ifcfg-rh-routes.sh
    exists "$dispatcher" && break
  done
  [ -f "$dispatcher" ]
}

# Does the network service of the package network-scripts manage device $1?
managed_by_network_scripts() {
  [ -f "/etc/sysconfig/network-scripts/ifcfg-$1" ] && [ -f /etc/sysconfig/network-scripts/ifup-routes ] || return 1
  configured_in=/etc/sysconfig/network-scripts/ifcfg-$1
  manager='network-scripts'
}

managed_by_ifupdown() {
  local answer settings
  command -v ifquery >/dev/null 2>&1 || return 1
  answer=0
  ifquery --state "$1" >/dev/null 2>&1 || answer=$?
  if [ "$answer" != 0 ]; then
    # ifupdown2 does not know that option. It manages each interface that has a stanza.
    [ "$answer" = 2 ] && ifquery "$1" >/dev/null 2>&1 || return 1
    settings=/etc/network/ifupdown2/ifupdown2.conf
    grep -q '^addon_scripts_support=1' "$settings" 2>/dev/null ||
      lacking="it does not run what is in /etc/network/if-up.d: set addon_scripts_support=1 in $settings"
  fi
  configured_in=/etc/network/interfaces
  manager=ifupdown
}

# Sets call to the declaration of the persistence for manager $1.
persistence_call() {
  case $1 in
    network-manager) call='Persistence.networkManager()' ;;
    network-scripts) call='Persistence.networkScripts()' ;;
    netplan-network-manager) call='Persistence.netplan()' ;;
    networkd | netplan | ifupdown) call="Persistence.$1()" ;;
    *) call='Persistence.service()' ;;
  esac
}

# Sets persistence to that of generation $1, and devices to those that its manager must manage.
persistence_of() {
  read -r persistence devices <<END
$(sed -n 's/^persistence //p' "$1/manifest" 2>/dev/null)
END
}

# Does manager $1 manage all devices $2...? If not, sets not_in_charge_of to the first other device, and manager to
# its manager.
in_charge() {
  local wanted_manager
  wanted_manager=$1
  shift
  for not_in_charge_of in "$@"; do
    manager_of "$not_in_charge_of"
    { [ "$manager" = "$wanted_manager" ] && [ -z "$lacking" ]; } || return 1
  done
}

# Sets chosen to one of the persistences that bundle $1 names, and automatic if the machine chooses. If there is only
# one, it is chosen. If the machine chooses, the persistence in force stays. Otherwise the first one whose manager
# manages the devices is chosen. `service`, the last one, is always possible. If neither of two is, the first one is
# chosen, and refused later.
chosen=
automatic=
choose_persistence() {
  local how in_force name
  awk -v mark="$BUNDLE_MARK" '$0 == mark { data = 1 } data && $1 == "for" { exit }
    data && ($1 == "automatic" || $1 == "either" || sub(/^persistence /, "")) { sub(/ (own|static)/, ""); print }' "$1" >"$LOCK/persistences"
  automatic=
  in_force=
  chosen=
  read -r how _ <"$LOCK/persistences" || how=
  case $how in
    either) ;;
    automatic)
      automatic=1
      persistence_of "$current"
      in_force=$persistence
      ;;
    *) chosen=$how; return 0 ;;
  esac
  not_in_charge_of=
  while read -r name devices; do
    [ "$name" != "$how" ] || continue
    [ "$name" = "${in_force:-$name}" ] || continue
    chosen=${chosen:-$name}
    # shellcheck disable=SC2086  # a list of words
    [ -z "$devices" ] || in_charge "$name" $devices || continue
    chosen=$name
    return 0
  done <"$LOCK/persistences"
  [ -n "$in_force" ] || return 0
  if [ -n "$not_in_charge_of" ]; then
    persistence_call "${lacking:+service of }$manager"
    complain "the rules of $owner were made permanent by $in_force, but now $not_in_charge_of is managed by ${manager:-no network manager that is known here}${configured_in:+ ($configured_in)}${lacking:+, and $lacking}. Moving them is for you to decide: declare $call once, then automatic choice keeps that"
  else
    complain "the rules of $owner were made permanent by $in_force, which cannot express what is declared now. Moving them is for you to decide: declare Persistence.service() once, then automatic choice keeps that"
  fi
  refuse_if_problems 69
}

# Adds the place of the files for $device of generation $1 to $LOCK/places, or complains.
place_device() {
  local declared place
  manager_of "$device"
  if [ "$manager" != "$persistence" ]; then
    persistence_call "$persistence"
    declared=$call
    persistence_call "$manager"
    # The same call declares this manager, too, but its persistence cannot express it.
    [ "$call" != "$declared" ] || call='Persistence.service()'
    complain "$device is managed by ${manager:-no network manager that is known here}${configured_in:+ ($configured_in)}, not by $persistence: use $call"
    return
  elif [ -n "$lacking" ]; then
    complain "$device is managed by $manager ($configured_in), but $lacking, or use Persistence.service()"
    return
  fi
  place=$configured_in
  case $persistence in
    networkd) place=/etc/systemd/network/${configured_in##*/}.d ;;
    netplan)
      place=/etc/systemd/network/${configured_in##*/}.d
      name_in_netplan && put_name "$1"
      ;;
    netplan-network-manager)
      place=/etc/netplan/90-source-routing-$owner-$device.yaml
      printf 'profile:%s %s\n' "$device" "$configured_in" >>"$LOCK/places"
      name_in_netplan && pass_through "$1"
      ;;
  esac
  printf '%s %s\n' "$device" "$place" >>"$LOCK/places"
}

# Does the manager that generation $1 needs manage the devices, and where is their configuration? Replaces device names
# in the manifest by paths.
place_files() {
  local device
  persistence_of "$1"
  : >"$LOCK/places"
  for device in $devices; do
    place_device "$1"
  done
  refuse_if_problems 69
  awk 'part == "places" { at = index($0, " "); PLACE[substr($0, 1, at - 1)] = substr($0, at + 1); next }
    match($0, / @[^\/]+/) {
      device = substr($0, RSTART + 2, RLENGTH - 2)
      if (("profile:" device) in PLACE) {
        print "file 0600 " $2 " " PLACE[device]
        print "profile " $2 ".keys " PLACE["profile:" device]
        next
      }
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

# Sets section and id to the names that netplan uses for $device. Complains and fails if netplan does not know it.
name_in_netplan() {
  local why
  id=${configured_in##*/}
  id=${id#10-}
  id=${id#netplan-}
  id=${id%.*}
  [ -e "$LOCK/netplan" ] || netplan get all >"$LOCK/netplan" 2>"$LOCK/error" || {
    # The message follows a Python traceback.
    why=$(sed -n 's/^.*Exception: //p' "$LOCK/error")
    complain "netplan get failed: ${why:-see what it says}"
    refuse_if_problems 69
  }
  section=$(awk -v id="$id" '/^  [^ ].*:$/ { kind = $1 }
    $0 == "    " id ":" || $0 == "    \"" id "\":" { section = kind }
    END { print section }' "$LOCK/netplan")
  case $section,$id in
    ,* | *,*[!A-Za-z0-9._:-]*)
      complain "netplan made $configured_in for $device, but \"netplan get\" says nothing of \"$id\": use Persistence.service()"
      return 1
      ;;
  esac
}

# Writes section and id into the file of generation $1. The bundle has an Ethernet there, named after the device.
put_name() {
  local its_number file
  has_file "/etc/netplan/90-source-routing-$owner-$device.yaml" "$1/manifest" || return 0
  file=$1/files/$its_number
  { awk -v section="  $section" -v id="    \"$id\":" '/^  ethernets:$/ { $0 = section } /^    "/ { $0 = id } { print }' \
    "$file" >"$LOCK/named" && cat "$LOCK/named" >"$file"; } || die 70 "cannot write $file, nothing was changed: is the disk full?"
}

# Turns the keys for the profile of $device in generation $1 into a netplan file that passes them through.
pass_through() {
  local path word number
  while read -r word number path; do
    [ "$word $path" = "block @$device" ] || continue
    { mv -f "$1/files/$number" "$1/files/$number.keys" && awk -v section="  $section" -v id="    \"$id\":" '
      BEGIN { print "# Managed by cdktf-source-routing: changes here are lost.\nnetwork:\n  version: 2"
        print section "\n" id "\n      networkmanager:\n        passthrough:" }
      /^\[/ { prefix = substr($0, 2, length($0) - 2) "."; next }
      { at = index($0, "="); print "          \"" prefix substr($0, 1, at - 1) "\": \"" substr($0, at + 1) "\"" }' \
      "$1/files/$number.keys" >"$1/files/$number"; } ||
      die 70 "cannot write $1/files/$number, nothing was changed: is the disk full?"
  done <"$1/manifest"
}
