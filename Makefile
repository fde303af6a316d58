# Every target installs what it needs first: Node and the modules through npm, and, for the local control plane,
# Kubernetes' own programs (see scripts/build-kubernetes.sh; once a machine, about 7 minutes).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Node 24 comes with the modules, whatever the machine has.
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
export npm_config_update_notifier := false

# Further arguments: make bench ARGS="--moves 50", make demo USE_KUBECONFIG=1
ARGS ?=
export USE_KUBECONFIG ?= 0

MODULES := node_modules/.package-lock.json

# CLUSTER=k3s runs the integration level on K3s in a container, which needs none of Kubernetes' own programs.
export CLUSTER ?=
CONTROL_PLANE := $(if $(filter k3s,$(CLUSTER)),,programs)

.PHONY: help
help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(MODULES): package.json package-lock.json
	@scripts/install-modules.sh

dist/operator-main.js: $(MODULES) scripts/build.ts $(shell find src -name '*.ts')
	@echo "building dist/"
	@npm run --silent build

.PHONY: build
build: dist/operator-main.js ## Bundle the operator into dist/

# On PATH, for most: `make plugin BINDIR=/usr/local/bin`
BINDIR ?= $(HOME)/.local/bin

.PHONY: plugin
plugin: build ## Put kubectl-singleton into BINDIR (default ~/.local/bin), where kubectl finds it: `kubectl singleton`
	@install -D -m 755 dist/kubectl-singleton.js '$(BINDIR)/kubectl-singleton'
	@echo 'kubectl singleton: in $(BINDIR), which must be on PATH, as must Node 24'

.PHONY: programs
programs: $(MODULES) ## Find or build etcd, kube-apiserver and the rest
	@node scripts/find-programs.ts

.PHONY: demo
demo: build programs ## Three members, one active: kill it, delete the next, see who takes over (USE_KUBECONFIG=1: on your cluster)
	@node demo/demo.ts

.PHONY: test
test: build $(CONTROL_PLANE) ## Everything: types, style, unit tests, tests on a real control plane
	@node scripts/test.ts

.PHONY: test-unit
test-unit: $(MODULES) ## Pure functions and fakes: seconds
	@npm run --silent test:unit -- $(ARGS)

.PHONY: test-stores
test-stores: $(MODULES) ## The fencing token on a real PostgreSQL and Redis: half a minute
	@npm run --silent test:stores -- $(ARGS)

.PHONY: test-integration
test-integration: build $(CONTROL_PLANE) ## On a real control plane: minutes (CLUSTER=k3s: on K3s in a container)
	@npm run --silent test:integration -- $(ARGS)

.PHONY: model
model: $(MODULES) ## Search the models of the protocol (docs/model) with spin: a minute
	@npm run --silent model -- $(ARGS)

.PHONY: simulate
simulate: $(MODULES) ## The operator in a simulated world, seeds 1 to 10000 (ARGS="--max-minutes 10", ARGS="--seed 7")
	@npm run --silent simulate -- $(if $(findstring --seed,$(ARGS)),,--seeds 1..10000) $(ARGS)

.PHONY: mutations
mutations: $(MODULES) ## Break the code on purpose: is each mutation caught, by which checker, after how many seeds? (ARGS="--max-minutes 10")
	@npm run --silent mutations -- $(ARGS)

.PHONY: bench
bench: build programs ## How fast it moves, what it writes, what it needs
	@node bench/bench.ts $(ARGS)

.PHONY: control-plane
control-plane: programs ## A control plane to try things on, until Ctrl-C
	@node test/control-plane/main.ts $(ARGS)

.PHONY: kind-up
kind-up: $(MODULES) ## A kind cluster with three workers in two zones
	@scripts/kind/up.sh

.PHONY: kind-load
kind-load: build ## Build the operator's image, and one for examples/agent, and load them into the kind cluster
	@scripts/kind/load.sh
	@scripts/kind/examples.sh

.PHONY: deploy
deploy: $(MODULES) ## Apply deploy/ to the cluster, with that image
	@scripts/kind/deploy.sh

.PHONY: e2e
e2e: $(MODULES) ## Faults in kind, watched by clients (ARGS="--only crash,delete --repeat 10"); needs the three above
	@scripts/kind/e2e.sh $(ARGS)

.PHONY: e2e-all
e2e-all: build ## All of these: cluster up, image, deploy, e2e, cluster down; skipped where Docker can't run
	@scripts/kind/all.sh $(ARGS)

.PHONY: kind-down
kind-down: ## Delete the kind cluster
	@scripts/kind/down.sh

.PHONY: manifests
manifests: $(MODULES) ## Write install.yaml: all that `kubectl apply -k deploy` applies
	@scripts/kind/manifests.sh > install.yaml

.PHONY: generate
generate: $(MODULES) ## Write crds/ and the README's list from the schema
	@npm run --silent generate

.PHONY: format
format: $(MODULES) ## Format the sources
	@npm run --silent format

.PHONY: check
check: $(MODULES) ## Types, lint, format
	@npm run --silent typecheck && npm run --silent lint && npm run --silent format:check

.PHONY: clean
clean: ## Remove what was made here (the caches outside stay)
	@rm -rf dist coverage node_modules
