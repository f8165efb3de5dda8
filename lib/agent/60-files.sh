# Files and directories, and the log from which a change is undone.
#
# The log is written before each step: "absent PATH", "kept N PATH" (what was there is beside the
# log), "dir PATH", "enabled UNIT", "disabled UNIT", "restarted UNIT".

undo_log=$LOCK     # directory of the log: that of the trial, if there is one
changed_files=     # paths that this run wrote, one blank around each
kept=0

# The directories that the files of generation $1 need and that are ours to take away again:
# those missing now, and those that an earlier generation, or another owner, made.
note_directories() {
  local known path rest word mode directory absent manifest number
  known=' '
  for manifest in "$STATE"/*/*/manifest; do
    [ -f "$manifest" ] || continue
    while read -r word path rest; do
      [ "$word" = dir ] || continue
      case $manifest in
        "$home"/*) known_directory "$path" ;;
        *) ! is_needed "$path" "$1" || known_directory "$path" ;;
      esac
    done <"$manifest"
  done
  while read -r word mode number path rest; do
    [ "$word" = file ] || continue
    absent=
    directory=${path%/*}
    while [ -n "$directory" ] && ! exists "$directory"; do
      absent="$directory $absent"
      directory=${directory%/*}
    done
    for directory in $absent; do
      known_directory "$directory"
    done
  done <"$1/manifest"
  for directory in $known; do
    printf 'dir %s\n' "$directory"
  done >>"$1/manifest"
}

known_directory() {
  case $known in
    *" $1 "*) ;;
    *) known="$known$1 " ;;
  esac
}

# Does a file of generation $2 lie in directory $1?
is_needed() {
  local file mode rest word number
  while read -r word mode number file rest; do
    [ "$word" = file ] || continue
    case $file in "$1"/*) return 0 ;; esac
  done <"$2/manifest"
  return 1
}

# Has file $1 mode $2, and is it root's?
has_mode() {
  [ -n "$(find "$1" -prune -perm "$2" -user 0 2>/dev/null)" ]
}

# On the disk before the step itself: of that, the names of files get there sooner than what is in a file.
log_undo() {
  printf '%s\n' "$*" >>"$undo_log/undo" || return 1
  [ "$undo_log" != "$trial" ] || sync "$trial/undo" 2>/dev/null || sync
}

# Notes what path $1 holds now. A second name for it is the surest copy, as nothing here is ever
# written in place; it also keeps owner, time and label.
keep() {
  if exists "$1"; then
    kept=$((kept + 1))
    { [ ! -L "$1" ] && ln "$1" "$undo_log/kept$kept" 2>/dev/null; } || cp -pP "$1" "$undo_log/kept$kept" || return 1
    log_undo "kept $kept $1"
  else
    log_undo "absent $1"
  fi
}

# Puts file $2 at path $3 with mode $1, unless it is there.
install_file() {
  if cmp -s "$2" "$3" && has_mode "$3" "$1"; then
    return 0
  fi
  keep "$3" || return 1
  put_file "$1" "$3" <"$2" || return 1
  changed_files="$changed_files $3 "
}

# Gives file $1 the contents of file $2. Owner and mode stay.
rewrite() {
  { make_new "$1" </dev/null && cp -p "$1" "$1.source-routing-new" && cat "$2" >"$1.source-routing-new" &&
    mv -f "$1.source-routing-new" "$1"; } && return 0
  rm -f "$1.source-routing-new"
  return 1
}

make_directory() {
  log_undo "dir $1" && mkdir "$1" && chmod 0755 "$1"
}

# The files of generation $1, and the agent.
install_files() {
  local path rest word mode number
  while read -r word path rest; do
    [ "$word" = dir ] || continue
    [ -d "$path" ] || make_directory "$path" || { problem="cannot make directory $path"; return 1; }
  done <"$1/manifest"
  while read -r word mode number path rest; do
    [ "$word" = file ] || continue
    install_file "$mode" "$1/files/$number" "$path" || {
      problem="cannot write $path (disk full, or read-only?)"
      return 1
    }
  done <"$1/manifest"
  install_blocks "$1" || return 1
  install_file 0700 "$1/agent" "$home/agent" || {
    problem="cannot write $home/agent (disk full, or read-only?)"
    return 1
  }
}

# Does another owner have file $1, too? With a second argument, as a shared one. Sets elsewhere.
is_elsewhere() {
  for elsewhere in "$STATE"/*/*/manifest; do
    case $elsewhere in "$home"/*) continue ;; esac
    [ -f "$elsewhere" ] || continue
    ! has_file "$1" "$elsewhere" ${2+"$2"} || return 0
  done
  return 1
}

# Has manifest $2 the file $1? With a third argument, as a shared one?
has_file() {
  local its_path its_rest its_word
  # Not the variables of the caller's loop.
  while read -r its_word _ _ its_path its_rest; do
    [ "$its_word $its_path" != "file $1" ] || [ "${3-$its_rest}" != "$its_rest" ] || return 0
  done <"$2"
  return 1
}

# Takes away the files of generations $2... that generation $1 (may be empty) does not have.
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
      keep "$path" || { problem="cannot keep a copy of $path"; return 1; }
      rm -f "$path" || { problem="cannot remove $path"; return 1; }
      changed_files="$changed_files $path "
    done <"$each/manifest"
  done
  remove_stale_blocks "$new" "$@"
}

# Takes away the directories of generations $2... that are empty and not needed by $1.
remove_stale_directories() {
  local new stale each path rest word
  new=$1
  shift
  stale=
  for each in "$@"; do
    while read -r word path rest; do
      [ "$word" = dir ] || continue
      [ -z "$new" ] || ! is_needed "$path" "$new" || continue
      stale="$path $stale"
    done <"$each/manifest"
  done
  # Inner ones were noted after outer ones, so they come first here.
  for path in $stale; do
    [ ! -d "$path" ] || rmdir "$path" 2>/dev/null || :
  done
}

# The files of generation $1 that are not as they were put there: lines into $2.
differing_files() {
  local mode path rest word number
  : >"$2"
  while read -r word mode number path rest; do
    [ "$word" = file ] || continue
    if ! exists "$path"; then
      printf '+ file %s (missing)\n' "$path" >>"$2"
    elif ! cmp -s "$1/files/$number" "$path"; then
      # Owners may bring different versions of the shared file; the last one stays.
      { [ -n "$rest" ] && is_elsewhere "$path" shared; } || printf '+ file %s (differs from %s)\n' "$path" "$1/files/$number" >>"$2"
    elif ! has_mode "$path" "$mode"; then
      printf '+ file %s (its mode is not %s, or its owner not root)\n' "$path" "$mode" >>"$2"
    fi
  done <"$1/manifest"
  differing_blocks "$1" "$2"
}
