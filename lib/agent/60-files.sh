# Files and directories, and the undo log.
#
# The log gets a line before each step: "absent PATH", "kept N PATH" (a copy of the old file is beside the log),
# "dir PATH", "enabled UNIT", "disabled UNIT", "restarted UNIT".

undo_log=$LOCK     # directory of the log: that of the trial, if there is one
changed_files=     # paths that this run wrote, each with one blank before and after
kept=0

# Adds to the manifest of generation $1 the directories that we may remove again, the outer ones first. These are the
# directories that its files need and that are missing now, those that an earlier generation has made, and those that
# another owner has made and that it needs.
note_directories() {
  local path directory
  {
    awk -v home="$home/" '
      part == "new" { if ($1 == "file") FILE[$4] = 1; next }
      $1 != "dir" { next }
      index(FILENAME, home) == 1 { print; next }
      { for (path in FILE) if (index(path, $2 "/") == 1) { print; next } }' part=new "$1/manifest" part=known "$STATE"/*/*/manifest
    sed -n 's/^file [^ ]* [^ ]* \([^ ]*\).*/\1/p' "$1/manifest" | while read -r path; do
      directory=${path%/*}
      while [ -n "$directory" ] && ! exists "$directory"; do
        printf 'dir %s\n' "$directory"
        directory=${directory%/*}
      done
    done
  } | sort -u >"$LOCK/directories"
  cat "$LOCK/directories" >>"$1/manifest"
}

# Does file $1 have mode $2, and does it belong to root?
has_mode() {
  [ -n "$(find "$1" -prune -perm "$2" -user 0 2>/dev/null)" ]
}

# Writes a line to the undo log. It is on the disk before the step itself: after a power cut, a file system may have
# the new file names of that step, but not the contents of the log.
one_sync=          # set where the log is synced once for several steps
log_undo() {
  printf '%s\n' "$*" >>"$undo_log/undo" || return 1
  [ -n "$one_sync" ] || sync_undo
}

sync_undo() {
  [ "$undo_log" != "$trial" ] || [ ! -f "$trial/undo" ] || sync "$trial/undo" 2>/dev/null || sync
}

# Keeps what path $1 holds now. A hard link is the safest copy, since nothing here is ever written in place. It also
# keeps owner, time and label.
keep() {
  if exists "$1"; then
    kept=$((kept + 1))
    { [ ! -L "$1" ] && ln "$1" "$undo_log/kept$kept" 2>/dev/null; } || cp -pP "$1" "$undo_log/kept$kept" || return 1
    log_undo "kept $kept $1"
  else
    log_undo "absent $1"
  fi
}

# Prints that file $2 must be installed at path $3 with mode $1, unless it is already there, and keeps the old one.
note_file() {
  ! cmp -s "$2" "$3" || ! has_mode "$3" "$1" || return 0
  keep "$3" && printf '%s %s %s\n' "$1" "$2" "$3"
}

# Installs what note_file has written to $LOCK/install.
install_noted() {
  local mode file path
  while read -r mode file path; do
    problem="cannot write $path (disk full, or read-only?)"
    put_file "$mode" "$path" <"$file" || return 1
    changed_files="$changed_files $path "
  done <"$LOCK/install"
}

# Replaces the contents of file $1 by those of $LOCK/edited, and keeps the old file. Owner and mode stay.
rewrite() {
  if keep "$1" && make_new "$1" </dev/null && cp -p "$1" "$1.source-routing-new" &&
    cat "$LOCK/edited" >"$1.source-routing-new" && mv -f "$1.source-routing-new" "$1"; then
    changed_files="$changed_files $1 "
  else
    rm -f "$1.source-routing-new"
    return 1
  fi
}

# Installs the files of generation $1, and the agent. A sync may take as long as all else, so there is one for all files.
install_files() {
  local path rest word mode number
  while read -r word path rest; do
    [ "$word" = dir ] || continue
    [ -d "$path" ] || { log_undo "dir $path" && mkdir "$path" && chmod 0755 "$path"; } ||
      fail "cannot make directory $path" || return 1
  done <"$1/manifest"
  problem="cannot write $trial (disk full, or read-only?)"
  one_sync=1
  {
    while read -r word mode number path rest; do
      [ "$word" != file ] || note_file "$mode" "$1/files/$number" "$path" || return 1
    done <"$1/manifest"
    note_file 0700 "$1/agent" "$home/agent"
  } >"$LOCK/install" || return 1
  one_sync=
  sync_undo && install_noted && install_blocks "$1"
}

# Does another owner have file $1, too? With a second argument, only a shared file counts. Sets elsewhere to its
# manifest.
is_elsewhere() {
  for elsewhere in $(manifests_of_others); do
    ! has_file "$1" "$elsewhere" ${2+"$2"} || return 0
  done
  return 1
}

# Does manifest $2 have file $1? With a third argument ("shared" or empty), only a file of that kind counts. Sets
# its_number to that of its contents.
has_file() {
  local its_path its_rest its_word
  # Not the variables of the caller's loop.
  while read -r its_word _ its_number its_path its_rest; do
    [ "$its_word $its_path" != "file $1" ] || [ "${3-$its_rest}" != "$its_rest" ] || return 0
  done <"$2"
  return 1
}

# Removes the files of generations $2... that generation $1 (may be empty) does not have.
remove_stale_files() {
  local new each mode path rest word number
  new=$1
  shift
  for each in "$@"; do
    while read -r word mode number path rest; do
      [ "$word" = file ] || continue
      exists "$path" || continue
      [ -z "$new" ] || ! has_file "$path" "$new/manifest" || continue
      [ -z "$rest" ] || ! is_elsewhere "$path" shared || continue
      if [ ! -L "$path" ] && ! cmp -s "$each/files/$number" "$path" && [ $# -eq 1 ] && [ -z "$rest" ]; then
        say "note: $path was edited by hand since it was put there; it is removed"
      fi
      keep "$path" || fail "cannot keep a copy of $path" || return 1
      rm -f "$path" || fail "cannot remove $path" || return 1
      changed_files="$changed_files $path "
    done <"$each/manifest"
  done
  remove_stale_blocks "$new" "$@"
}

# Removes the directories of generations $2... that are empty and that generation $1 does not need, the inner ones first.
remove_stale_directories() {
  local new each path
  new=$1
  shift
  for each in "$@"; do
    sed -n 's/^dir //p' "$each/manifest"
  done | sort -r -u | while read -r path; do
    { [ -n "$new" ] && is_needed "$path" "$new"; } || rmdir "$path" 2>/dev/null || :
  done
}

# Is a file of generation $2 in directory $1?
is_needed() {
  awk -v directory="$1/" '$1 == "file" && index($4, directory) == 1 { found = 1 } END { exit !found }' "$2/manifest"
}

# Prints the files of generation $1 that have changed since they were installed.
differing_files() {
  local mode path rest word number
  while read -r word mode number path rest; do
    [ "$word" = file ] || continue
    if ! exists "$path"; then
      printf '+ file %s (missing)\n' "$path"
    elif ! cmp -s "$1/files/$number" "$path"; then
      # Owners may bring different versions of a shared file. The last one stays.
      { [ -n "$rest" ] && is_elsewhere "$path" shared; } || printf '+ file %s (differs from %s)\n' "$path" "$1/files/$number"
    elif ! has_mode "$path" "$mode"; then
      printf '+ file %s (its mode is not %s, or its owner not root)\n' "$path" "$mode"
    fi
  done <"$1/manifest"
  differing_blocks "$1"
}
