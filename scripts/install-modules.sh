#!/usr/bin/env bash
# Installs the Node modules, Node 24 among them. Needs any npm; as root on Debian it is installed where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v npm >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian's npm (a minute or two)"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends npm >/dev/null
  else
    echo "npm is missing; install Node.js (any version that has npm) and run again" >&2
    exit 1
  fi
fi
echo "installing Node modules"
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
touch node_modules/.package-lock.json
echo "Node $(node_modules/.bin/node --version)"
