# What monitoring reads: JSON on standard output (`status --json`), and a file for node_exporter (`verify`).

REPAIRS=/run/source-routing.repairs  # plus .OWNER: how much the watch has put back since boot, and when it last did

as_json=       # set if the answer must be JSON

# Adds what this pass of the watch has put back.
count_repairs() {
  first_line "$REPAIRS.$owner"
  printf '%s %s\n' $((${first%% *} + repaired)) "$(date +%s)" | put_file 0600 "$REPAIRS.$owner" 2>/dev/null || :
}

# Sets the times in seconds since 1970 (empty if there was no such moment), and repair_count.
find_times() {
  now_at=$(date +%s)
  applied_at=
  [ -z "$current" ] || applied_at=$(date -r "$current/format" +%s 2>/dev/null) || :
  first_line "$REPAIRS.$owner"
  repaired_at=${first#* }
  repair_count=$((${first%% *} + 0))
}

status_json() {
  local applied_at repaired_at repair_count now_at text
  # Only the JSON goes to standard output.
  exec 9>&1 >&2
  if observe; then
    problem=${pending:+a run was killed}
    find_in_front "$current"
  else
    current=
    : >"$LOCK/in_front"
  fi
  find_times
  text=$(
    printf '{"format":1,"owner":"%s","inForce":%s,"generation":"%s","onTrial":%s,' \
      "$owner" "$(truth "$current")" "${current##*/}" "$(truth "$on_trial")"
    printf '"reason":%s,"differences":[%s],' "$(printf '%s\n' "$problem" | json_texts)" "$(json_texts <"$LOCK/differences")"
    printf '"inFront":[%s],"probe":"%s","repairs":%s,' "$(json_texts <"$LOCK/in_front")" "$probed" "$repair_count"
    printf '"repairedAt":%s,"appliedAt":%s,"checkedAt":%s}' "${repaired_at:-null}" "${applied_at:-null}" "$now_at"
  )
  print_held
  printf '%s\n' "$text" >&9
}

# Prints whether $1 is set.
truth() {
  if [ -n "$1" ]; then printf true; else printf false; fi
}

# Prints each line of standard input as a string of JSON, with commas in between. Lines of foreign programs may
# hold any byte.
json_texts() {
  tr '\t' ' ' | tr -c '\012\040-\176' '?' | sed -e 's/["\\]/\\&/g' -e 's/.*/"&"/' -e '$!s/$/,/' | tr -d '\n'
}

# Prints the directory for the file of node_exporter that generation $1 asks for.
textfile_directory() {
  [ -z "$1" ] || sed -n 's/^textfile //p' "$1/manifest"
}

# Writes the file for node_exporter, if the generation in force asks for one; $1 is that of metrics. During a trial it
# does not, since a rollback would leave the file behind.
write_textfile() {
  local directory name
  directory=$(textfile_directory "$current")
  [ -n "$directory" ] && [ -z "$on_trial" ] || return 0
  name=.source-routing-$owner.$$
  (fill_textfile "$1") 2>"$LOCK/error" || say "note: cannot write $directory/source-routing-$owner.prom: $(error_text)"
  rmdir "$directory/$name" 2>/dev/null || :
}

# The directory often belongs to the user that runs node_exporter, who may put links, FIFOs and directories in the place
# of anything there. So nothing is opened in it, but in a directory of ours inside it, by its name in there.
fill_textfile() {
  directory=$(cd -P "$directory" && pwd -P) || return 1
  { mkdir "$directory/$name" && cd -P "$directory/$name"; } || return 1
  if [ "$(pwd -P)" != "$directory/$name" ] || [ ! -O . ]; then
    echo 'somebody else changes this directory' >&2
    return 1
  fi
  # BusyBox does not replace a link to a directory.
  [ ! -L "../source-routing-$owner.prom" ] || rm -f "../source-routing-$owner.prom"
  { metrics "$1" >new && chmod 0644 new && mv -f -T new "../source-routing-$owner.prom"; } && return 0
  rm -f new
  return 1
}

# Removes that file, unless generation $1 (may be empty) has it at the same place.
drop_textfile() {
  local directory
  directory=$(textfile_directory "$current")
  [ -z "$directory" ] || [ "$directory" = "$(textfile_directory "$1")" ] || rm -f "$directory/source-routing-$owner.prom" 2>/dev/null || :
}

# Prints the text format of Prometheus. $1 is 1 if a generation is in force, 0 if a killed run is in the way.
metrics() {
  local applied_at repaired_at repair_count now_at success
  find_times
  metric in_force gauge 'Whether a generation is in force (1), or a run was killed or is being undone (0).' "$1"
  [ "$1" -eq 0 ] || metric differences gauge 'Differences from the generation in force, as verify prints them.' "$(($(wc -l <"$LOCK/differences")))"
  success=
  case $probed in passed) success=1 ;; failed) success=0 ;; esac
  metric probe_success gauge 'Whether packets of clients get through (1) or not (0).' "$success"
  metric repairs_total counter 'Rules, routes and firewall rules that the watch has put back since boot.' "$repair_count"
  metric repaired_timestamp_seconds gauge 'Time of the last repair.' "$repaired_at"
  metric applied_timestamp_seconds gauge 'Time of the apply that made the generation in force.' "$applied_at"
  metric verified_timestamp_seconds gauge 'Time of this check.' "$now_at"
}

metric() {
  [ -z "$4" ] || printf '# HELP source_routing_%s %s\n# TYPE source_routing_%s %s\nsource_routing_%s{owner="%s"} %s\n' \
    "$1" "$3" "$1" "$2" "$1" "$owner" "$4"
}
