#!/usr/bin/env bash
# Runs test/e2e on the cluster.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"
exec node test/e2e/main.ts "$@"
