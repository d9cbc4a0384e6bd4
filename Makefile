# The newcomer's two commands are `make run` and `make test`; both set up what they need.
#
#   make run             a whole Azure for this machine, with Portcullis in it (FOR=60s, FRESH=1, VERBOSE=1, HOST=real)
#   make test            every test, with the race detector
#   make sim             SEEDS (2000) histories of the simulated service
#   make mutants         break the product in every listed way; the simulation has to notice each
#   make pictures        the README's pictures of the page, taken in Chromium
#   make build           the app as the Functions host expects it, in dist/
#   make package         the zips to deploy, dist/portcullis-linux-{amd64,arm64}.zip, licences of others inside: the same bytes from the same commit
#   make cli             the command line client for Linux, macOS and Windows, in dist/cli, with SBOMs, notices, manual and checksums: the same bytes from the same commit
#   make release         VERSION=x.y.z: packages, SBOMs, checksums, notes in dist/release/, and the tag; it pushes nothing
#   make check-host      the app on the Functions host that Azure runs, beside the stand-in (180 MB, fetched once)
#   make check-az        the real Azure CLI signs in, reads policies and opens a port (700 MB from PyPI, fetched once into dist/azure-cli)
#   make check-api       the OpenAPI document by its linters, generated clients and schemathesis (fetches them once)
#   make check-azapi     policies as Terraform's azapi writes them: after each apply the plan is empty (builds the provider once); AZAPI=FOLDER for another build
#   make check-infra     the Terraform module: schemas, refusals, applied by the real provider to a stand-in, checkov (the first time builds the provider)
#   make attack          send what people who are up to no good would send to what make run starts, and print what it cost; APP=FOLDER for another packaged app
#   make bench           how close it comes to Azure's limits, beside the obvious design; writes docs/benchmarks.md
#   make scale           how cost grows up to 100,000 policies and a million past grants; writes docs/scale.md
#   make lint            gofmt, go vet and go.mod as they should be
#   make fuzz            every fuzz target for FUZZTIME (60s)
#   make clean           remove what make built; the state of `make run` stays

SHELL := /bin/bash
GO ?= go
FUZZTIME ?= 60s
SEEDS ?= 2000
ARCHES ?= amd64 arm64

.PHONY: help run test pictures sim mutants attack bench scale build package cli release check-host check-api check-az check-azapi check-infra lint fuzz clean
help:
	@sed -n 's/^#   //p' Makefile

# The binary is built into dist/ under the name that host.json gives it; the
# folder handlers/ holds sources, so the name must not be used beside it.
# Without cgo everywhere, so that the standard library is compiled once.
build run: export CGO_ENABLED = 0
build:
	$(GO) build -trimpath -ldflags '-s -w' -o dist/handlers .
	$(GO) run ./local/pack -out dist

run: build
	$(GO) build -trimpath -o dist/bin/portcullis ./cmd/portcullis
	$(GO) build -trimpath -o dist/.local-azure ./local
	$(if $(HOST),$(GO) run ./local/realhost/install)
	exec dist/.local-azure -app dist $(if $(HOST),-host $(HOST)) $(if $(FOR),-for $(FOR)) $(if $(FRESH),-fresh) $(if $(VERBOSE),-verbose)

# Without cgo, paths and whatever else of this machine would show in the bytes. The
# Go command stamps version and commit into the binary where this is a git checkout.
# Untracked files have no part in it: see local/clean-source.
PACKAGES := $(foreach arch,$(ARCHES),dist/portcullis-linux-$(arch).zip)
.PHONY: $(PACKAGES)
package: $(PACKAGES)
$(PACKAGES): dist/portcullis-linux-%.zip:
	rm -rf dist/linux-$*
	set -e; source=$$(local/clean-source dist/source-$*); cd "$$source"; \
	  CGO_ENABLED=0 GOOS=linux GOARCH=$* $(GO) build -buildvcs=auto -trimpath -ldflags '-s -w' -o $(CURDIR)/dist/linux-$*/handlers .; \
	  $(GO) run -trimpath ./local/pack -out $(CURDIR)/dist/linux-$*; \
	  $(GO) run -trimpath ./local/notices -program $(CURDIR)/dist/linux-$*/handlers -out $(CURDIR)/dist/linux-$*/THIRD-PARTY-NOTICES.txt; \
	  $(GO) run -trimpath ./local/archive -app $(CURDIR)/dist/linux-$* -out $(CURDIR)/$@
	@rm -rf dist/source-$*
	@sha256sum $@

# The command line client. What is built, refused and added is local/ship's to say.
cli:
	set -e; source=$$(local/clean-source dist/source-cli); cd "$$source"; $(GO) run -trimpath ./local/ship -out $(CURDIR)/dist/cli
	@rm -rf dist/source-cli

