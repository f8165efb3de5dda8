#!/bin/sh
# The host leaves the configuration: has root put everything back.
# shellcheck disable=SC2154 # owner is set in front of this text
# shellcheck source=as-root.sh

state="/var/lib/source-routing/$owner"
if [ -d "$state" ]; then
  as_root sh "$state/agent" remove --owner "$owner"
else
  echo "source-routing: $owner: nothing to remove"
fi
finish "$?" "./.source-routing-$owner."*
