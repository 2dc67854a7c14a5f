#!/usr/bin/env bash
# Builds a real Kubernetes control plane from published Go modules, for the tests and the demo.
#
#   tests/controlplane/build.sh [BIN_DIR]      default: .controlplane/bin at the root of the repository
#
# Versions are those of go.mod beside this file, checked against go.sum. A second run of an unchanged
# tree does nothing. If KUBEBUILDER_ASSETS names a folder of ready binaries, nothing is built.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)

fail() {
  printf 'build.sh: %s\n' "$*" >&2
  exit 1
}

# Ready binaries, as in the envtest convention: say what is missing, build nothing.
if [[ -n ${KUBEBUILDER_ASSETS:-} ]]; then
  missing=()
  for name in etcd kube-apiserver kubectl; do
    [[ -x $KUBEBUILDER_ASSETS/$name ]] || missing+=("$name")
  done
  if ((${#missing[@]})); then
    fail "KUBEBUILDER_ASSETS=$KUBEBUILDER_ASSETS has no ${missing[*]}." \
      "Put them there, or unset KUBEBUILDER_ASSETS to build them from source."
  fi
  for name in kube-controller-manager kwok; do
    [[ -x $KUBEBUILDER_ASSETS/$name ]] || missing+=("$name")
  done
  if ((${#missing[@]})); then
    printf 'KUBEBUILDER_ASSETS=%s has no %s: enough for API tests, not for running workloads nor for the demo.\n' \
      "$KUBEBUILDER_ASSETS" "${missing[*]}"
    printf 'Put them there, or unset KUBEBUILDER_ASSETS to build them from source.\n'
  else
    printf 'Using the control plane in KUBEBUILDER_ASSETS=%s; nothing to build.\n' "$KUBEBUILDER_ASSETS"
  fi
  exit 0
fi

bin=${1:-$root/.controlplane/bin}
mkdir -p "$bin"
bin=$(cd "$bin" && pwd)
stages=$(dirname "$bin")/kwok-stages
stamp=$bin/.stamp
stage_folders=(node/fast node/heartbeat-with-lease pod/fast)

# name, package, how long the first build takes on two cores
components=(
  "etcd|go.etcd.io/etcd/server/v3|about a minute"
  "kubectl|k8s.io/kubernetes/cmd/kubectl|about a minute"
  "kwok|sigs.k8s.io/kwok/cmd/kwok|half a minute"
  "kube-apiserver|k8s.io/kubernetes/cmd/kube-apiserver|about four minutes"
  "kube-controller-manager|k8s.io/kubernetes/cmd/kube-controller-manager|about three minutes"
)

sha256() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi
}

inputs() {
  cat "$here/go.mod" "$here/go.sum" "$here/build.sh" | sha256
}

is_built() {
  [[ -f $stamp && $(<"$stamp") == "$(inputs)" ]] || return 1
  local component folder
  for component in "${components[@]}"; do
    [[ -x $bin/${component%%|*} ]] || return 1
  done
  for folder in "${stage_folders[@]}"; do
    [[ -d $stages/$folder ]] || return 1
  done
}

if is_built; then
  printf 'The control plane in %s is up to date.\n' "$bin"
  exit 0
fi

command -v go >/dev/null ||
  fail "go is not installed. Install Go (https://go.dev/dl), or set KUBEBUILDER_ASSETS to a folder of ready binaries."

cd "$here"
export GOWORK=off CGO_ENABLED=0
rm -f "$stamp"

version=$(go list -mod=readonly -m -f '{{.Version}}' k8s.io/kubernetes)
IFS=. read -r major minor _ <<<"${version#v}"
stamped=k8s.io/component-base/version
ldflags="-s -w -X $stamped.gitVersion=$version -X $stamped.gitMajor=$major -X $stamped.gitMinor=$minor"

printf 'Building the control plane (Kubernetes %s) into %s\n' "$version" "$bin"
number=0
for component in "${components[@]}"; do
  IFS='|' read -r name package duration <<<"$component"
  number=$((number + 1))
  label="[$number/${#components[@]}] $name"
  printf '%s: building, %s the first time\n' "$label" "$duration"
  started=$SECONDS
  go build -mod=readonly -trimpath -buildvcs=false -ldflags "$ldflags" -o "$bin/$name" "$package" ||
    fail "$name did not build. If modules could not be downloaded, check the network and GOPROXY, then run this again: what is done is kept."
  printf '%s: done in %s s\n' "$label" "$((SECONDS - started))"
done

# What KWOK does to nodes and pods is data in its module; copied so that nothing later needs Go.
kwok_module=$(go list -mod=readonly -m -f '{{.Dir}}' sigs.k8s.io/kwok)
[[ -n $kwok_module ]] || fail "the module sigs.k8s.io/kwok is not in the module cache; run this again."
rm -rf "$stages"
for folder in "${stage_folders[@]}"; do
  mkdir -p "$stages/$folder"
  for file in "$kwok_module/kustomize/stage/$folder"/*.yaml; do
    [[ $(basename "$file") == kustomization.yaml ]] || cat "$file" >"$stages/$folder/$(basename "$file")"
  done
done

inputs >"$stamp"
printf 'The control plane is ready in %s (%s s)\n' "$bin" "$SECONDS"
