#!/usr/bin/env bash
# The demo: a real cluster, the API gateway of examples/, three things that break and are repaired.
#
#   hack/demo.sh          run it and end everything
#   KEEP=1 hack/demo.sh   leave cluster and operator running; "hack/demo.sh down" ends them
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
dir=$root/.demo
bin=${KUBEBUILDER_ASSETS:-$root/.controlplane/bin}
operator=${POLYWATCH:-$root/target/debug/polywatch}
gateway=examples/api-gateway
export KUBECONFIG=$dir/kubeconfig

kubectl() { "$bin/kubectl" "$@"; }

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

# Shows a command as a user would type it, then runs it.
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

end() {
  local pid=
  [[ -f $dir/operator.pid ]] && pid=$(<"$dir/operator.pid")
  if [[ -n $pid ]] && kill -0 "$pid" 2>/dev/null; then
    kill "$pid"
    # It finishes queued writes and releases its lease.
    for _ in {1..100}; do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
  fi
  rm -f "$dir/operator.pid"
  hack/cluster.sh down "$dir" >/dev/null
}

# Ends everything unless it is to be kept; after a failure the logs are named.
finish() {
  local status=$?
  trap - EXIT INT TERM
  if ((status != 0)); then
    printf '\ndemo.sh: the demo failed. Logs: %s\n' "$dir/operator.log $dir/logs" >&2
    [[ -f $dir/operator.log ]] && tail -n 20 "$dir/operator.log" >&2
  fi
  if ((status == 0)) && [[ ${KEEP:-} == 1 ]]; then
    say "Kept running"
    printf 'export KUBECONFIG=%s\nend it with: make demo-down\n' "$KUBECONFIG"
  else
    end
  fi
  exit "$status"
}

# Waits until a condition of policies has a status.
until_policies() {
  local condition=$1
  shift
  kubectl wait --for=condition="$condition" --timeout=60s "$@" >/dev/null
}

# Waits until this many Events of a reason exist on objects.
until_event() {
  local tries=0
  until (($(kubectl get events -A --field-selector "reason=$1" -o name | wc -l) >= 2 * $2)); do
    ((++tries < 150)) || { echo "demo.sh: fewer than $2 Events of reason $1 after 30 s" >&2; return 1; }
    sleep 0.2
  done
}

if [[ ${1:-} == down ]]; then
  end
  exit
fi

trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$dir"

say "A cluster: etcd, kube-apiserver, kube-controller-manager, and KWOK for nodes and pods"
hack/cluster.sh up "$dir"

say "The CustomResourceDefinitions of polywatch, and the API gateway of the example, in good health"
kubectl apply -k crds
kubectl apply -k $gateway/1-crds
kubectl wait --for=condition=Established --timeout=30s crd --all >/dev/null
kubectl apply -k $gateway/2-healthy >/dev/null
kubectl get deployments -A --no-headers -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name |
  while read -r namespace name; do
    kubectl -n "$namespace" rollout status "deployment/$name" --timeout=60s
  done

say "The operator, and the policies"
"$operator" run --lease-namespace default --listen 127.0.0.1:0 >"$dir/operator.log" 2>&1 &
echo $! >"$dir/operator.pid"
kubectl apply -k $gateway/3-policies
until_policies Ready mpol --all
until_policies Compliant mpol --all
show kubectl get monitorpolicies

say "Three things break: a route loses its authentication, a rate limit is raised, a model version floats"
kubectl apply -f $gateway/4-broken/route-without-auth.yaml
kubectl apply -f $gateway/4-broken/rate-limit-raised.yaml
kubectl apply -f $gateway/4-broken/model-version-latest.yaml
until_policies Compliant=False mpol gateway-routes gateway-rate-limits ai-resources
show kubectl get monitorpolicies
until_event FindingOpened 7
printf '\n(of the description, all from Status on)'
show kubectl describe monitorpolicy gateway-routes | sed '/^Spec:/,/^Status:/{/^Status:/!d}'
show kubectl -n team-a describe apiroute checkout | sed '/^Spec:/,/^Events:/{/^Events:/!d}'
show kubectl get events -A --field-selector reason=FindingOpened

say "They are repaired"
kubectl apply -k $gateway/2-healthy | grep -v unchanged
until_policies Compliant mpol --all
show kubectl get monitorpolicies
until_event FindingResolved 7
show kubectl get events -A --field-selector reason=FindingResolved

say "Done: found within a second, resolved when repaired"
