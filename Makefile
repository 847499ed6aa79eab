# HealthMate. `make help` lists what there is.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

# More arguments for `make run` and `make bench`, as in: make run ARGS="--listen 127.0.0.1:9090"
ARGS ?=

# The web app needs Node 20.19; the server runs without it.
NODE := $(shell node -e '[a, b] = process.versions.node.split(".").map(Number); if (a > 20 || (a == 20 && b >= 19)) console.log("yes")' 2>/dev/null)
WEB_SOURCES := $(shell find web/src web/public sdk/typescript/src -type f 2>/dev/null) \
	$(wildcard web/index.html web/vite.config.ts web/svelte.config.js web/tsconfig.json)
NPM_CI := npm ci --no-audit --no-fund --loglevel=error

.PHONY: help run web test check fmt generate bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: web ## Build everything and start the demo on 127.0.0.1:8080 (ARGS="…" is passed on)
	@echo "Building the server (some minutes the first time) and starting the demo:"
	@exec cargo run --release -p healthmate -- serve --demo $(ARGS)

ifeq ($(NODE),yes)
web: web/dist/index.html ## Build the web app, if something changed
else
web:
	@echo "Node.js 20.19 or newer is missing (https://nodejs.org): going on without the web app."
endif

web/dist/index.html: web/node_modules/.package-lock.json $(WEB_SOURCES)
	@echo "Building the web app:"
	@npm --prefix web run build
	@touch $@

web/node_modules/.package-lock.json: web/package-lock.json
	@echo "Installing the packages of web:"
	@cd web && $(NPM_CI)
	@touch $@

sdk/typescript/node_modules/.package-lock.json: sdk/typescript/package-lock.json
	@echo "Installing the packages of sdk/typescript:"
	@cd sdk/typescript && $(NPM_CI)
	@touch $@

test: ## Run every test there is: Rust, TypeScript, web, and a real browser against the real server
	@.ci/test

check: ## Formatting and lints, without tests: a minute or so
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets --all-features --quiet -- -D warnings

fmt: ## Format the Rust code
	@cargo fmt --all

generate: ## Write docs/api and the tables of docs/protocol.md, docs/access.md and docs/metrics.md from the code
	@# The workspace as the tests build it: a crate by itself would be built with other features, and all below it again.
	@HEALTHMATE_GENERATE=1 cargo test --quiet --workspace --lib --test protocol_docs --test access_docs -- \
		schema openapi telemetry::docs page_
	@git status --short docs || true

bench: ## Measure, in release mode: make bench ARGS="ingest fanout"; bench/README.md says what
	@cargo run --release -p healthmate -- bench $(or $(ARGS),ingest)

clean: ## Remove what was built; data stays
	@cargo clean --quiet
	@rm -rf web/dist web/node_modules sdk/typescript/dist sdk/typescript/node_modules test-results
