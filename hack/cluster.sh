#!/usr/bin/env bash
# A real Kubernetes control plane on loopback, with KWOK in place of kubelets: no containers, no machines.
#
#   hack/cluster.sh up DIR      start it, wait until workloads can run; then KUBECONFIG=DIR/kubeconfig
#   hack/cluster.sh down DIR    end every process of it and remove its data; DIR/logs stays
#
# The tests start the same processes one by one, so that every flag is written once, here:
#
#   hack/cluster.sh prepare DIR                     choose ports, write DIR/env, DIR/tokens.csv, DIR/kubeconfig
#   hack/cluster.sh run COMPONENT DIR [FLAG...]     become that process (etcd, kube-apiserver,
#                                                   kube-controller-manager, kwok), with further flags
#
# Binaries come from KUBEBUILDER_ASSETS if set, else from .controlplane/bin (tests/controlplane/build.sh).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=${KUBEBUILDER_ASSETS:-$root/.controlplane/bin}
patience=120 # seconds to wait for one process to do its part

fail() {
  printf 'cluster.sh: %s\n' "$*" >&2
  exit 1
}

need() {
  local name
  for name in "$@"; do
    [[ -x $bin/$name ]] && continue
    [[ -z ${KUBEBUILDER_ASSETS:-} ]] ||
      fail "no $name in KUBEBUILDER_ASSETS=$bin. Put it there, or unset KUBEBUILDER_ASSETS and run tests/controlplane/build.sh."
    fail "no $name in $bin. Build the control plane first: tests/controlplane/build.sh"
  done
}

# KWOK's stage files: how nodes and pods become Ready. Beside the folder of binaries, or inside of it.
stage_folder() {
  local folder
  for folder in "${KWOK_STAGES:-}" "$bin/kwok-stages" "$bin/../kwok-stages" "$root/.controlplane/kwok-stages"; do
    if [[ -n $folder && -d $folder/pod/fast ]]; then
      (cd "$folder" && pwd)
      return
    fi
  done
  fail "no KWOK stage files beside $bin. Run tests/controlplane/build.sh with KUBEBUILDER_ASSETS unset," \
    "or set KWOK_STAGES to the folder kustomize/stage of the KWOK repository."
}

# Below the range from which the kernel takes the ports of outgoing connections, so that a port stays
# free between its choice and its use, and while its process restarts.
free_port() {
  local port
  while true; do
    port=$((20000 + (RANDOM * 32768 + RANDOM) % 12768))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
  done
  echo "$port"
}

# The ports of this cluster may be given as ETCD_PORT, ETCD_PEER_PORT and APISERVER_PORT.
prepare() {
  need etcd kube-apiserver kubectl
  umask 077
  mkdir -p "$1"
  local dir token
  dir=$(cd "$1" && pwd)
  mkdir -p "$dir/etcd" "$dir/pki" "$dir/logs"
  ETCD_PORT=${ETCD_PORT:-$(free_port)}
  ETCD_PEER_PORT=${ETCD_PEER_PORT:-$(free_port)}
  APISERVER_PORT=${APISERVER_PORT:-$(free_port)}
  cat >"$dir/env" <<ENV
ETCD_PORT=$ETCD_PORT
ETCD_PEER_PORT=$ETCD_PEER_PORT
APISERVER_PORT=$APISERVER_PORT
ENV
  token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s,admin,admin,"system:masters"\n' "$token" >"$dir/tokens.csv"
  # The API server writes its certificate, with the authority that signed it, when it first starts.
  cat >"$dir/kubeconfig" <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: polywatch
contexts:
- name: polywatch
  context: {cluster: polywatch, user: polywatch}
clusters:
- name: polywatch
  cluster:
    server: https://127.0.0.1:$APISERVER_PORT
    certificate-authority: $dir/pki/apiserver.crt
users:
- name: polywatch
  user: {token: $token}
KUBECONFIG
}

