# make run    a server, a workspace and its agent on this machine
# make test   every test, with the network lab when root
# make audit  whether flaws of what this is built of are known
# make lint   formatting, vet, staticcheck, generated code, go.mod
# make chaos  200 builds while coordinator, provisioner and Terraform are killed
# make backup-test  a deployment is destroyed and brought back from its backup
# make load   ten thousand agents and workspaces on one server, figures into docs/operations.md
# make bench  adit beside wireguard-go, tailscaled and raw TCP, on one lab; bench-relays its relay beside derper
# make build  bin/adit, with the dashboard if it was made, and the smaller program for agents of this platform
# make dashboard  the pages for browsers, which make build embeds; needs Node 20
# make agents  bin/agents/adit-OS-ARCH, without the server's roles, which adit server --agent-binaries serves
# make provider  bin/terraform-provider-adit, the same program under another name

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# The checkout may belong to another user than the one who builds.
export GOFLAGS := -buildvcs=false $(GOFLAGS)

# What this is built of, by those who know what is flawed.
.PHONY: audit
audit: packages
	@deploy/audit.sh

.PHONY: build dashboard packages agents provider run test test-short fuzz chaos backup-test load bench bench-relays lint generate deps

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/adit ./cmd/adit
	@$(MAKE) --no-print-directory bin/agents/$$($(GO) env GOOS)/$$($(GO) env GOARCH)

WEB := coordinator/dashboard/web
dashboard: packages
	$(GO) run ./coordinator/dashboard/document > $(WEB)/openapi.json
	cd $(WEB) && npm run --silent build
packages:
	@deploy/deps.sh dashboard
	cd $(WEB) && npm ci --no-audit --no-fund --silent

PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
agents: $(PLATFORMS:%=bin/agents/%)
bin/agents/%:
	CGO_ENABLED=0 GOOS=$(*D) GOARCH=$(*F) $(GO) build -trimpath -tags slim -ldflags '$(LDFLAGS)' \
		-o bin/agents/adit-$(*D)-$(*F)$(if $(filter windows,$(*D)),.exe) ./cmd/adit

provider:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/terraform-provider-adit ./cmd/adit

run: build
	@deploy/deps.sh run
	@deploy/demo.sh

# ALONE are the packages whose tests hold what people wait for against a clock: they run
# last and one by one, for beside others they measure the others.
ALONE := ./derp ./cmd/adit

# Without packages of npm there is no dashboard, and its tests say that they skip.
test:
	@deploy/deps.sh test
	@if $(MAKE) packages; then $(MAKE) dashboard; else echo "the dashboard is not built and not tested"; rm -rf $(WEB)/node_modules; fi
	$(GO) test -race -timeout 60m $$($(GO) list ./... | grep -vxF "$$($(GO) list $(ALONE))"); others=$$?; \
	$(GO) test -race -timeout 60m -p 1 $(ALONE) && exit $$others

# Every fuzz target for a few seconds each.
FUZZTIME ?= 5s
fuzz:
	@deploy/fuzz.sh $(FUZZTIME)

# What may never be left behind, whatever is killed when. It says its seed first;
# CHAOS_SEED=N kills the same again.
CHAOS_SEED   ?= $(shell date +%s)
CHAOS_BUILDS ?= 200
chaos:
	@deploy/deps.sh run
	CHAOS_SEED=$(CHAOS_SEED) CHAOS_BUILDS=$(CHAOS_BUILDS) $(GO) test -count=1 -timeout 1h -run '^TestChaos$$' -v ./cmd/adit

backup-test:
	@deploy/deps.sh test
	$(GO) test -count=1 -timeout 10m -run '^TestABackup' -v ./cmd/adit

PROTOS   := meshv1/mesh.proto provisionerv1/provisioner.proto relayv1/relay.proto
CONNECT  := aditv1/adit.proto
PROTOGEN := $(CURDIR)/bin/tools
SQLC     := $(GO) tool -modfile=tools/go.mod sqlc

$(PROTOGEN)/protoc-gen-go: go.mod
	$(GO) build -o $(PROTOGEN)/ google.golang.org/protobuf/cmd/protoc-gen-go google.golang.org/grpc/cmd/protoc-gen-go-grpc \
		connectrpc.com/connect/cmd/protoc-gen-connect-go

# protoc-to writes the generated protocol code below the folder $(1).
define protoc-to
PATH="$(PROTOGEN):$$PATH" protoc -I pkg/proto \
	--go_out=$(1) --go_opt=paths=source_relative \
	--go-grpc_out=$(1) --go-grpc_opt=paths=source_relative $(PROTOS)
PATH="$(PROTOGEN):$$PATH" protoc -I pkg/proto \
	--go_out=$(1) --go_opt=paths=source_relative \
	--connect-go_out=$(1) --connect-go_opt=paths=source_relative $(CONNECT)
endef

generate: $(PROTOGEN)/protoc-gen-go
	@deploy/deps.sh lint
	$(call protoc-to,pkg/proto)
	$(SQLC) generate
	$(GO) generate ./provisioner/...

lint: $(PROTOGEN)/protoc-gen-go
	@deploy/deps.sh lint
	@fmt=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$fmt" || { echo "gofmt these: $$fmt"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@# One of each system; several packages at once are compiled and not linked.
	GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 $(GO) build ./cmd/adit ./agent
	GOOS=windows GOARCH=amd64 CGO_ENABLED=0 $(GO) build ./cmd/adit ./agent
	$(GO) mod tidy -diff
	cd tools && $(GO) mod tidy -diff
	cd bench && $(GO) mod tidy -diff && $(GO) vet ./...
	@rm -rf bin/_generated && mkdir -p bin/_generated
	$(call protoc-to,bin/_generated)
	@for f in $$(cd bin/_generated && find . -name '*.go'); do \
		diff -q bin/_generated/$$f pkg/proto/$$f || { echo "run make generate"; exit 1; }; done
	$(SQLC) diff
	$(GO) run ./provisioner/tfprovider/gendocs bin/_generated/provider
	@diff -r bin/_generated/provider docs/provider || { echo "run make generate"; exit 1; }

deps:
	@deploy/deps.sh run test lint

# What one server bears, with Postgres and the load on the same machine; the
# tests do the same for seconds. Needs 12,000 open files.
load:
	@deploy/deps.sh test
	LOAD=full LOAD_REPORT=$(CURDIR)/docs/operations.md $(GO) test -count=1 -timeout 20m -run '^TestLoad$$' -v ./cmd/adit

# adit beside what it is to beat, on one lab; writes docs/benchmarks.md.
# ROUNDS=9 measures longer, ONLY=tailscaled,adit-tun a part of it.
ROUNDS ?= 5
bench:
	@deploy/deps.sh bench
	cd bench && BENCH_ROUNDS=$(ROUNDS) BENCH_ONLY=$(ONLY) BENCH_REPORT=$(CURDIR)/docs/benchmarks.md \
		$(GO) test -count=1 -timeout 0 -run '^TestCompare$$' -v

# Relays as such: an adit relay beside stock derper; writes docs/relay-benchmarks.md.
bench-relays:
	cd bench && BENCH_ROUNDS=$(ROUNDS) BENCH_REPORT=$(CURDIR)/docs/relay-benchmarks.md \
		$(GO) test -count=1 -timeout 0 -run '^Test(TailscaledUsesOurRelay|Relays)$$' -v
