#!/bin/sh
# The host leaves the configuration: has root put everything back.
# shellcheck disable=SC2154 # owner is set in front of this text
# shellcheck source=as-root.sh

base=/var/lib/source-routing
if [ -d "$base" ]; then
  # Only root can see what is in there.
  # shellcheck disable=SC2016 # for the inner shell
  as_root sh -c '
    if [ -f "$1/$2/agent" ]; then
      exec sh "$1/$2/agent" remove --owner "$2"
    fi
    echo "source-routing: $2: nothing to remove"
  ' sh "$base" "$owner"
else
  echo "source-routing: $owner: nothing to remove"
fi
finish "$?" "./.source-routing-$owner."*