# Becomes the process, so that its process id is the one the caller knows.
run() {
  local component=$1 dir
  [[ -f $2/env ]] || fail "$2 holds no cluster; run: hack/cluster.sh prepare $2"
  dir=$(cd "$2" && pwd)
  shift 2
  need "$component"
  # shellcheck source=/dev/null
  source "$dir/env"
  case $component in
  etcd)
    exec "$bin/etcd" \
      --name=default \
      --data-dir="$dir/etcd" \
      --listen-client-urls="http://127.0.0.1:$ETCD_PORT" \
      --advertise-client-urls="http://127.0.0.1:$ETCD_PORT" \
      --listen-peer-urls="http://127.0.0.1:$ETCD_PEER_PORT" \
      --initial-advertise-peer-urls="http://127.0.0.1:$ETCD_PEER_PORT" \
      --initial-cluster="default=http://127.0.0.1:$ETCD_PEER_PORT" \
      --unsafe-no-fsync \
      --log-level=warn \
      "$@"
    ;;
  kube-apiserver)
    # The key that the server makes for TLS also signs service account tokens. Admission by service
    # account is off, so that pods can be created where no controller manager creates accounts.
    exec "$bin/kube-apiserver" \
      --etcd-servers="http://127.0.0.1:$ETCD_PORT" \
      --bind-address=127.0.0.1 \
      --advertise-address=127.0.0.1 \
      --secure-port="$APISERVER_PORT" \
      --endpoint-reconciler-type=none \
      --cert-dir="$dir/pki" \
      --service-account-key-file="$dir/pki/apiserver.key" \
      --service-account-signing-key-file="$dir/pki/apiserver.key" \
      --service-account-issuer=https://kubernetes.default.svc.cluster.local \
      --service-cluster-ip-range=10.0.0.0/16 \
      --token-auth-file="$dir/tokens.csv" \
      --authorization-mode=RBAC \
      --disable-admission-plugins=ServiceAccount \
      --shutdown-delay-duration=0 \
      --profiling=false \
      "$@"
    ;;
  kube-controller-manager)
    exec "$bin/kube-controller-manager" \
      --kubeconfig="$dir/kubeconfig" \
      --leader-elect=false \
      --secure-port=0 \
      --controllers='*,-nodeipam,-nodelifecycle,-attachdetach,-persistentvolume-binder,-kube-apiserver-serving-clustertrustbundle-publisher-controller' \
      --service-account-private-key-file="$dir/pki/apiserver.key" \
      --root-ca-file="$dir/pki/apiserver.crt" \
      "$@"
    ;;
  kwok)
    local stages configs=() file
    stages=$(stage_folder)
    for file in "$stages"/node/fast/*.yaml "$stages"/node/heartbeat-with-lease/*.yaml "$stages"/pod/fast/*.yaml; do
      # The KWOK repository keeps kustomizations among the stages.
      [[ $file == */kustomization.yaml ]] || configs+=("--config=$file")
    done
    exec "$bin/kwok" \
      --kubeconfig="$dir/kubeconfig" \
      --manage-all-nodes=true \
      --node-lease-duration-seconds=40 \
      --node-ip=10.1.0.1 \
      --cidr=10.2.0.1/16 \
      "${configs[@]}" \
      "$@"
    ;;
  *) fail "unknown component $component: etcd, kube-apiserver, kube-controller-manager or kwok" ;;
  esac
}

# --- up and down ------------------------------------------------------------------------------------

kubectl() {
  KUBECACHEDIR=$dir/kubectl-cache "$bin/kubectl" --kubeconfig="$dir/kubeconfig" --request-timeout=10s "$@"
}

