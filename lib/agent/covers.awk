# Relations between two rules, in the words of a state file.

# Does rule `wanted` match every packet that rule `other` matches, and take the same action? For a rule with a
# destination that looks up the main table, `wanted` may also leave out default routes (suppress_prefixlength).
function covers(wanted, other,    action, n, w, i, value) {
  if (wanted ~ /^not / || other ~ /^not /) return 0
  action = substr(other, match_action(other))
  other = substr(other, 1, RSTART - 1)
  value = substr(wanted, match_action(wanted))
  if (value != action && !(action == "lookup 254" && other ~ /(^| )to / && value ~ /^lookup 254 suppress_prefixlength [0-9]+$/)) return 0
  n = split(substr(wanted, 1, RSTART - 1), w, " ")
  for (i = 1; i < n; i += 2) {
    value = word_after(other, w[i])
    if (value != w[i + 1] && !((w[i] == "from" || w[i] == "to") && inside(value, w[i + 1]))) return 0
  }
  return 1
}

# Can one packet match both rules?
function overlap(one, other) {
  return meets(word_after(one, "from"), word_after(other, "from")) && meets(word_after(one, "to"), word_after(other, "to"))
}
function meets(one, other) { return one == "" || other == "" || inside(one, other) || inside(other, one) }

# Would `ip rule del` of rule `one` also match rule `other` at the same priority? For the kernel, selectors that are not
# given match anything.
function deletes(one, other,    n, w, i) {
  n = split(one, w, " ")
  for (i = 1; i <= n; i++) {
    if (w[i] == "not") continue
    if (w[i] ~ /^(blackhole|unreachable|prohibit)$/) { if (index(" " other " ", " " w[i] " ") == 0) return 0 }
    else { if (index(" " other " ", " " w[i] " " w[i + 1] " ") == 0) return 0; i++ }
  }
  return 1
}
