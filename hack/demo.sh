#!/usr/bin/env bash
# The demo: a real cluster, the API gateway of examples/, three things that break and are repaired, an Alertmanager that
# is told, and a chain.
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
alertmanager=${POLYWATCH_RECEIVERS:-$root/.receivers/bin}/alertmanager
export KUBECONFIG=$dir/kubeconfig

kubectl() { "$bin/kubectl" "$@"; }

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }

# Shows a command as a user would type it, then runs it.
show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

# Alive, and still the operator: a process id may have been given to another one.
is_operator() {
  [[ -n $1 && -r /proc/$1/cmdline && $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") == "$operator run "* ]]
}

is_alertmanager() {
  [[ -n $1 && -r /proc/$1/cmdline && $(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") == *" --storage.path=$dir/alertmanager "* ]]
}

end() {
  local pid=
  [[ -f $dir/operator.pid ]] && pid=$(<"$dir/operator.pid")
  if is_operator "$pid"; then
    kill "$pid"
    # It finishes queued writes and releases its lease.
    for _ in {1..100}; do
      is_operator "$pid" || break
      sleep 0.1
    done
  fi
  pid=
  [[ -f $dir/alertmanager.pid ]] && pid=$(<"$dir/alertmanager.pid")
  is_alertmanager "$pid" && kill "$pid"
  rm -f "$dir/operator.pid" "$dir/alertmanager.pid"
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
    cat <<KEPT
export KUBECONFIG=$KUBECONFIG PATH=$(cd "$bin" && pwd):\$PATH
the operator:    curl http://$(grep -om 1 '127\.0\.0\.1:[0-9]*' "$dir/operator.log")/metrics (or /readyz); its log: $dir/operator.log
Alertmanager:    curl $receiver/api/v2/alerts (or a browser)
break something: kubectl apply -f $gateway/4-broken/hostname-taken.yaml
end it with:     make demo-down
KEPT
  else
    end
  fi
  exit "$status"
}

# Where the Alertmanager listens, which took a free port.
receiver_address() {
  local tries=0 address=
  until address=$(grep -m 1 'Listening on' "$dir/alertmanager.log" | grep -om 1 '127\.0\.0\.1:[0-9]*'); do
    ((++tries < 150)) || { echo "demo.sh: Alertmanager does not start: $dir/alertmanager.log" >&2; return 1; }
    sleep 0.2
  done
  echo "http://$address"
}

# The alerts of the Alertmanager that are active, in short.
alerts() {
  curl -sf "$receiver/api/v2/alerts" | grep -o '"summary":"[^"]*"'
}

# Waits until the Alertmanager has an alert of this summary, or with "!" before it has none.
until_alert() {
  local tries=0 wanted=0
  [[ $1 == "!" ]] && wanted=1 && shift
  until [[ $(alerts | grep -qF "$1" && echo 0 || echo 1) == "$wanted" ]]; do
    ((++tries < 300)) || { echo "demo.sh: after 30 s the alerts are: $(alerts)" >&2; return 1; }
    sleep 0.1
  done
}

milliseconds() { date +%s%3N; }

# Waits until a condition of policies has a status.
until_policies() {
  local condition=$1
  shift
  kubectl wait --for=condition="$condition" --timeout=60s "$@" >/dev/null
}

# Waits until this many Events that a field selector selects exist. Each finding has one on its policy and one on its
# object.
until_events() {
  local tries=0
  until (($(kubectl get events -A --field-selector "$1" -o name | wc -l) >= $2)); do
    ((++tries < 150)) || { echo "demo.sh: fewer than $2 Events with $1 after 30 s" >&2; return 1; }
    sleep 0.2
  done
}

if [[ ${1:-} == down ]]; then
  end
  exit
fi

if [[ -f $KUBECONFIG ]] && kubectl get --raw=/readyz --request-timeout=5s >/dev/null 2>&1; then
  printf 'demo.sh: the demo runs already: export KUBECONFIG=%s\nEnd it first: make demo-down\n' "$KUBECONFIG" >&2
  exit 1
fi

[[ -x $alertmanager ]] || {
  printf 'demo.sh: no %s. Fetch it first: tests/receivers/install.sh\n' "$alertmanager" >&2
  exit 1
}

trap finish EXIT
trap 'exit 130' INT TERM
mkdir -p "$dir"
rm -f "$dir/operator.log" "$dir/alertmanager.log"

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
"$operator" run --namespace default --listen 127.0.0.1:0 >"$dir/operator.log" 2>&1 &
echo $! >"$dir/operator.pid"
kubectl apply -k $gateway/3-policies
until_policies Ready mpol --all
until_policies Compliant mpol --all
show kubectl get monitorpolicies

say "A real Alertmanager is to be told when a route is wrong"
printf 'route: {receiver: nobody}\nreceivers: [{name: nobody}]\n' >"$dir/alertmanager.yml"
"$alertmanager" "--config.file=$dir/alertmanager.yml" "--storage.path=$dir/alertmanager" \
  --web.listen-address=127.0.0.1:0 --cluster.listen-address= >"$dir/alertmanager.log" 2>&1 &
echo $! >"$dir/alertmanager.pid"
receiver=$(receiver_address)
kubectl apply -f - <<SINK
apiVersion: polywatch.dev/v1alpha1
kind: AlertSink
metadata:
  name: on-call
spec:
  alertmanager:
    urls: [$receiver]
SINK
show kubectl patch monitorpolicy gateway-routes --type merge -p '{"spec":{"notify":[{"sink":"on-call"}]}}'
until_policies Notifying mpol gateway-routes
show "$operator" sink test on-call

say "Three things break: a route loses its authentication, a rate limit is raised, a model version floats"
kubectl apply -f $gateway/4-broken/route-without-auth.yaml
told=$(milliseconds)
kubectl apply -f $gateway/4-broken/rate-limit-raised.yaml
kubectl apply -f $gateway/4-broken/model-version-latest.yaml
found=$(milliseconds)
until_policies Compliant=False mpol gateway-routes gateway-rate-limits gateway-changes ai-resources
found=$(($(milliseconds) - found))
show kubectl get monitorpolicies
until_alert "without authentication"
told=$(($(milliseconds) - told))
printf '\n(Alertmanager has it %s ms after the route was changed)\n$ curl -s %s/api/v2/alerts | grep -o '\''"summary":"[^"]*"'\''\n' "$told" "$receiver"
alerts
until_events reason=FindingOpened 16
until_events reason=ChangeOccurred 2
printf '\n(of the description, all from Status on)'
show kubectl describe monitorpolicy gateway-routes | sed '/^Spec:/,/^Status:/{/^Status:/!d}'
printf '\n(who did it: drift from what the pipeline made, which stands until it is back, and a change that occurred)'
show kubectl get monitorpolicy gateway-changes -o 'jsonpath={range .status.findings[*]}{.message}{"\n"}{end}{range .status.occurrences[*]}{.message}{"\n"}{end}'
show kubectl -n team-a describe apiroute checkout | sed '/^Spec:/,/^Events:/{/^Events:/!d}'
show kubectl get events -A --field-selector reason=FindingOpened

say "They are repaired"
kubectl apply -k $gateway/2-healthy | grep -v unchanged
repaired=$(milliseconds)
resolved=$repaired
until_policies Compliant mpol --all
resolved=$(($(milliseconds) - resolved))
show kubectl get monitorpolicies
until_alert ! "without authentication"
over=$(($(milliseconds) - repaired))
printf '\n(and Alertmanager has it as resolved %s ms after the repair)\n$ curl -s %s/api/v2/alerts | grep -o '\''"summary":"[^"]*"'\''\n' "$over" "$receiver"
alerts || true
until_events reason=FindingResolved 16
show kubectl get events -A --field-selector reason=FindingResolved

say "The Pods behind a route go: nobody touched the route, and it answers nobody"
show kubectl -n team-a scale deployment checkout --replicas=0
until_policies Compliant=False mpol gateway-backends
printf '\n(after the five seconds that the rule waits; the finding is on the route and names the way to what failed)'
show kubectl get monitorpolicy gateway-backends -o 'jsonpath={range .status.findings[*]}{.resource.kind} {.resource.namespace}/{.resource.name}: {.message}{"\n"}{end}'
until_events reason=FindingOpened,involvedObject.kind=EndpointSlice 1
printf '\n(what failed says whom it hurts)'
show kubectl -n team-a get events --field-selector reason=FindingOpened,involvedObject.kind=EndpointSlice
show kubectl -n team-a scale deployment checkout --replicas=2
until_policies Compliant mpol gateway-backends
show kubectl get monitorpolicy gateway-backends

say "Done: the first three were in the status $found ms after the last change, and gone $resolved ms after the repair"
printf 'A real Alertmanager had the first of them %s ms after the change, and its end %s ms after the repair\n' "$told" "$over"
