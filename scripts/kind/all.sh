#!/usr/bin/env bash
# From nothing to the end-to-end table and away again: cluster up, image, deploy, test/e2e "$@", cluster down.
# Where Docker can't run it says why in one line and counts as skipped. About 25 minutes, of which the steady case takes 5;
# with --quick about 10.
set -euo pipefail
here=$(dirname "$0")
. "$here/env.sh"

skip() { echo "end to end: skipped: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
if [ -n "$own_cluster" ]; then
  if [ -n "${KINDKIT:-}" ]; then
    log=$(mktemp)
    trap 'rm -f "$log"; ${end_docker:-true} || true' EXIT
    command -v kind >/dev/null && command -v dockerd >/dev/null || "$KINDKIT/install.sh" >"$log" 2>&1 || skip "no Docker: $(tail -n 1 "$log")"
    "$root/scripts/build-kubernetes.sh" "$KK_BIN" kubelet kube-proxy kubeadm >"$log" 2>&1 || skip "no kubelet: $(tail -n 1 "$log")"
    docker version >/dev/null 2>&1 || end_docker="$KINDKIT/dockerd-down.sh"
    "$KINDKIT/dockerd-up.sh" >"$log" 2>&1 || skip "dockerd does not start: $(tail -n 1 "$log")"
    docker image inspect "$KK_IMAGE" >/dev/null 2>&1 || "$KINDKIT/build-node-image.sh" >"$log" 2>&1 || skip "no node image: $(tail -n 1 "$log")"
  fi
  command -v kind >/dev/null || skip "kind is not installed"
  docker version >/dev/null 2>&1 || skip "Docker can't be used"
  trap 'rm -f "${log:-}"; "$here/down.sh" || true; ${end_docker:-true} || true' EXIT
  "$here/up.sh" || skip "kind brings up no cluster here, see above"
  "$here/load.sh"
fi
"$here/deploy.sh"
"$here/e2e.sh" "$@"
