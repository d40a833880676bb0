# DataMeesh. `make` prints the menu below.

GO       ?= go
MODULES  := services/internal services/sales services/marketing services/apimetrics dashboards platform
PROGRAMS := ./services/sales/cmd/... ./services/marketing/cmd/... ./services/apimetrics/cmd/... ./platform/cmd/meesh

# Tools are built once per machine from their exact version; Go's checksum
# database verifies what is downloaded.
TOOLS         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/datameesh-tools
GOLANGCI_LINT := $(TOOLS)/golangci-lint-v2.15.0
GOTESTSUM     := $(TOOLS)/gotestsum-v1.13.0

# Programs are the same bytes for the same source: without paths, commit ids or
# C libraries in them, `make up` restarts only what really changed.
BUILD := CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false

export GOWORK := $(CURDIR)/go.work

.DEFAULT_GOAL := help
.PHONY: help
help: ## this menu
	@awk 'BEGIN {FS = ":.*## "} /^[a-z\/0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## build every program into bin/
	@mkdir -p bin
	@$(BUILD) -o bin/ $(PROGRAMS)

.PHONY: up
up: build ## build, start the mesh, fill it with data, print where everything is
	@./bin/meesh up

.PHONY: down
down: ## stop the mesh; its data stays (bin/meesh down --volumes removes it)
	@if [ -x bin/meesh ]; then ./bin/meesh down; else echo "nothing runs: bin/meesh was never built"; fi

.PHONY: seed
seed: build ## fill the databases of the running mesh with fake data
	@./bin/meesh seed

.PHONY: test check
test: lint test/modules test/unit test/e2e ## everything that CI runs
check: test

.PHONY: test/unit
test/unit: build $(GOTESTSUM) $(GOLANGCI_LINT) ## all Go tests with the race detector, on a PostgreSQL of their own
	@GOLANGCI_LINT=$(GOLANGCI_LINT) $(GO) run ./platform/cmd/test-postgres $(GOTESTSUM) --format pkgname -- -race -shuffle=on work

.PHONY: test/e2e
test/e2e: build $(GOTESTSUM) ## a whole mesh on free ports: up, use, break, heal, down
	@$(GOTESTSUM) --format standard-verbose -- -race -count=1 -tags e2e -timeout 20m ./platform/e2e

.PHONY: test/modules
test/modules: ## each module builds and vets alone, without the workspace
	@for m in $(MODULES); do echo "$$m"; (cd $$m && GOWORK=off $(GO) vet ./... && GOWORK=off $(GO) mod tidy -diff) || exit 1; done

.PHONY: lint
lint: $(GOLANGCI_LINT) ## golangci-lint with the walls of docs/design.md
	@for m in $(MODULES); do echo "lint $$m"; (cd $$m && $(GOLANGCI_LINT) run ./...) || exit 1; done

$(GOLANGCI_LINT):
	@echo "building golangci-lint, once per machine (some minutes)"
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS)/build GOWORK=off $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
	@mv $(TOOLS)/build/golangci-lint $@

$(GOTESTSUM):
	@mkdir -p $(TOOLS)
	@GOBIN=$(TOOLS)/build GOWORK=off $(GO) install gotest.tools/gotestsum@v1.13.0
	@mv $(TOOLS)/build/gotestsum $@
