#!/usr/bin/env bash
# Brings up the kind cluster (a second run does nothing), names its zones, and turns on the API server's audit log for
# the operator's requests. Takes 60 to 100 s.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -n "$own_cluster" ] || { echo "KUBECONFIG and E2E_IMAGE name a cluster: nothing to bring up"; exit 0; }

if [ -n "${KINDKIT:-}" ]; then
  [ -S "${DOCKER_HOST#unix://}" ] && docker version >/dev/null 2>&1 || "$KINDKIT/dockerd-up.sh"
fi
if kind get clusters 2>/dev/null | grep -qx "$KIND_CLUSTER"; then
  say "cluster $KIND_CLUSTER is there"
else
  if [ -n "${KINDKIT:-}" ]; then "$KINDKIT/kind-up.sh"; else kind create cluster --config "$root/kind-config.yaml" --name "$KIND_CLUSTER" --wait 120s; fi
fi

# A control plane has its own cores elsewhere. Here it shares a few with every node, and a node that starts a container, or
# writes kube-proxy's rules, wants all of them.
docker update --cpu-shares 8192 "$KIND_CLUSTER-control-plane" >/dev/null
# The kit's Docker serves this cluster alone, and whatever else the machine does is no part of what is measured.
containers=/sys/fs/cgroup/cpu/docker/cpu.shares
if [ -n "${KINDKIT:-}" ] && [ -w "$containers" ]; then
  echo 16384 > "$containers"
  packets_first -20
fi

zones=(zone-a zone-a zone-b)
i=0
for node in $(kind get nodes --name "$KIND_CLUSTER" | grep -- '-worker' | sort); do
  kubectl label node "$node" --overwrite "topology.kubernetes.io/zone=${zones[i % 3]}" >/dev/null
  i=$((i + 1))
done
"$(dirname "$0")/audit.sh"
say "up: KUBECONFIG=$KUBECONFIG"