release:
	$(GO) run -trimpath ./local/release -version '$(VERSION)' -arches '$(ARCHES)'

# The tests of local that have to pass on either host.
ON_EITHER := ^(TestMainJob|TestPage|TestAzureClient|TestClients|TestDoors)$$
check-host:
	$(GO) run ./local/realhost/install
	@local/need-chromium
	@began=$$(date +%s); set -ex; \
	$(GO) test -count=1 -timeout 20m -v ./local/realhost -everything; \
	$(GO) test -count=1 -timeout 20m -v -run '$(ON_EITHER)' ./local -host=real; \
	$(GO) test -count=1 -timeout 20m -v -run '^(TestJourney|TestWithoutScript)$$' ./local/browser -host=real; \
	{ set +x; } 2>/dev/null; echo "check-host: passed in $$(($$(date +%s) - began)) s"

# The version is pinned; what it needs, it pins itself.
AZURE_CLI := 2.91.0
check-az:
	@test -x dist/azure-cli/bin/az || { python3 -m venv dist/azure-cli && dist/azure-cli/bin/pip install -q azure-cli==$(AZURE_CLI); }
	$(GO) test -count=1 -timeout 20m -v -run '^TestAzureCLI$$' ./local -az $(CURDIR)/dist/azure-cli/bin/az

check-api:
	local/apicheck/check

check-azapi:
	AZAPI=$(abspath $(AZAPI)) local/azapi/check

check-infra:
	infra/deploy/check

# The race detector needs a C compiler. Vet looks at what is compiled for it, so that nothing is compiled
# twice. What takes longest begins first, and three at a time, since they also wait: two cores end together.
# Test binaries are linked each time, so without what debuggers want. The collector comes later than by default:
# memory is plenty, and what it does costs twice under the race detector, which also waits a second at every end.
LONGEST := ./local/browser ./local ./local/realhost ./infra/table ./local/attack ./core/sim ./core/access ./local/bench
test: export GOGC = 400
test: export GORACE = atexit_sleep_ms=100
test:
	@local/need-cc
	@local/need-chromium
	@infra/deploy/check --ready || echo "NOT CHECKED: the templates in infra/deploy, since no Terraform provider is built on this machine; make check-infra builds one" >&2
	@$(GO) run ./local/realhost/install || echo "NOT RUN: the tests on the Functions host that Azure runs" >&2
	@echo "NOT RUN: what takes minutes on that host, a missed timer and one that another host takes over; make check-host" >&2
	@[ -x /usr/sbin/sshd ] || echo "NOT RUN: portcullis ssh with OpenSSH's own server; Debian has it as openssh-server" >&2
	@command -v ansible >/dev/null || echo "NOT RUN: Ansible over portcullis proxy; pip install ansible-core" >&2
	@python3 -c 'import azure.mgmt.security' 2>/dev/null || echo "NOT RUN: the Python block of docs/clients.md; pip install azure-mgmt-security" >&2
	$(GO) vet -race ./...
	$(GO) test -race -vet=off -shuffle=on -ldflags '-s -w' -p 3 -timeout 20m $(LONGEST) ./...

pictures:
	@local/need-chromium
	$(GO) test -count=1 -run '^TestReadme$$' ./local/browser
	mkdir -p docs/images
	for name in machines request decide; do cp screenshots/readme-$$name.png docs/images/$$name.png; done

# Without the race detector, which make test has: it slows the histories down and shuffles them.
sim:
	$(GO) test -count=1 -timeout 60m -v -run '^Test(Sim|Replay)$$' ./core/sim -seeds $(SEEDS)

mutants:
	$(GO) test -count=1 -timeout 60m -v -tags mutation -run '^TestMutationsMatch$$|^TestMutants$$' ./core/sim

attack:
	@set -o pipefail; $(GO) test -count=1 -v -run '^TestAttacks$$' ./local/attack $(if $(APP),-app $(abspath $(APP))) | grep -Ev '^ *(=== (RUN|NAME)|--- PASS)'

bench:
	@local/need-wrk
	$(GO) test -count=1 -timeout 60m -v -run '^TestBench$$' ./local/bench -into $(CURDIR)/docs/benchmarks.md

scale:
	$(GO) test -count=1 -timeout 60m -v -run '^TestARequestDoesNotGrow$$' ./infra/table -scale 100000 -into $(CURDIR)/docs/scale.md

lint:
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) mod tidy -diff
	$(GO) -C local/release/tools mod tidy -diff

fuzz:
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; done

clean:
	rm -rf dist
