# The commands that people type. `make up` needs root on Debian 12 (it runs a kubelet), or CONTEXT=name for an existing cluster.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export CONTEXT RELEASE

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: ## start a local Kubernetes with the operator and a Ready cluster; safe to repeat; RELEASE=1 builds what is shipped
	@e2e/up.sh

down: ## stop and remove everything that `make up` started
	@e2e/down.sh

status: ## status of the cluster, its servers and pods
	@e2e/status.sh

endpoints: ## print addresses, administrator and secret as JSON
	@e2e/endpoints.sh

demo: ## let two SDK users chat in a headless browser; saves a screenshot
	@e2e/demo.sh

test: ## all tests that fit into an hour, ending in one summary line
	@e2e/test.sh

test-fast: ## formatting, clippy, unit and property tests, generated files, docs
	@e2e/test.sh fast

test-loopback: ## what runs on real servers without a cluster: REST, WebSocket, webhooks, uploads, faults, the operator
	@e2e/test.sh loopback

soak: ## long tests, shortest first, recorded in e2e/soak.json; PARTS="sets drain", PARTS=stale, or all
	@e2e/soak.sh $(or $(PARTS),$(PART))

soak-list: ## which of the long tests are stale, when each passed, how long it takes
	@e2e/soak.sh --list

flake: ## repeat one part to find flaky tests; PART=upgrade RUNS=20 LOAD=cpu
	@e2e/flake.sh $(PART) $(or $(RUNS),20) $(or $(LOAD),none)

planted: ## run services with a deliberate bug: the checker must find it
	@e2e/tests/planted-bug.sh

contract: ## coverage of the wire contract by the last test run
	@node e2e/tools/contract/report.mjs

bench: ## measure the running cluster; options: ARGS="--connections 500 --rate 200"
	@e2e/bench.sh $(ARGS)

fleet: ## measure many clusters on one operator with simulated nodes; COUNT=100
	@e2e/fleet.sh $(COUNT)

lint: ## check scripts, spelling, workflows and the rules of the tests, in seconds
	@e2e/lint.sh

release: ## make a release in dist/VERSION; VERSION=1.2.3, published only with REGISTRY=…
	@e2e/release.sh "$(VERSION)" $(PART)

sbom: ## write a bill of materials per program to dist/sbom
	@e2e/sbom.sh

docs: ## the documentation as a website with search, in dist/docs
	@e2e/docs.sh

badges: ## the badges of README.md, in docs/badges
	@node e2e/badges.mjs

bundle: ## a bundle for the Operator Lifecycle Manager, in dist/bundle
	@mkdir -p dist && helm template openim-operator charts/openim-operator -n openim-system > dist/operator.yaml
	@cd e2e/tools/chart && CGO_ENABLED=0 go run . "$$(sed -n 's/^appVersion: //p' ../../../charts/openim-operator/Chart.yaml)" ../../../dist/bundle < ../../../dist/operator.yaml

generate: ## regenerate the CRDs, docs/REFERENCE.md and the configuration schema
	@. e2e/lib.sh && cargo_static build -q --bin crdgen --bin config-schema && "$$built/crdgen" crds && \
	  "$$built/crdgen" --reference > docs/REFERENCE.md.new && mv docs/REFERENCE.md.new docs/REFERENCE.md && \
	  "$$built/config-schema" > config/config.schema.json.new && mv config/config.schema.json.new config/config.schema.json && \
	  cp config/monitoring/alerts.yaml config/monitoring/dashboard.json charts/openim-operator/files/

.PHONY: help up down status endpoints demo test test-fast test-loopback soak soak-list flake planted contract bench fleet lint release sbom docs badges bundle generate
