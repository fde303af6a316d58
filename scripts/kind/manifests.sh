#!/usr/bin/env bash
# Prints all that `kubectl apply -k deploy` applies, with the image $1 (default: as the kustomization says).
set -euo pipefail
. "$(dirname "$0")/env.sh"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$root/crds" "$root/deploy" "$folder/"
# The kustomize in kubectl before 1.21 takes a folder only as a base, a word that newer ones warn about.
if ! kubectl kustomize "$folder/deploy" >/dev/null 2>&1; then
  sed -i -e '/^  - \.\.\/crds$/d' -e '$a bases: [../crds]' "$folder/deploy/kustomization.yaml"
fi
kubectl kustomize "$folder/deploy" > "$folder/all.yaml"
# The image, and the environment variable that has it for the agents.
sed -E "s#^( *(- )?(image|value): )singleton-operator(:latest)?\$#\1${1:-singleton-operator:latest}#" "$folder/all.yaml"
