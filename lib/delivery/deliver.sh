#!/bin/sh
# The uploaded bundle is in the directory of this script: root puts it on trial.
# shellcheck disable=SC2154 # the parameters are set in front of this text
# shellcheck source=as-root.sh

# cloud-init sets up the network of a new machine, and may still install something. At its end, it writes result.json.
wait_for_cloud_init() {
  # After "cloud-init clean", the link leads nowhere until the next boot.
  if [ ! -d /run/cloud-init ] || [ -e /run/cloud-init/result.json ] || [ -L /run/cloud-init/result.json ] || ! command -v cloud-init >/dev/null 2>&1; then
    return
  fi
  echo 'source-routing: waiting for cloud-init to finish, for 300 seconds at most'
  timeout 300 cloud-init status --wait </dev/null >/dev/null 2>&1
  [ "$?" -ne 124 ] || echo 'source-routing: note: cloud-init still runs, and may change the network: cloud-init status --long'
}

wait_for_cloud_init
bundle="$here/.source-routing-$owner.$generation.bundle.see-ssh.scriptDirectory"
# sudo drops SSH_CONNECTION, so it is passed as an argument.
as_root sh "$bundle" apply --owner "$owner" --generation "$generation" \
  --confirm-timeout "$confirm_timeout" --anchor "$anchor" --ssh "${SSH_CONNECTION-}" \
  ${allow_management_path_change:+--allow-management-path-change} "$bundle"
finish "$?" "$bundle"
