#!/usr/bin/env bash
# Has the API server of the kind cluster log what the operator asks of it, to /var/log/kubernetes/audit.log in the
# control plane's node. The kubelet restarts a static pod when its manifest changes.
set -euo pipefail
. "$(dirname "$0")/env.sh"
node=$KIND_CLUSTER-control-plane
manifest=/etc/kubernetes/manifests/kube-apiserver.yaml
if docker exec "$node" grep -q audit-log-path "$manifest"; then exit 0; fi

docker exec -i "$node" sh -ec 'mkdir -p /etc/kubernetes/audit /var/log/kubernetes; cat > /etc/kubernetes/audit/policy.yaml' <<'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    users: ["system:serviceaccount:singleton-system:singleton-operator"]
  - level: None
Y
docker exec -i "$node" sh -ec "
  sed -e '/^    - kube-apiserver\$/a\\    - --audit-policy-file=/etc/kubernetes/audit/policy.yaml\\n    - --audit-log-path=/var/log/kubernetes/audit.log' \
    -e '/^    volumeMounts:\$/a\\    - {mountPath: /etc/kubernetes/audit, name: audit-policy, readOnly: true}\\n    - {mountPath: /var/log/kubernetes, name: audit-log}' \
    -e '/^  volumes:\$/a\\  - {hostPath: {path: /etc/kubernetes/audit}, name: audit-policy}\\n  - {hostPath: {path: /var/log/kubernetes}, name: audit-log}' \
    $manifest > /tmp/kube-apiserver.yaml
  mv /tmp/kube-apiserver.yaml $manifest"
say "waiting for the API server with its audit log"
for _ in $(seq 240); do
  if docker exec "$node" test -s /var/log/kubernetes/audit.log || docker exec "$node" sh -c 'tr "\0" " " < /proc/$(pidof kube-apiserver)/cmdline | grep -q audit-log-path' 2>/dev/null; then
    if kubectl get --raw /readyz >/dev/null 2>&1; then exit 0; fi
  fi
  sleep 0.5
done
echo "the API server did not come back with its audit log" >&2
exit 1
