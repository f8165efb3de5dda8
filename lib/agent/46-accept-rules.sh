# Accept rules in chains of a foreign firewall that drops packets of clients. They stand first in the chain.
# A comment with the owner tells them from all other rules. The family of a chain is one of nftables. For a chain of
# iptables it is the command (iptables or ip6tables), which may be unable to read a rule that nft has made.
#
# The agent keeps what is listed right after it has added them, as it does for the kill switch.

# Writes the rules that generation $1 (may have no manifest) wants to $LOCK/accepts: FAMILY TABLE CHAIN RULE. Writes all
# chains that may hold rules of ours to $LOCK/chains.
find_accepts() {
  : >"$LOCK/accepts"
  : >"$LOCK/chains"
  grep -q -s '^accept ' "$home"/*/manifest || return 0
  [ -z "$1" ] || [ ! -f "$1/manifest" ] || sed -n 's/^accept //p' "$1/manifest" >"$LOCK/accepts"
  awk '$1 == "accept" && !SEEN[$2, $3, $4]++ { print $2, $3, $4 }' "$home"/*/manifest >"$LOCK/chains"
}

# list_chain FAMILY TABLE CHAIN: prints the chain. Fails if it does not exist, or cannot be read.
list_chain() {
  case $1 in
    ip*tables) "$1" -w 5 -t "$2" -S "$3" ;;
    *) nft -a list chain "$1" "$2" "$3" ;;
  esac
}

# Has list_chain $* failed, with $LOCK/error, because the chain does not exist? Without the command it is taken as
# missing, since nothing else can tell.
lacks_chain() {
  local family
  case $1 in
    ip*tables)
      command -v "$1" >/dev/null 2>&1 || return 0
      # iptables-nft gives the same error for a missing chain and for a chain that it cannot read.
      grep -q 'No chain' "$LOCK/error" || "$1" -w 5 -t "$2" -S >/dev/null 2>&1 && return 0
      family=ip
      [ "$1" = iptables ] || family=ip6
      nft list chain "$family" "$2" "$3" 2>&1 | grep -q 'No such file'
      ;;
    *) ! command -v nft >/dev/null 2>&1 || grep -q 'No such file' "$LOCK/error" ;;
  esac
}

# Does iptables have chain $2 $3, which command $1 lacks, for the other family? Docker before version 27 has chains for
# IPv4 only.
has_twin() {
  command -v "$1" || return 1
  case $1 in
    iptables) list_chain ip6tables "$2" "$3" ;;
    ip6tables) list_chain iptables "$2" "$3" ;;
    *) false ;;
  esac
} >/dev/null 2>&1

# Removes the rules of chain $1 from those that are wanted.
forget_chain() {
  awk -v chain="$1" 'index($0, chain) != 1' "$LOCK/accepts" >"$LOCK/needed" && mv "$LOCK/needed" "$LOCK/accepts"
}

