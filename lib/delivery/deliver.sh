#!/bin/sh
# The uploaded bundle is in the directory of this script: root puts it on trial.
# shellcheck disable=SC2154 # the parameters are set in front of this text
# shellcheck source=as-root.sh

bundle="$here/.source-routing-$owner.$generation.bundle.see-ssh.scriptDirectory"
# sudo drops SSH_CONNECTION, so it is passed as an argument.
as_root sh "$bundle" apply --owner "$owner" --generation "$generation" \
  --confirm-timeout "$confirm_timeout" --ssh "${SSH_CONNECTION-}" \
  ${allow_management_path_change:+--allow-management-path-change} "$bundle"
finish "$?" "$bundle"
