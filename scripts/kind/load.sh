#!/usr/bin/env bash
# Builds the operator's image and loads it into the kind cluster's nodes.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -n "$own_cluster" ] || { echo "KUBECONFIG and E2E_IMAGE name a cluster: nothing to load"; exit 0; }

if [ -n "${KINDKIT:-}" ]; then
  if ! docker image inspect local/node:24 >/dev/null 2>&1; then
    say "making the base image"
    tar=$(mktemp)
    "$KINDKIT/node-image.sh" "$(node -p process.execPath)" "$tar"
    docker load --quiet -i "$tar"
    rm -f "$tar"
  fi
  docker build --quiet --target from-dist --build-arg BASE_IMAGE=local/node:24 -t "$E2E_IMAGE" "$root" >/dev/null
else
  docker build --quiet -t "$E2E_IMAGE" "$root" >/dev/null
fi
say "built $E2E_IMAGE, $(docker image inspect -f '{{.Size}}' "$E2E_IMAGE" | awk '{printf "%.0f MB", $1 / 1e6}')"
kind load docker-image --name "$KIND_CLUSTER" "$E2E_IMAGE"
say "loaded"
