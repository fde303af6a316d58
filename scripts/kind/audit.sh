#!/usr/bin/env bash
# Has the API server of the kind cluster log what the operator asks of it, and by its own clock when it was told of a pod's
# fall and of a new endpoint, and the renewals of agents, to /var/log/kubernetes/audit.log in the control plane's node. The kubelet restarts a static
# pod when its manifest changes.
set -euo pipefail
. "$(dirname "$0")/env.sh"
node=$KIND_CLUSTER-control-plane
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
inside() { docker exec -i "$node" "$@"; }

policy=$(cat <<'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["system:serviceaccount:singleton-system:singleton-operator"]
  - level: Request
    userGroups: ["system:nodes"]
    verbs: [patch]
    resources: [{group: "", resources: [pods/status]}]
  - level: Request
    users: ["system:serviceaccount:kube-system:endpointslice-controller"]
    verbs: [create, update]
    resources: [{group: discovery.k8s.io, resources: [endpointslices]}]
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
    verbs: [update]
    resources: [{group: coordination.k8s.io, resources: [leases]}]
  - level: None
Y
)
if [ "$(inside cat /etc/kubernetes/audit/policy.yaml 2>/dev/null)" = "$policy" ] && inside grep -q audit-log-path "$manifest"; then exit 0; fi
inside sh -ec 'mkdir -p /etc/kubernetes/audit /var/log/kubernetes; cat > /etc/kubernetes/audit/policy.yaml' <<< "$policy"
if inside grep -q audit-log-path "$manifest"; then
  # Reads its policy when it starts.
  inside sh -c 'kill $(pidof kube-apiserver); while pidof kube-apiserver >/dev/null; do sleep 0.1; done'
else
  inside sh -ec "
    sed -e '/^    - kube-apiserver\$/a\\    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml\\n    - --audit-log-path=/var/log/kubernetes/audit.log' \
      -e '/^    volumeMounts:\$/a\\    - {mountPath: /etc/kubernetes/audit, name: audit-policy, readOnly: true}\\n    - {mountPath: /var/log/kubernetes, name: audit-log}' \
      -e '/^  volumes:\$/a\\  - {hostPath: {path: /etc/kubernetes/audit}, name: audit-policy}\\n  - {hostPath: {path: /var/log/kubernetes}, name: audit-log}' \
      $manifest > /tmp/kube-apiserver.yaml
    mv /tmp/kube-apiserver.yaml $manifest"
fi
say "waiting for the API server with its audit log"
for _ in $(seq 240); do
  if inside sh -c 'tr "\0" " " < /proc/$(pidof kube-apiserver)/cmdline | grep -q audit-log-path' 2>/dev/null; then
    if kubectl get --raw /readyz >/dev/null 2>&1; then exit 0; fi
  fi
  sleep 0.5
done
echo "the API server did not come back with its audit log" >&2
exit 1
