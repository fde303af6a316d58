#!/usr/bin/env bash
# From nothing to the end-to-end table and away again: cluster up, image, deploy, test/e2e "$@", cluster down. Where there can
# be no cluster it says why in one line and counts as skipped. About 25 minutes, of which the steady case takes 5; with
# --quick about 12. A node image that has to be made first takes 2 to 3 minutes more, and Kubernetes' programs 7.
set -euo pipefail
here=$(dirname "$0")
# A cluster takes 1 to 2 minutes on two cores with nothing else to do.
UP_SECONDS=600

work=$(mktemp -d)
log=$work/log
undo=()
# The last first; what can't be undone keeps nobody from undoing the rest.
end() {
  trap - EXIT
  set +e
  for ((step = ${#undo[@]} - 1; step >= 0; step--)); do ${undo[step]} >>"$work/undo" 2>&1; done
  rm -rf "$work"
}
trap end EXIT
trap 'exit 143' TERM HUP
trap 'exit 130' INT

skip() { echo "end to end: skipped: $*"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
fail() { echo "end to end: $*"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }
# try WHAT COMMAND...: what must work for there to be a cluster. Its output matters only when it fails.
try() { local what=$1; shift; "$@" >"$log" 2>&1 || skip "$what: $(grep -v '^$' "$log" | tail -n 1)"; }

if [ -n "${KINDKIT:-}" ]; then
  [ -r "$KINDKIT/env.sh" ] || skip "there is no kit in $KINDKIT"
  KINDKIT=$(cd "$KINDKIT" && pwd)
  export KINDKIT
  try "the kit can't be used" bash -ec '. "$KINDKIT/env.sh"'
fi
. "$here/env.sh"
. "$here/machine.sh"

# The kit's Docker engine, unless it runs already, and its node image, unless that has been made.
start_docker() {
  command -v kind >/dev/null && command -v dockerd >/dev/null || try "Docker and kind can't be installed" "$KINDKIT/install.sh"
  if ! docker version >/dev/null 2>&1; then
    try "a Docker engine can't be started" remember_machine "$work"
    undo+=("restore_machine $work $KK_RUN" "$KINDKIT/dockerd-down.sh")
    try "the Docker engine does not start" "$KINDKIT/dockerd-up.sh"
    # Nobody can be using a cluster of an engine that was not running.
    kind delete cluster --name "$KIND_CLUSTER" >"$log" 2>&1
  fi
  # Only now: where no engine runs they would be compiled for nothing.
  echo "Kubernetes' programs, which take 7 minutes where they have to be compiled"
  try "no kubelet" "$root/scripts/build-kubernetes.sh" "$KK_BIN" kubelet kube-proxy kubeadm
  docker image inspect "$KK_IMAGE" >/dev/null 2>&1 || try "no node image" "$KINDKIT/build-node-image.sh"
}

if [ -n "$own_cluster" ]; then
  [ -z "${KINDKIT:-}" ] || start_docker
  command -v kind >/dev/null || skip "kind is not installed"
  docker version >/dev/null 2>&1 || skip "Docker can't be used"
  ! kind get clusters 2>/dev/null | grep -qx "$KIND_CLUSTER" || skip "a cluster $KIND_CLUSTER is there already: make kind-down, if nobody uses it"
  undo+=("$here/down.sh")
  timeout "$UP_SECONDS" "$here/up.sh" || skip "kind brings up no cluster here within $UP_SECONDS s, see above"
  "$here/load.sh" || fail "the operator's image can't be built and loaded, see above"
  # Without it their case is skipped, and says so.
  "$here/examples.sh" || echo "the image for examples/agent can't be built and loaded, see above"
fi
"$here/deploy.sh" || fail "the operator does not become ready, see above"
"$here/e2e.sh" "$@"
