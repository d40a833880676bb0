# DataMeesh. `make` prints the menu below.

GO       ?= go
MODULES  := services/internal services/sales services/marketing services/apimetrics dashboards platform k8s
PROGRAMS := ./services/sales/cmd/... ./services/marketing/cmd/... ./services/apimetrics/cmd/... ./platform/cmd/meesh ./platform/cmd/mesh-collector ./platform/cmd/mesh-audit ./platform/cmd/mesh-setup ./platform/cmd/mesh-viewer ./platform/cmd/mesh-spawn

# Tools are built once per machine from their exact version; Go's checksum
# database verifies what is downloaded.
TOOLS         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/datameesh-tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0
GOTESTSUM     := $(TOOLS)/gotestsum-v1.13.0

# Programs are the same bytes for the same source: without paths, commit ids or
# C libraries in them, `make up` restarts only what really changed. gin without
# MessagePack, which no route speaks, makes each service 9 MB smaller, 5 of them resident.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags nomsgpack

# The module k8s is built alone: the workspace would give it the libraries of
# the services, and the checks are to be those of one Kubernetes release.
K8S := cd k8s && GOWORK=off

export GOWORK := $(CURDIR)/go.work

.DEFAULT_GOAL := help
.PHONY: help
help: ## this menu
	@awk 'BEGIN {FS = ":.*## "} /^[a-z\/0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build every program into bin/
	@mkdir -p bin
	@$(BUILD) -o bin/ $(PROGRAMS)

# Apart: a mesh on one machine needs no Kubernetes libraries.
.PHONY: build/k8s
build/k8s: build ## build what "meesh k8s" needs into bin/ too
	@$(K8S) $(BUILD) -o ../bin/ ./cmd/meesh-k8s ./cmd/mesh-probe

.PHONY: up
up: build ## build, start the mesh, fill it with data, print where everything is
	@./bin/meesh up

.PHONY: down
down: ## stop the mesh; its data stays (bin/meesh down --volumes removes it)
	@if [ -x bin/meesh ]; then ./bin/meesh down; else echo "nothing runs: bin/meesh was never built"; fi

.PHONY: seed
seed: build ## fill the databases of the running mesh with fake data
	@./bin/meesh seed

.PHONY: images policies k8s-golden
images: ## write the images that need no base as OCI archives into bin/images (others: k8s/images/*.Dockerfile)
	@$(K8S) $(GO) run ./cmd/images -root .. -out ../bin/images

policies: ## write the NetworkPolicies from k8s/network-matrix.yaml
	@$(K8S) $(GO) run ./cmd/network-policies -root .

k8s-golden: ## write what the overlays render to, k8s/check/testdata
	@$(K8S) $(GO) test -count=1 ./check -run TestGolden -update

.PHONY: policy
policy: ## write the rules of Trino from platform/policy/policy.yaml
	@$(GO) run ./platform/cmd/mesh-policy

.PHONY: dashboards dashboards/report pictures verify
dashboards: ## write dashboards/json from the code
	@$(GO) run ./dashboards -out dashboards/json -list

dashboards/report: build ## run every panel on a mesh (MEESH_HOME, or one of its own), write docs/dashboards.md
	@DASHBOARDS_REPORT=$(CURDIR)/docs/dashboards.md $(GO) test -count=1 -tags mesh -timeout 40m ./platform/panel -run TestMeshDrawsEveryPanel

pictures: build ## take the pictures of README and documents from the running mesh, or that in MEESH_HOME (needs chromium)
	@$(BUILD) -o bin/ ./platform/viewer/pictures && ./bin/pictures

verify: ## generated files are what the code makes; differences are said in words
	@$(GO) run ./dashboards -verify dashboards/json
	@$(K8S) $(GO) run ./cmd/network-policies -root . -verify
	@$(GO) run ./platform/cmd/mesh-policy -verify

.PHONY: test check
# What may find nothing to run (test/grafana) is not the last: CI counts what the last runner says.
test: lint verify test/modules test/unit test/k8s-offline test/openapi test/e2e test/grafana test/dashboards test/hub test/lake test/crash ## everything that CI runs
check: test

