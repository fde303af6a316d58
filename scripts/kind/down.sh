#!/usr/bin/env bash
# Deletes the kind cluster.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -n "$own_cluster" ] || { echo "KUBECONFIG and E2E_IMAGE name a cluster that was not made here: it stays"; exit 0; }
if [ -n "${KINDKIT:-}" ]; then packets_first 0; "$KINDKIT/kind-down.sh"; else kind delete cluster --name "$KIND_CLUSTER"; fi
