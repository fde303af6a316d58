#!/usr/bin/env bash
# Runs test/e2e on the cluster.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$root"
# What watches must not take the cores from what is watched: times come from the clients and the audit log.
exec nice -n 10 node --disable-warning=ExperimentalWarning test/e2e/main.ts "$@"
