# Addresses and prefixes: converts text to hexadecimal digits and back, in the form that the kernel and iproute2
# print. The digits are text, because awk has no 128-bit integers.

function hex_to_number(digits,    i, n) {
  n = 0
  for (i = 1; i <= length(digits); i++) n = n * 16 + index("0123456789abcdef", substr(digits, i, 1)) - 1
  return n
}

# An IPv4 address as 8 digits, or "" if the text is none.
function v4_to_hex(text,    part, i, out) {
  if (split(text, part, ".") != 4) return ""
  out = ""
  for (i = 1; i <= 4; i++) {
    # Some programs read a leading zero as octal, so it is refused.
    if (part[i] !~ /^(0|[1-9][0-9]*)$/ || length(part[i]) > 3 || part[i] + 0 > 255) return ""
    out = out sprintf("%02x", part[i] + 0)
  }
  return out
}

function v4_to_text(hex) {
  return hex_to_number(substr(hex, 1, 2)) "." hex_to_number(substr(hex, 3, 2)) "." \
    hex_to_number(substr(hex, 5, 2)) "." hex_to_number(substr(hex, 7, 2))
}

# An IPv6 address as 32 digits, or "" if the text is none.
function v6_to_hex(text,    tail, part, n, i, out) {
  text = tolower(text)
  if (text !~ /^[0-9a-f:.]+$/ || index(text, ":") == 0 || text ~ /^:[^:]|[^:]:$/) return ""
  if (index(text, ".") > 0) {
    match(text, /:[^:]*$/)
    tail = v4_to_hex(substr(text, RSTART + 1))
    if (tail == "") return ""
    text = substr(text, 1, RSTART) substr(tail, 1, 4) ":" substr(tail, 5)
  }
  # "::" stands for the groups that are missing, at least one.
  sub(/::/, ":missing:", text)
  gsub(/^:|:$/, "", text)
  n = split(text, part, ":")
  out = ""
  for (i = 1; i <= n; i++) {
    if (part[i] == "missing" && n < 9) out = out substr("00000000000000000000000000000000", 1, 4 * (9 - n))
    else if (part[i] ~ /^[0-9a-f]+$/ && length(part[i]) <= 4) out = out substr("0000" part[i], length(part[i]) + 1)
    else return ""
  }
  return length(out) == 32 ? out : ""
}

# An IPv6 address as inet_ntop prints it: the longest run of zero groups becomes "::", or the first of equal runs.
function v6_to_text(hex,    i, group, text, zeros) {
  if (substr(hex, 1, 24) == "00000000000000000000ffff") return "::ffff:" v4_to_text(substr(hex, 25))
  text = ":"
  for (i = 1; i < 32; i += 4) {
    group = substr(hex, i, 4)
    sub(/^0+/, "", group)
    text = text (group == "" ? "0" : group) ":"
  }
  for (zeros = ":0:0:0:0:0:0:0:0:"; length(zeros) > 3 && !index(text, zeros); zeros = substr(zeros, 3));
  if (length(zeros) > 3) sub(zeros, "::", text)
  if (text !~ /^::/) sub(/^:/, "", text)
  if (text !~ /::$/) sub(/:$/, "", text)
  return text
}

function to_hex(text) {
  return index(text, ":") ? v6_to_hex(text) : v4_to_hex(text)
}

function to_text(hex) {
  return length(hex) == 32 ? v6_to_text(hex) : v4_to_text(hex)
}

# Keeps the first `bits` bits and sets the rest to zero.
function masked(hex, bits,    whole, rest, digit, zeros) {
  whole = int(bits / 4)
  rest = bits - whole * 4
  zeros = "00000000000000000000000000000000"
  if (whole == length(hex)) return hex
  digit = hex_to_number(substr(hex, whole + 1, 1))
  # No "^": BusyBox can be built without it.
  digit = digit - digit % (rest == 0 ? 16 : rest == 1 ? 8 : rest == 2 ? 4 : 2)
  return substr(hex, 1, whole) sprintf("%x", digit) substr(zeros, 1, length(hex) - whole - 1)
}

# Checks an address. Returns the canonical text, or "" with the reason in `wrong`.
function checked_address(text,    hex, slash) {
  hex = to_hex(text)
  if (hex != "") return to_text(hex)
  slash = index(text, "/")
  wrong = slash > 0 && to_hex(substr(text, 1, slash - 1)) != "" ? "is a prefix, not an address" : "is not an IP address"
  return ""
}

# Checks a prefix. Returns the canonical text (always with a length), or "" with the reason in `wrong`.
function checked_prefix(text,    slash, hex, bits, most) {
  slash = index(text, "/")
  hex = to_hex(slash ? substr(text, 1, slash - 1) : text)
  if (hex == "") { wrong = "is not an IP prefix"; return "" }
  most = length(hex) * 4
  bits = slash ? substr(text, slash + 1) : most
  if (bits !~ /^(0|[1-9][0-9]*)$/ || length(bits) > 3 || bits + 0 > most) {
    wrong = "has no length between /0 and /" most
    return ""
  }
  if (masked(hex, bits) != hex) {
    wrong = "has host bits set"
    return ""
  }
  return to_text(hex) "/" bits
}

# Is one prefix (canonical, or an address) inside another?
function inside(inner, outer,    i, o) {
  split(inner, i, "/")
  split(outer, o, "/")
  inner = to_hex(i[1])
  outer = to_hex(o[1])
  if (inner == "" || length(inner) != length(outer)) return 0
  if (i[2] == "") i[2] = length(inner) * 4
  if (o[2] == "") o[2] = length(outer) * 4
  return i[2] + 0 >= o[2] + 0 && masked(inner, o[2]) == masked(outer, o[2])
}