# Lists our rules in these chains. $LOCK/accepted: FAMILY TABLE CHAIN HANDLE RULE; the handle is - in iptables.
# $LOCK/possible: the wanted rules whose chains exist. $LOCK/held: the same, and the rules that the chains have now.
# A chain of iptables that only the other family has needs no rules: $LOCK/accepts loses them.
# Sets problem and fails if a chain cannot be read.
list_accepts() {
  local family table chain
  : >"$LOCK/accepted"
  : >"$LOCK/held"
  while read -r family table chain; do
    if ! list_chain "$family" "$table" "$chain" >"$LOCK/listing" 2>"$LOCK/error"; then
      lacks_chain "$family" "$table" "$chain" || fail_with "cannot read chain $family $table $chain" || return
      ! has_twin "$family" "$table" "$chain" || forget_chain "$family $table $chain "
      continue
    fi
    awk -v chain="$family $table $chain " -v comment="comment \"source-routing $owner\" " '
      !index($0, comment) { next }
      /^-A / { sub(/^-A [^ ]* /, ""); print chain "-", $0; next }
      match($0, /# handle [0-9]+$/) { print chain substr($0, RSTART + 9), substr($0, 1, RSTART - 1) }' \
      "$LOCK/listing" >>"$LOCK/accepted"
    awk -v chain="$family $table $chain " 'index($0, chain) == 1' "$LOCK/accepts" >>"$LOCK/held"
  done <"$LOCK/chains"
  cp "$LOCK/held" "$LOCK/possible"
  sed 's/^\([^ ]* [^ ]* [^ ]*\) [^ ]*/\1 has/' "$LOCK/accepted" >>"$LOCK/held"
}

# Finds the rules that generation $1 (may be empty) wants, and lists ours. Sets problem and fails if a chain cannot
# be read.
look_at_accepts() {
  find_accepts "$1"
  [ ! -s "$LOCK/chains" ] || list_accepts
}

# Do the listed chains have the wanted rules, unchanged since they were added? Missing chains do not count.
holds_accepts() {
  [ -s "$LOCK/chains" ] || return 0
  [ -f "$LOADED/$owner.accepts" ] || [ -s "$LOCK/held" ] || return 0
  cmp -s "$LOCK/held" "$LOADED/$owner.accepts" && all_accepted
}

# Do the existing chains hold as many of our rules as are wanted in them?
all_accepted() {
  [ "$(grep -c '' <"$LOCK/accepted")" = "$(grep -c '' <"$LOCK/possible")" ]
}

# Gives the firewall the rules that generation $1 (may be empty) wants. Sets accepts_changed if a change was needed.
# Sets problem on failure.
set_accepts() {
  local command
  accepts_changed=
  look_at_accepts "$1" || return 1
  ! holds_accepts || return 0
  for command in nft iptables ip6tables; do
    change_accepts "$command" || return 1
  done
  list_accepts || return 1
  # The firewall may have been reloaded in the meantime.
  all_accepted || fail 'the firewall did not keep the accept rules' || return 1
  if [ -s "$LOCK/held" ]; then
    # If this file cannot be written, the rules are only added again the next time.
    { mkdir -p "$LOADED" && put_file 0600 "$LOADED/$owner.accepts" <"$LOCK/held"; } 2>/dev/null || :
  else
    rm -f "$LOADED/$owner.accepts"
    rmdir "$LOADED" 2>/dev/null || :
  fi
}

# Changes the chains of command $1 in one transaction. All our rules in them are replaced. Each new rule is
# inserted at the top of its chain, so the last one is inserted first.
change_accepts() {
  awk -v command="$1" -v comment="comment \"source-routing $owner\"" '
    (command == "nft" ? $1 ~ /tables$/ : $1 != command) { next }
    part == "old" {
      line[++n] = command == "nft" ? "delete rule " $1 " " $2 " " $3 " handle " $4 : "-D " $3 " " substr($0, length($1 $2 $3 $4) + 5)
      olds = n
    }
    part == "new" {
      rule = substr($0, length($1 $2 $3) + 4)
      line[++n] = command == "nft" ? "insert rule " $1 " " $2 " " $3 " " rule " " comment : "-I " $3 " -m comment --" comment " " rule
    }
    END {
      if (!n) exit
      if (command != "nft") print "*filter"
      for (i = 1; i <= olds; i++) print line[i]
      for (i = n; i > olds; i--) print line[i]
      if (command != "nft") print "COMMIT"
    }' part=old "$LOCK/accepted" part=new "$LOCK/possible" >"$LOCK/transaction"
  [ -s "$LOCK/transaction" ] || return 0
  accepts_changed=1
  case $1 in
    nft) nft -f "$LOCK/transaction" ;;
    *) "$1-restore" -w 5 --noflush <"$LOCK/transaction" ;;
  esac 2>"$LOCK/error" || fail_with "$1 does not take the accept rules"
}

# Prints the chains in which a rule of generation $1 is missing or changed.
differing_accepts() {
  local kept
  look_at_accepts "$1" || { printf '+ accept rules (%s)\n' "$problem"; return 0; }
  [ -s "$LOCK/chains" ] || return 0
  kept=$LOADED/$owner.accepts
  [ -f "$kept" ] || kept=/dev/null
  awk 'part == "kept" { if ($4 == "has") KEPT[$1, $2, $3] = KEPT[$1, $2, $3] $0 "\n"; next }
    part == "held" { if ($4 == "has") { HELD[$1, $2, $3] = HELD[$1, $2, $3] $0 "\n"; THERE[$1, $2, $3]-- } else THERE[$1, $2, $3]++; next }
    SEEN[$1, $2, $3]++ { next }
    !(($1, $2, $3) in THERE) { print "+ accept rules in chain " $1, $2, $3 " (which is not there)"; next }
    KEPT[$1, $2, $3] != HELD[$1, $2, $3] || THERE[$1, $2, $3] { print "+ accept rules in chain " $1, $2, $3 }' \
    part=kept "$kept" part=held "$LOCK/held" part=wanted "$LOCK/accepts"
}

# Complains about chains of generation $1 that are missing or unreadable on this machine.
check_accepts() {
  local family table chain rule checked command
  find_accepts "$1"
  checked=' '
  while read -r family table chain rule; do
    case $rule in
      -i*'+ '*) complain "iptables would take the + at the end of an interface for any characters: $rule. Use Forwarding.nftables(), or rename the interface" ;;
    esac
    case $checked in *" $family $table $chain "*) continue ;; esac
    checked="$checked$family $table $chain "
    list_chain "$family" "$table" "$chain" >/dev/null 2>"$LOCK/error" && continue
    command=nft
    case $family in ip*tables) command=$family ;; esac
    if command -v "$command" >/dev/null 2>&1 && lacks_chain "$family" "$table" "$chain"; then
      ! has_twin "$family" "$table" "$chain" || { say "note: $family has no chain $chain here, so it gets no rules"; continue; }
      complain "forwarding names chain $family $table $chain, which is not here (chains of the forward hook: $(forward_chains)). Load the firewall first, or name another chain"
    else
      complain "forwarding names chain $family $table $chain, which cannot be read: $(error_text 'nft does not work here'). Is the package of nftables or iptables installed?"
    fi
  done <"$LOCK/accepts"
}

forward_chains() {
  local found
  found=$(nft list chains 2>/dev/null | awk '$1 == "table" { table = $2 " " $3 } $1 == "chain" { chain = $2 }
    / hook forward / && table !~ /source_routing_/ { printf "%s%s %s", some++ ? ", " : "", table, chain }')
  printf '%s' "${found:-none}"
}
