# What one does with this repository. Every target does its own set-up; the only prerequisites are Rust (rustup)
# and Go, and Debian or a relative of it for "receivers" (see there for others). "make" lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# What "make image" builds.
IMAGE ?= ghcr.io/polywatch/polywatch:$$(cargo pkgid | sed 's/.*[\#@]//')

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: control-plane receivers build ## See it find real problems in a real cluster (KEEP=1 leaves it running)
	@hack/demo.sh

.PHONY: demo-down
demo-down: ## End what "KEEP=1 make demo" left running
	@hack/demo.sh down

.PHONY: test
test: control-plane receivers ## Every test, those against a real API server included
	cargo test --locked --doc
	cargo test --locked --tests

.PHONY: verdicts
verdicts: control-plane ## Record what a real API server says of tests/verdicts/*.yaml, after a change of them
	RECORD_VERDICTS=1 cargo test --locked --test cluster verdicts::
	RECORD_VERDICTS=1 cargo test --locked --test verdicts

.PHONY: check
check: ## Format, lints, and whether generated files are up to date
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo test --locked --test crds

.PHONY: fuzz
fuzz: ## Fuzz the rule language and the decoder, a minute each (SECONDS_EACH=...)
	@hack/fuzz.sh

.PHONY: bench
bench: bench-cel bench-micro bench-joined bench-replay bench-versus ## Every benchmark, about twenty minutes; figures in target/bench/summary.json

.PHONY: bench-cel
bench-cel: ## How long rules take to compile and evaluate, usual and hostile ones
	cargo bench --locked --bench cel

.PHONY: bench-micro
bench-micro: ## What decoding, judging and recording one object cost, in nanoseconds
	cargo bench --locked --bench micro

.PHONY: bench-joined
bench-joined: ## What lookups, groups and waiting cost: a Service behind 5,000 routes, 50,000 Pods in a group, 100,000 timers
	cargo bench --locked --bench joined

.PHONY: bench-replay
bench-replay: release ## The whole of polywatch: events a second, a million objects, latency (BENCH_OBJECTS=..., BENCH_SECONDS=...)
	cargo bench --locked --bench replay

.PHONY: bench-versus
bench-versus: release control-plane ## Against a client-go informer, side by side on 10,000 Pods: CPU, memory, delay
	cargo bench --locked --bench versus

.PHONY: build
build: ## The operator, for development: target/debug/polywatch
	cargo build --locked

.PHONY: release
release: ## The operator, optimised: target/release/polywatch
	cargo build --locked --release

.PHONY: image
image: ## Container image, named by IMAGE=... (needs a container engine)
	docker build -t $(IMAGE) .

.PHONY: crds
crds: ## Write crds/ from the types in src/api
	cargo run --locked --quiet -- crds > crds/polywatch.dev.yaml

.PHONY: control-plane
control-plane: ## Build kube-apiserver, etcd and others for tests and demo (first time: about ten minutes)
	@tests/controlplane/build.sh

.PHONY: receivers
receivers: ## Fetch Prometheus, Alertmanager and others for tests and demo (Debian packages, into .receivers)
	@tests/receivers/install.sh

.PHONY: deny
deny: ## Licences, sources and advisories of dependencies (needs cargo-deny)
	cargo deny check

.PHONY: clean
clean: ## Remove what was built
	cargo clean
	rm -rf .controlplane .receivers .demo
