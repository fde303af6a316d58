# Sourced by the scripts beside it: which cluster, and which image.
#
#   E2E_IMAGE and KUBECONFIG set    that cluster, which has that image already; no kind at all
#   KINDKIT=<folder>                a kit that brings up kind where no image can be pulled: its env.sh, kind-up.sh,
#                                   kind-down.sh, net.sh and node-image.sh are used
#   neither                         plain kind, with images pulled by Docker
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH=$root/node_modules/.bin:$PATH

if [ -n "${E2E_IMAGE:-}" ] && [ -n "${KUBECONFIG:-}" ] && [ -z "${KIND_CLUSTER:-}" ]; then
  own_cluster=
else
  own_cluster=1
  if [ -n "${KINDKIT:-}" ]; then
    . "$KINDKIT/env.sh"
    KIND_CLUSTER=$KK_CLUSTER
    # kubectl as old as the kit's Kubernetes.
    [ ! -x "$KK_BIN/kubectl" ] || PATH=$KK_BIN:$PATH
  else
    KIND_CLUSTER=${KIND_CLUSTER:-singleton}
    export KUBECONFIG=${KUBECONFIG:-$HOME/.kube/config}
  fi
  export KIND_CLUSTER
  E2E_IMAGE=${E2E_IMAGE:-singleton-operator:dev}
fi
# With what examples/agent need; examples.sh makes it.
E2E_EXAMPLES_IMAGE=${E2E_EXAMPLES_IMAGE:-singleton-examples:dev}
export E2E_IMAGE E2E_EXAMPLES_IMAGE
say() { echo "[$SECONDS s] $*"; }

# packets_first NICE: when there are many, packets between nodes are handed on by threads of the kernel that weigh as much as one
# process. Beside containers that weigh more they get no core for 50 ms at a time. -20 puts them first, 0 is what they had.
packets_first() { renice -n "$1" -p $(pgrep '^ksoftirqd/') >/dev/null 2>&1 || true; }
