#!/usr/bin/env bash
# Runs test/e2e on the cluster.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"

# mend NODE: what a run that was interrupted has left there (the faults of test/e2e/faults.ts): frozen, cut off, without its API
# server. Says what it was.
mend() {
  ! docker unpause "$1" >/dev/null 2>&1 || echo "$1 was frozen: mended"
  docker exec "$1" sh -c '
    for table in raw mangle; do
      iptables-save -t $table | grep -E "^-A (PREROUTING|POSTROUTING) .*eth\+ -j DROP$" | sed s/^-A/-D/ |
        while read -r rule; do iptables -t $table $rule && echo "cut off: mended"; done
    done
    cd /etc/kubernetes && [ -e kube-apiserver.stopped ] && mv kube-apiserver.stopped manifests/kube-apiserver.yaml &&
      echo "without its API server: mended"; true' 2>/dev/null | sed "s/^/$1 was /" || true
}
mended=
[ -z "$own_cluster" ] || mended=$(for node in $(kind get nodes --name "$KIND_CLUSTER" 2>/dev/null); do mend "$node"; done)
if [ -n "$mended" ]; then
  echo "$mended"
  # An API server that was taken away and put back in one moment may go all the same before it comes.
  timeout 180 bash -c 'well=0; while [ $well -lt 3 ]; do
    if kubectl get --raw /readyz --request-timeout=5s >/dev/null 2>&1; then well=$((well + 1)); else well=0; fi; sleep 1
  done' || true
fi

# What watches must not take the cores from what is watched: times come from the clients and the audit log.
exec nice -n 10 node --disable-warning=ExperimentalWarning test/e2e/main.ts "$@"
