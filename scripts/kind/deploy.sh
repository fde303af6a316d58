#!/usr/bin/env bash
# Applies deploy/ to the cluster, with the image E2E_IMAGE, and waits until every replica is Ready.
set -euo pipefail
. "$(dirname "$0")/env.sh"
file=$(mktemp)
trap 'rm -f "$file"' EXIT
"$(dirname "$0")/manifests.sh" "$E2E_IMAGE" > "$file"
# Kubernetes 1.20 has PodDisruptionBudgets in v1beta1 only.
if ! kubectl api-versions | grep -qx policy/v1; then sed -i 's#^apiVersion: policy/v1$#apiVersion: policy/v1beta1#' "$file"; fi
# The same tag may have another image behind it by now, which only new pods have.
if kubectl -n singleton-system get deployment singleton-operator >/dev/null 2>&1; then restart=1; else restart=; fi
kubectl apply -f "$file"
[ -z "$restart" ] || kubectl -n singleton-system rollout restart deployment/singleton-operator
kubectl -n singleton-system rollout status deployment/singleton-operator --timeout=300s
