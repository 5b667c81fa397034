# The few commands a person types. `make up` needs root on Debian 12 (it runs a kubelet), or CONTEXT=name for an existing cluster.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export CONTEXT

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## a Kubernetes with the operator and a Ready OpenIM cluster; run twice it changes nothing
	@e2e/up.sh

down: ## stop and remove everything that `make up` started
	@e2e/down.sh

status: ## what the cluster says of itself
	@e2e/status.sh

endpoints: ## addresses, administrator and secret, as one JSON object
	@e2e/endpoints.sh

demo: ## two real SDK users chat in a headless browser; leaves a screenshot
	@e2e/demo.sh

test: ## everything that fits into an hour, ending in one summary line
	@e2e/test.sh

test-fast: ## formatting, clippy, unit and property tests, drift of generated files
	@e2e/test.sh fast

soak: ## what takes longer, remembered in e2e/soak.json; PART="sets drain", or all of it
	@e2e/soak.sh $(PART)

flake: ## one part again and again; PART=upgrade RUNS=20 LOAD=cpu
	@e2e/flake.sh $(PART) $(or $(RUNS),20) $(or $(LOAD),none)

planted: ## services with a bug on purpose: the checker must go red on the running cluster
	@e2e/tests/planted-bug.sh

contract: ## what the last test run showed of the wire contract
	@node e2e/tools/contract/report.mjs

bench: ## load on the running cluster; options: ARGS="--connections 500 --rate 200"
	@e2e/bench.sh $(ARGS)

fleet: ## many clusters on one operator, on nodes of kwok; COUNT=100
	@e2e/fleet.sh $(COUNT)

sbom: ## a bill of materials for each program, in dist/sbom
	@e2e/sbom.sh

generate: ## generated files: the CRDs, docs/REFERENCE.md and the schema of the configuration
	@cargo run -q -p openim-crds --bin crdgen crds
	@cargo run -q -p openim-crds --bin crdgen -- --reference > docs/REFERENCE.md.new && mv docs/REFERENCE.md.new docs/REFERENCE.md
	@cargo run -q -p openim-config --bin config-schema > config/config.schema.json.new && mv config/config.schema.json.new config/config.schema.json

.PHONY: help up down status endpoints demo test test-fast soak flake planted contract bench fleet sbom generate