# Tests wait for databases and timers more than they compute: two packages at once per core.
TESTS_AT_ONCE := $(shell echo $$((2 * $$(nproc))))

.PHONY: test/unit
test/unit: build $(GOTESTSUM) $(GOLANGCI_LINT) ## all Go tests with the race detector, on a PostgreSQL of their own
	@$(GO) run ./platform/cmd/test-packages
	@GOLANGCI_LINT=$(GOLANGCI_LINT) $(GO) run ./platform/cmd/test-postgres $(GOTESTSUM) --format pkgname -- -race -shuffle=on -p $(TESTS_AT_ONCE) work

.PHONY: test/k8s-offline
test/k8s-offline: $(GOTESTSUM) ## the manifests without a cluster: schema, Pod Security, network matrix, rules, golden files
	@$(K8S) $(GOTESTSUM) --format standard-verbose -- -count=1 ./...

# Images must be in the cluster; it must be empty of the mesh, and is so again afterwards.
.PHONY: test/k8s
test/k8s: build/k8s $(GOTESTSUM) ## the mesh on the cluster of KUBECONFIG: up, isolation by packets, faults, down; writes docs/kubernetes-proof.md
	@$(K8S) K8S_REPORT=$(CURDIR)/docs/kubernetes-proof.md $(GOTESTSUM) --format standard-verbose -- -count=1 -tags k8s -timeout 60m ./e2e

.PHONY: test/e2e
test/e2e: build $(GOTESTSUM) ## a whole mesh on free ports: up, use, break, heal, down
	@$(GOTESTSUM) --format standard-verbose -- -race -count=1 -tags e2e -timeout 20m ./platform/e2e

.PHONY: test/crash test/long
test/crash: build $(GOTESTSUM) ## services and databases killed under load: nothing acknowledged is lost
	@$(GOTESTSUM) --format standard-verbose -- -count=1 -tags crash -timeout 10m ./platform/crash

test/long: build $(GOTESTSUM) ## the faults of test/crash in full: 20 crashes, 10,000 requests, 500 slow clients
	@CRASH_TEST_LONG=1 $(GOTESTSUM) --format standard-verbose -- -count=1 -tags crash -timeout 60m ./platform/crash

# schemathesis comes from PyPI, pinned with its checksums in platform/openapi.
SCHEMATHESIS := $(TOOLS)/schemathesis-4.32.5/bin/schemathesis

.PHONY: test/openapi
test/openapi: build ## schemathesis against the services; SCHEMATHESIS_EXAMPLES=400 for more than a minute of it
	@if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "not run: test/openapi needs python3, 3.11 or later"; test "$$CI" != true; exit; fi; \
	if ! cmp -s platform/openapi/requirements.txt $(TOOLS)/schemathesis-4.32.5/requirements.txt; then \
		rm -rf $(TOOLS)/schemathesis-4.32.5 && python3 -m venv $(TOOLS)/schemathesis-4.32.5 && \
		$(TOOLS)/schemathesis-4.32.5/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r platform/openapi/requirements.txt && \
		cp platform/openapi/requirements.txt $(TOOLS)/schemathesis-4.32.5/; \
	fi && \
	SCHEMATHESIS=$(SCHEMATHESIS) $(GO) run ./platform/cmd/test-postgres $(GO) test -count=1 -tags openapi ./platform/openapi

.PHONY: test/lake
test/lake: build $(GOTESTSUM) ## the data lake of a whole mesh; OBJECT_STORE=minio takes the other store (and builds it, some minutes)
	@$(GOTESTSUM) --format standard-verbose -- -count=1 -tags e2e -timeout 45m -p 1 ./platform/objectstore ./platform/lake

# axe-core comes from npm, pinned with its checksum in platform/browser/axe.
AXE := $(TOOLS)/axe-core-4.14.1/node_modules/axe-core/axe.min.js

$(AXE):
	@if ! command -v npm >/dev/null; then echo "not run: the rules of accessibility need npm"; test "$$CI" != true; exit; fi; \
	mkdir -p $(TOOLS)/axe-core-4.14.1 && cp platform/browser/axe/package.json platform/browser/axe/package-lock.json $(TOOLS)/axe-core-4.14.1/ && \
	npm install --no-save --prefix $(TOOLS)/axe-core-4.14.1 --no-audit --no-fund --loglevel=error >/dev/null

