# Our blocks in foreign files: lines "block N PATH" of a manifest.

# Writes the blocks of generation $1 into their files.
install_blocks() {
  local path word number
  while read -r word number path; do
    [ "$word" = block ] || continue
    put_block "$path" "$1/files/$number" || return 1
  done <"$1/manifest"
}

# Removes the blocks of generations $2... from files in which generation $1 (may be empty) has none.
remove_stale_blocks() {
  local new each path word number
  new=$1
  shift
  for each in "$@"; do
    while read -r word number path; do
      [ "$word" = block ] || continue
      [ -f "$path" ] || continue
      [ -z "$new" ] || ! has_block "$path" "$new" || continue
      put_block "$path" '' || return 1
    done <"$each/manifest"
  done
}

has_block() {
  sed -n 's/^block [^ ]* //p' "$2/manifest" | grep -q -x -F -e "$1"
}

# Writes block $2 (a file; may be empty) into file $1, in place of all earlier blocks of this owner.
put_block() {
  local target block old path word number
  target=$1
  block=$2
  problem="cannot write $target (disk full, or read-only?)"
  set -- part=ours
  # shellcheck disable=SC2086  # a list of words
  for old in $current $pending; do
    while read -r word number path; do
      [ "$word $path" != "block $target" ] || set -- "$@" "$old/files/$number"
    done <"$old/manifest"
  done
  awk -v owner="$owner" -v block="$block" "$AWK_KEYFILE" "$@" part=file "$target" >"$LOCK/edited" || return 1
  cmp -s "$LOCK/edited" "$target" || rewrite "$target"
}

# Checks before the change whether the blocks of generation $1 can be written into their files, and whether they
# take effect there.
check_blocks() {
  local path word number
  while read -r word number path; do
    case $word in
      block)
        add_target "${path%/*}"
        ! check_profile "$path" || check_methods "$path" "$1/files/$number"
        ;;
      profile) check_methods "$path" "$1/files/$number"; continue ;;
      *) continue ;;
    esac
    if [ ! -f "$path" ]; then
      complain "$path does not exist: it was to hold what is declared here"
    elif ! awk -v owner="$owner" 'index($0, "# BEGIN source-routing " owner " ") == 1 { open++ }
      $0 == "# END source-routing " owner { open-- }
      END { exit open != 0 }' "$path"; then
      complain "the lines \"# BEGIN source-routing $owner\" and \"# END source-routing $owner\" in $path do not belong together any more: remove what is between them by hand"
    fi
  done <"$1/manifest"
}

# Prints the blocks of generation $1 that are missing.
differing_blocks() {
  local path word number
  while read -r word number path; do
    [ "$word" = block ] || continue
    { [ -f "$path" ] && awk -v check=1 "$AWK_KEYFILE" part=ours "$1/files/$number" part=file "$path"; } ||
      printf '+ in file %s: what %s has\n' "$path" "$1/files/$number"
  done <"$1/manifest"
}

# Is profile $1 permanent?
check_profile() {
  case $1 in /etc/NetworkManager/system-connections/*) return 0 ;; esac
  complain "the profile $1 does not survive a reboot, or is not for people to edit. To have it in /etc/NetworkManager/system-connections: nmcli connection modify $(profile_of "$1") connection.autoconnect yes"
  return 1
}

# Does NetworkManager carry out block $2 in profile $1? It ignores routes of a family whose method sets no addresses.
check_methods() {
  local family method configure
  [ -f "$1" ] || return 0
  awk 'part == "block" { if (/^\[ipv[46]\]$/) NEEDED[$0] = 1; next }
    /^\[/ { section = $0 }
    /^method *=/ { sub(/^method *= */, ""); METHOD[section] = $1 }
    END {
      for (i = 4; i <= 6; i += 2) {
        section = "[ipv" i "]"
        if ((section in NEEDED) && METHOD[section] ~ /^(disabled|ignore|link-local)?$/) print "ipv" i, METHOD[section]
      }
    }' part=block "$2" part=profile "$1" >"$LOCK/methods"
  while read -r family method; do
    case $1 in
      /run/*/netplan-*) configure='give it an address of that family, or dhcp, in /etc/netplan, and call netplan apply' ;;
      *) configure="nmcli connection modify $(profile_of "$1") $family.method manual $family.addresses ADDRESS/LENGTH" ;;
    esac
    complain "NetworkManager does not set routes of $family under $1, where $family.method is ${method:-not given}. Let it configure that family: $configure"
  done <"$LOCK/methods"
}
