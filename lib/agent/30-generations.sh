# The generations of this owner: what it has, and may have, on the machine.
#
# A generation is a directory: format, anchor, state, manifest, files/. `current` names the one in force. `pending` names
# the others that may have something on the machine, one a line. It is written before the first change and removed
# after the last.

home=          # directory of this owner
current=       # directory of the generation in force, empty if there is none
pending=       # directories of the pending ones, separated by one blank

read_generations() {
  local line
  home=$STATE/$owner
  trial=$home/trial
  recovery_unit=source-routing-$owner.rollback.service
  current=
  pending=
  first_line "$home/current"
  if [ -n "$first" ] && [ -f "$home/$first/state" ]; then
    current=$home/$first
  fi
  [ -f "$home/pending" ] || return 0
  while IFS= read -r line; do
    if [ -n "$line" ] && [ -f "$home/$line/state" ] && [ "$home/$line" != "$current" ]; then
      pending="$pending${pending:+ }$home/$line"
    fi
  done <"$home/pending"
}

# Has a declaration taken over from $anchor? Terraform may run the clean-up of a declaration after the apply of the one that
# takes its place. The file has the id of the latter, then those before it.
is_taken_over() {
  [ -n "$anchor" ] && [ -n "$current" ] && [ -f "$current/anchor" ] && sed 1d "$current/anchor" | grep -q -x -F -e "$anchor"
}

say_taken_over() {
  say "done: nothing was removed, since another declaration has configured $owner on this machine. If that is gone, too: source-routing remove $owner"
}

# Owners and generation ids are used as file names, so only safe characters are allowed.
is_name() {
  case $1 in
    '' | .* | -* | *[!A-Za-z0-9._-]*) return 1 ;;
  esac
  [ "${#1}" -le 100 ]
}

# Sets bundle_format and bundle_version to what bundle $1 was written with.
describe_bundle() {
  # shellcheck disable=SC2046  # splitting is the point
  set -- $(sed -n "/^$BUNDLE_MARK\$/{n;p;q;}" "$1")
  bundle_format=${2-}
  bundle_version=${3-}
}

# Is the data of bundle $1 as it was written? Its last line has the checksum of all other lines. The checksum
# leaves out the values in them, which only Terraform knows.
is_whole() {
  local sum
  sum=$(sed -e "1,/^$BUNDLE_MARK\$/d" -e '$d' -e 's/^\(value [^ ]* [^ ]* [^ ]* [^ ]*\) .*/\1/' "$1" | sha256sum)
  [ "sum ${sum%% *}" = "$(tail -n 1 "$1")" ]
}

# Refuses a bundle that was cut off, or that has another format. Call describe_bundle first.
check_bundle_data() {
  case $bundle_format in
    "$FORMAT") ;;
    '' | *[!0-9]*) die 65 "refused, nothing was changed: the bundle is damaged: it holds no data. Upload it again" ;;
    *) die 65 "refused, nothing was changed: the bundle was written by cdktf-source-routing $bundle_version (format $bundle_format), and this agent knows format $FORMAT only. Apply it with the agent that came with it" ;;
  esac
  command -v sha256sum >/dev/null 2>&1 ||
    die 69 'refused, nothing was changed: sha256sum is missing, which tells a damaged bundle. Install it (package coreutils)'
  is_whole "$1" || die 65 "refused, nothing was changed: the bundle is damaged: its checksum is another one. Upload it again"
}

# Reads the bundle into directory $2: agent, state, manifest, requires, files/.
read_bundle() {
  local systemd
  check_bundle_data "$1"
  choose_persistence "$1"
  mkdir -p "$2/files" || die 70 "cannot write $2, nothing was changed: is the disk full or read-only?"
  systemd=
  ! has_systemd || systemd=1
  find_nftables
  awk -v out="$2" -v owner="$owner" -v mark="$BUNDLE_MARK" -v chosen="$chosen" \
    -v systemd="$systemd" -v nftables="$nftables" "$AWK_ADDRESS$AWK_KERNEL$AWK_BUNDLE" "$1" \
    >"$LOCK/problems" 2>"$LOCK/error" ||
    die 70 "cannot read the bundle $1, nothing was changed: $(error_text 'awk failed'). Is there space left in ${LOCK%/*} and $STATE?"
  tell_problems
  refuse_if_problems 65
}

# Sets states to the state files of generations $*, each with a blank in front. Includes what they adopt, and what
# network managers may bring back.
states_of() {
  local directory
  states=
  for directory in "$@"; do
    states="$states $directory/state"
    [ ! -f "$directory/adopted" ] || states="$states $directory/adopted"
  done
  [ -z "$states" ] || [ ! -f "$RETIRED" ] || states="$states $RETIRED"
}

# Prints the manifests of all that other owners may have on the machine.
manifests_of_others() {
  local its_states state
  states_of_others
  for state in $its_states; do
    [ ! -f "${state%/state}/manifest" ] || printf '%s\n' "${state%/state}/manifest"
  done
}

# Sets its_states to the state files of all other owners. Those of each come after a word whose=OWNER, for awk.
states_of_others() {
  local other
  its_states=
  for other in "$STATE"/*/; do
    other=${other%/}
    if [ "$other" != "$home" ] && is_name "${other##*/}"; then
      its_states="$its_states whose=${other##*/}"
      states_in "$other"
    fi
  done
}

# Adds to its_states the state files of the owner in directory $1.
states_in() {
  local list line
  for list in "$1/current" "$1/pending"; do
    [ -f "$list" ] || continue
    while IFS= read -r line; do
      [ -z "$line" ] || [ ! -f "$1/$line/state" ] || its_states="$its_states $1/$line/state"
    done <"$list"
  done
}

# Sets families to the address families in state files $*.
families_of() {
  local file
  families=
  for file in "$@"; do
    first_line "$file"
    case $first in *' 4'*) case $families in *4*) ;; *) families="4 $families" ;; esac ;; esac
    case $first in *' 6'*) case $families in *6*) ;; *) families="$families 6" ;; esac ;; esac
  done
}

# Refuses if a later version has written a state that this one may misread. The states of other owners count, too:
# they decide what this run may change. Call describe_bundle first.
check_formats() {
  local place file its_format its_owner
  for place in "$STATE"/*/; do
    its_states=
    states_in "${place%/}"
    for file in $its_states; do
      first_line "${file%/state}/format"
      its_format=${first%% *}
      [ "${its_format:-1}" -gt "$FORMAT" ] 2>/dev/null || continue
      its_owner=${place%/}
      die 69 "refused, nothing was changed: what ${its_owner##*/} has on this machine was written by cdktf-source-routing ${first#* } (format $its_format), and this is $bundle_version, which knows format $FORMAT only. Apply with ${first#* } or later"
    done
  done
}