# Alive, and still a process of this cluster: a process id may have been given to another one.
is_ours() {
  [[ -r /proc/$1/cmdline && "$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline") " == *"$dir"[/\ ]* ]]
}

start() {
  nohup "$root/hack/cluster.sh" run "$1" "$dir" </dev/null >"$dir/logs/$1.log" 2>&1 &
  echo "$! $1" >>"$dir/pids"
  disown
}

# until_true WHAT COMMAND...: repeats the command until it succeeds, or fails when a process has died.
until_true() {
  local what=$1 deadline=$((SECONDS + patience)) pid name
  shift
  until "$@" >/dev/null 2>"$dir/logs/last-probe"; do
    while read -r pid name; do
      if ! kill -0 "$pid" 2>/dev/null; then
        tail -n 5 "$dir/logs/$name.log" >&2
        fail "$name ended while waiting until $what; its log: $dir/logs/$name.log"
      fi
    done <"$dir/pids"
    ((SECONDS < deadline)) ||
      fail "gave up after $patience s waiting until $what: $(<"$dir/logs/last-probe"); logs: $dir/logs"
    sleep 0.1
  done
}

api_is_ready() {
  kubectl get --raw=/readyz && kubectl get namespace default && kubectl get clusterrole view
}

nodes_are_ready() {
  kubectl wait --for=condition=Ready node --all --timeout=5s
}

# The policy of cluster.yaml that assigns nodes takes a moment to become active.
pods_get_a_node() {
  local node
  node=$(kubectl run probe --image=none --dry-run=server -o 'jsonpath={.spec.nodeName}') && [[ -n $node ]]
}

up() {
  if [[ -f $1/pids ]]; then
    dir=$(cd "$1" && pwd)
    local pid
    while read -r pid _; do
      if is_ours "$pid"; then
        fail "a cluster runs in $dir already. Use it with KUBECONFIG=$dir/kubeconfig, or end it: hack/cluster.sh down $1"
      fi
    done <"$dir/pids"
    down "$1" # what a power failure or a kill left behind
  fi
  need etcd kube-apiserver kubectl kube-controller-manager kwok
  stage_folder >/dev/null
  prepare "$1"
  dir=$(cd "$1" && pwd)
  : >"$dir/pids"
  set -m # each process in a group of its own, so that Ctrl-C in this terminal does not reach it later
  trap 'down "$dir"' EXIT
  trap 'exit 130' INT TERM

  printf 'Starting a cluster in %s\n' "$dir"
  start etcd
  start kube-apiserver
  until_true "the API server is ready" api_is_ready
  start kube-controller-manager
  start kwok
  until_true "nodes and policies are created" kubectl apply --server-side -f "$root/hack/cluster.yaml"
  until_true "the nodes are Ready" nodes_are_ready
  until_true "new pods get a node" pods_get_a_node

  trap - EXIT INT TERM
  rm -f "$dir/logs/last-probe"
  printf 'Ready in %s s. Use it with: export KUBECONFIG=%s/kubeconfig\n' "$SECONDS" "$dir"
}

# Asks all to end, and kills what is still there after three seconds (the API server waits for open
# watches): clients of the API server first, etcd last.
down() {
  [[ -d $1 ]] || return 0
  dir=$(cd "$1" && pwd)
  local signal pid deadline alive
  if [[ -f $dir/pids ]]; then
    for signal in TERM KILL; do
      deadline=$((SECONDS + 3))
      while read -r pid _; do
        if is_ours "$pid"; then kill -s "$signal" "$pid" 2>/dev/null || true; fi
      done < <(sort -rn "$dir/pids")
      alive=1
      while ((alive && SECONDS < deadline)); do
        alive=0
        while read -r pid _; do
          if is_ours "$pid"; then alive=1; fi
        done <"$dir/pids"
        if ((alive)); then sleep 0.1; fi
      done
      ((alive)) || break
    done
    ((alive == 0)) || fail "processes of $dir did not end, even on SIGKILL; see $dir/pids"
  fi
  rm -rf "$dir/etcd" "$dir/pki" "$dir/kubectl-cache"
  rm -f "$dir/env" "$dir/tokens.csv" "$dir/kubeconfig" "$dir/pids" "$dir/logs/last-probe"
}

usage() {
  sed -n '2,/^set -e/ s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

command=${1:-}
case $command in
up | down | prepare)
  (($# == 2)) || usage
  "$command" "$2"
  ;;
run)
  (($# >= 3)) || usage
  shift
  run "$@"
  ;;
*) usage ;;
esac