.PHONY: test/hub
test/hub: build $(GOTESTSUM) ## JupyterHub with its notebooks, people kept apart, parts killed, a browser; on a whole mesh of its own or on that in MEESH_HOME
	@$(GOTESTSUM) --format standard-verbose -- -count=1 -tags e2e -timeout 60m -run '^Test(Hub|OIDCLogin|LDAPLogin|IdleServersAreStopped)$$' ./platform/jupyterhub

.PHONY: test/dashboards
test/dashboards: build $(GOTESTSUM) $(AXE) ## every query of the dashboards and alerts, viewer and reports, on a whole mesh of its own or on that in MEESH_HOME
	@AXE=$$(test -f $(AXE) && echo $(AXE)) $(GOTESTSUM) --format pkgname -- -race -count=1 -tags mesh -timeout 40m ./platform/panel

.PHONY: test/grafana
test/grafana: build $(GOTESTSUM) ## a real Grafana in a mesh of its own; without one (GRAFANA_HOME, meesh grafana install) it is not run
	@$(GOTESTSUM) --format standard-verbose -- -count=1 -tags grafana -timeout 60m -run '^TestGrafana$$' ./platform/grafana

.PHONY: test/modules
test/modules: ## each module builds and vets alone, without the workspace
	@for m in $(MODULES); do echo "$$m"; (cd $$m && GOWORK=off $(GO) vet ./... && GOWORK=off $(GO) mod tidy -diff) || exit 1; done

.PHONY: bench
bench: build ## measure the services against others, write docs/benchmarks.* (BENCH="-only ID", "-short")
	@$(GO) run ./platform/bench $(BENCH)

# Each target for FUZZTIME; what a run finds lies in testdata/fuzz of its package.
FUZZTIME ?= 60s
.PHONY: fuzz
fuzz: ## fuzz every parser for FUZZTIME each (the tests only run the corpus)
	@grep -rl --include='*_test.go' '^func Fuzz' services platform | while read -r file; do \
		dir=$$(dirname $$file); \
		for target in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
			echo "$$dir $$target"; \
			(cd $$dir && $(GO) test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) .) || exit 1; \
		done; \
	done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint with the walls of docs/design.md
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && if [ $$m = k8s ]; then export GOWORK=off; fi && $(GOLANGCI_LINT) run ./...) || exit 1; done

lint: lint/migrations

# squawk comes from npm, pinned with its checksum in services/internal/migrate/squawk. Not "npm ci":
# it wants the programs of all other systems in the lock file too.
SQUAWK := $(TOOLS)/squawk-2.66.0/node_modules/.bin/squawk

.PHONY: lint/migrations
lint/migrations: ## squawk on every migration: what would lock a table for long fails
	@if ! command -v npm >/dev/null; then echo "not run: lint/migrations needs npm"; test "$$CI" != true; exit; fi; \
	test -x $(SQUAWK) || { mkdir -p $(TOOLS)/squawk-2.66.0 && cp services/internal/migrate/squawk/package.json services/internal/migrate/squawk/package-lock.json $(TOOLS)/squawk-2.66.0/ && \
		npm install --no-save --prefix $(TOOLS)/squawk-2.66.0 --no-audit --no-fund --loglevel=error >/dev/null; } && \
	cd services && for rule in adding-required-field require-concurrent-index-creation changing-column-type; do \
		$(SQUAWK) --config internal/migrate/squawk/squawk.toml --reporter gcc internal/migrate/squawk/planted.sql | grep "$$rule" >/dev/null || { echo "squawk does not find the planted $$rule"; exit 1; }; \
	done && $(SQUAWK) --config internal/migrate/squawk/squawk.toml */migrations/*.up.sql

$(GOLANGCI_LINT):
	@echo "building golangci-lint, once per machine (some minutes)"
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS)/build GOWORK=off $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(TOOLS)/build/golangci-lint $@

$(GOTESTSUM):
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS)/build GOWORK=off $(GO) install gotest.tools/gotestsum@v1.13.0
	@mv $(TOOLS)/build/gotestsum $@
