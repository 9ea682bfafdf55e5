# Assay. `make up` shows the product at work; `make test` proves it. Everything else is listed by `make help`.
SHELL := /bin/sh
GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X assay.dev/assay/internal/app.version=$(VERSION)
# Race tests of the database and process packages need time on two cores.
TESTFLAGS ?= -race -timeout 20m
FUZZTIME ?= 20s

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: up
up: build engines ## Build everything and show the main job: server, scan of a weak target, findings, verified log
	./bin/assay demo

.PHONY: build
build: ## Build bin/assay and beside it bin/assay-sandbox, which confines engines
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/assay ./cmd/assay
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o bin/assay-sandbox ./cmd/assay-sandbox

.PHONY: engines
engines: ## Install the scan engines that the distribution carries, where that is allowed
	@tools/install nmap sqlmap wapiti sublist3r

.PHONY: deps
deps: ## Install what the tests need
	@tools/install --required openssl postgresql nmap curl jq python3 python3-pip maven default-jre-headless git sqlmap wapiti sublist3r python3-venv
	@tools/fetch-trivy >/dev/null
	@tools/fetch-zap >/dev/null

.PHONY: test
test: deps ## Run all tests with the race detector, on SQLite and on a PostgreSQL of its own
	REQUIRE_PG=1 REQUIRE_ENGINES=1 tools/with-postgres $(TOOL) gotestsum --format pkgname-and-test-fails -- $(TESTFLAGS) ./...

.PHONY: test-contract
test-contract: build ## Lint the API document and let a fuzzer hold the server against it (Python and npm packages)
	@tools/install --required python3-venv npm
	tools/contract/run

.PHONY: lint
lint: vet ## Formatting, vet and golangci-lint
	$(TOOL) golangci-lint run ./...

.PHONY: vet
vet: ## go vet, and that go.mod is tidy
	$(GO) vet ./...
	$(GO) mod tidy -diff

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) golangci-lint fmt ./...

.PHONY: gen
gen: ## Rewrite golden files and generated documents (look at the diff before you commit)
	$(GO) test ./internal/... -run 'Golden|Document|Reference|Vectors' -update

.PHONY: arch
arch: ## The rules of ARCHITECTURE.md
	$(GO) test -count=1 ./internal/archtest

.PHONY: fuzz
fuzz: ## Fuzz every parser for FUZZTIME each
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' internal); do \
		for t in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
			echo "== $$t ($$(dirname $$f))"; \
			$(GO) test -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$f) || exit 1; \
		done; \
	done

.PHONY: bench
bench: ## Benchmarks; docs/performance.md says how to read them
	tools/with-postgres $(GO) test -run '^$$' -bench . -benchmem -timeout 60m ./internal/...

.PHONY: bench-detect
bench-detect: build engines ## What each engine finds of the flaws planted in the weak targets (DETECTION=FILE also writes JSON)
	$(GO) test ./internal/testkit/targets -run '^TestDetection$$' -count=1 -v -timeout 120m -assay "$(CURDIR)/bin/assay" -detection "$(DETECTION)" -engines "$(ENGINES)"

.PHONY: cover
cover: deps ## Test coverage by package
	REQUIRE_PG=1 tools/with-postgres $(GO) test -timeout 20m -coverprofile=coverage.out ./internal/...
	$(GO) tool cover -func=coverage.out | tail -n 1

.PHONY: vulncheck
vulncheck: ## Known vulnerabilities in dependencies (needs the online database, so it is no part of the gate)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@latest ./...

.PHONY: run
run: build ## Start the server on ./assay-data
	./bin/assay serve --data assay-data

.PHONY: doctor
doctor: build ## Say which engines and databases work here
	./bin/assay doctor

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin coverage.out
