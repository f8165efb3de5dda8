#!/bin/sh
# The login user's home holds the uploaded bundle: has root apply it.
# shellcheck disable=SC2154 # owner and generation are set in front of this text
# shellcheck source=as-root.sh

bundle="./.source-routing-$owner.$generation.bundle"
as_root sh "$bundle" apply --owner "$owner" --generation "$generation" "$bundle"
finish "$?" "$bundle"
