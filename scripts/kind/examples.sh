#!/usr/bin/env bash
# Builds the image E2E_EXAMPLES_IMAGE, with what examples/agent need beside Node, and loads it into the kind cluster's nodes.
# With a kit nothing is pulled: the image is made of this machine's own programs.
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -n "$own_cluster" ] || { echo "KUBECONFIG and E2E_IMAGE name a cluster: nothing to load"; exit 0; }
examples=$root/examples/agent

# own_programs FOLDER: a root file system with the programs, and the libraries that they need.
own_programs() {
  local to=$1 program file python
  mkdir -p "$to"/{bin,etc,tmp,examples,usr/bin,usr/lib,usr/local/bin}
  chmod 1777 "$to/tmp"
  printf 'root:x:0:0::/:/bin/sh\nnonroot:x:65532:65532::/:/bin/sh\n' > "$to/etc/passwd"
  for program in /bin/sh /bin/sed /bin/sleep /usr/bin/timeout /usr/bin/curl /usr/bin/python3; do
    cp -L "$program" "$to$program"
  done
  python=/usr/lib/$(basename "$(readlink -f /usr/bin/python3)")
  tar -C / --exclude=test --exclude=__pycache__ --exclude='config-3*' -cf - "${python#/}" | tar -C "$to" -xf -
  ldd "$to"/bin/* "$to"/usr/bin/* "$to$python"/lib-dynload/*.so 2>/dev/null | awk '$2 == "=>" { print $3 } /^\t\/lib/ { print $1 }' | sort -u | while read -r file; do
    mkdir -p "$to${file%/*}" && cp -L "$file" "$to$file"
  done
  cp "$examples"/worker.{py,sh} "$to/examples/"
  go=$(command -v go || ls -d /usr/lib/go-*/bin/go | tail -n 1)
  GOCACHE=$to/gocache CGO_ENABLED=0 GO111MODULE=off "$go" build -ldflags "-s -w" -o "$to/usr/local/bin/worker-go" "$examples/worker.go"
  rm -rf "$to/gocache"
}

if [ -n "${KINDKIT:-}" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  own_programs "$folder"
  tar -C "$folder" --numeric-owner --owner=0 --group=0 -cf - . | docker import - "$E2E_EXAMPLES_IMAGE" >/dev/null
else
  docker build --quiet -t "$E2E_EXAMPLES_IMAGE" "$examples" >/dev/null
fi
say "built $E2E_EXAMPLES_IMAGE, $(docker image inspect -f '{{.Size}}' "$E2E_EXAMPLES_IMAGE" | awk '{printf "%.0f MB", $1 / 1e6}')"
kind load docker-image --name "$KIND_CLUSTER" "$E2E_EXAMPLES_IMAGE"
say "loaded"
