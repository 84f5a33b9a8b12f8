# Bakehouse. The two commands to know: `make demo` and `make test`.
# Both install what they need (Debian or Ubuntu, as root; Go 1.26 must be there).

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION) -X bakehouse/internal/cliapp.version=$(VERSION)
TAGS    := lab,e2e,bench
# The agent speaks to S3, to AWS and to a Chef server or broker, a few requests
# at a time: without HTTP/2 it is 0.37 MiB smaller.
AGENT   := -tags nethttpomithttp2 ./cmd/boot-agent
export CGO_ENABLED = 0

.PHONY: help build deps demo test unit lint e2e faults bench bench-bake bench-reap bench-deploy bench-pull bench-autoscale clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## static binaries in bin/
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(addprefix ./,$(filter-out cmd/boot-agent,$(wildcard cmd/*)))
	@go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ $(AGENT)
	@GOARCH=arm64 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/boot-agent-arm64 $(AGENT)
	@go build -trimpath -o bin/ ./test/lab ./test/demo ./test/tally
	@go build -trimpath -ldflags '-s -w' -o bin/sampleapp ./test/lab/sampleapp

deps: ## install what demo and test need (apt packages, moto, Go modules)
	@test/tools/deps.sh

demo: deps build ## role -> image -> instance -> the app answers; KEEP=1 leaves the lab up
	@bin/demo

test: deps build ## everything: lint, unit, architecture, lab and end-to-end; STRICT=1 fails on skips
	@test/tools/run-tests.sh $(if $(STRICT),-strict)

lint: ## gofmt, vet, staticcheck, shell scripts
	@test/tools/lint.sh $(TAGS)

unit: ## the quick tests alone, no root needed
	@go test ./...

e2e: deps build ## the end-to-end tests alone, in the lab
	@test/tools/run-tests.sh -only-e2e

faults: deps build ## every call of a bake x every fault, in the lab; prints the table (an hour; OF=plain|added|looks|proof, SHARD=2/5), or OF=waits: an image that takes ten minutes
	@test/tools/faults.sh "$(OF)" "$(SHARD)"

bench: deps build ## what a bake and a boot cost, in the lab
	@test/tools/bench.sh

bench-bake: deps build ## the same bake by bake-ami and by Packer, by turns; how soon states are seen
	@test/tools/bench.sh packer lag

bench-reap: build ## chef-reaper on 50,000 nodes, and on goiardi, next to a node-by-node loop
	@go run -tags bench ./test/bench/reap $(if $(filter 1,$(WRITE)),-write docs/benchmarks.md)

bench-deploy: ## rollouts over 1,000 SSH servers, next to xargs -P ssh; planning for 10,000 hosts
	@mkdir -p bin && go build -trimpath -tags bench -o bin/bench-deploy ./test/bench/deploy
	@bin/bench-deploy $(ARGS) $(if $(filter 1,$(WRITE)),-write docs/benchmarks.md)

bench-pull: deps build ## how fast a build comes from S3, next to aws, s5cmd, zstd and tar
	@test/tools/bench-pull.sh $(ARGS)

bench-autoscale: ## autoscalectl on 1,000 groups with 5,000 alarms, next to a group-by-group loop
	@mkdir -p bin && go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/autoscalectl && go build -trimpath -tags bench -o bin/bench-autoscale ./test/bench/autoscale
	@bin/bench-autoscale $(ARGS) $(if $(filter 1,$(WRITE)),-write docs/benchmarks-autoscale.md)

clean: ## remove bin/ (the lab's cache stays; bin/lab prints where)
	@rm -rf bin
