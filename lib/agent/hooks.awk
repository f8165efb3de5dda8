# Finds the tunnels for which a hook must run now. Reads `want` (the state), then what the kernel has.
# Variable: tables (those that the hook serves, separated by blanks).
# Prints devices, one a line. Each has a route in the main table inside a prefix that rules send to the tables of the
# hook, and one of these tables does not have that route yet.

BEGIN { served = split(tables, SERVED, " ") }

part == "want" {
  if (($1 != "rule" && $1 != "static") || $4 != "from") next
  for (i = 6; i < NF; i++) if ($i == "lookup" && index(" " tables " ", " " $(i + 1) " ")) FROM[$2, ++n] = $5
  next
}

/^family [46]$/ { family = $2; next }
/^whole [46]$/ { next }
/^[0-9]+:/ { next }

{
  id = read_kernel_route($0, family)
  if (BY[id] == BY_HOOK) DONE[FAMILY[id], ROUTE_TABLE[id], DESTINATION[id], DEV[id]] = 1
  if (ROUTE_TABLE[id] == 254 && DESTINATION[id] != "default" && DEV[id] != "" && in_pool(id)) POOL[id] = 1
}

function in_pool(id,    i) {
  for (i = 1; i <= n; i++)
    if (((FAMILY[id], i) in FROM) && inside(DESTINATION[id], FROM[FAMILY[id], i])) return 1
  return 0
}

END {
  for (id = 1; id <= ROUTES; id++) {
    if (!(id in POOL) || (DEV[id] in PRINTED)) continue
    for (i = 1; i <= served; i++) if (!((FAMILY[id], SERVED[i], DESTINATION[id], DEV[id]) in DONE)) {
      print DEV[id]
      PRINTED[DEV[id]] = 1
      break
    }
  }
}
