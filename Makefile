# Everything runs through the go command: no tool has to be installed first.
# CONTRIBUTING.md says when to use what.

BUF    = go run github.com/bufbuild/buf/cmd/buf@v1.75.0
GOLINT = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOVULN = go run golang.org/x/vuln/cmd/govulncheck@v1.9.0

GORELEASER = go run github.com/goreleaser/goreleaser/v2@v2.13.3
GORELEASE  = go run golang.org/x/exp/cmd/gorelease@v0.0.0-20261113113407-e3970619a1a4
CYCLONEDX  = github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

# How long `make fuzz` stays with each target.
FUZZTIME ?= 20s

.PHONY: all
all: lint test

# --- tests -------------------------------------------------------------------

# Needs Go alone. Tests of other things run when they are given in the environment; see e2e.
.PHONY: test
test:
	go test ./...

# On one processor, because of testing/synctest: .ci/run says why.
.PHONY: race
race:
	go test -race -cpu 1 ./...

# The whole system in virtual time, hurt as seeds say; `make sim SEEDS=100000` takes about half an hour.
SEEDS ?= 10000
.PHONY: sim
sim:
	go test -count=1 -timeout 0 ./internal/sim -run TestSeeds -args -seeds=$(SEEDS)

# Breaks one rule after the other, and shows which seed of the simulation notices; about two minutes.
.PHONY: bite
bite:
	go run ./internal/sim/bite

# The real programs, and the published npm clients: needs Node 20 or later. Pages are tested where
# there is a Chromium.
.PHONY: e2e
e2e: e2e/node/node_modules e2e/browser/node_modules
	ACTORLOG_TEST_NODE="$$(command -v node)" ACTORLOG_TEST_CHROMIUM="$$(command -v chromium)" go test -count=1 -v ./e2e

e2e/%/node_modules: e2e/%/package-lock.json
	cd $(@D) && npm ci --no-audit --no-fund
	touch $@

# The fault matrix at length: every scenario for FAULTS, against the embedded broker and, where ACTORLOG_TEST_KAFKA names one, Apache
# Kafka. With 5m about an hour and a half.
FAULTS ?= 5m
.PHONY: faults
faults:
	ACTORLOG_TEST_FAULTS=1 go test -count=1 -timeout 0 -v ./e2e/faults -args -faults.duration=$(FAULTS)

# Every fuzz target of the module, one after the other. Inputs are hardly minimized: those of targets with goroutines cover something
# else each time, which would take all of the time.
.PHONY: fuzz
fuzz:
	@set -e; go list -f '{{.Dir}}' ./... | while read -r dir; do \
		targets=$$(grep -ho '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go 2>/dev/null | cut -d' ' -f2 || true); \
		for target in $$targets; do \
			echo "== $$target ($$dir)"; \
			(cd "$$dir" && go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x .); \
		done; \
	done

# The figures that bench/README.md compares; `make bench ARGS=-short` takes under a minute.
.PHONY: bench
bench:
	go run ./bench $(ARGS)

# --- sources -----------------------------------------------------------------

# Lints the records, checks that the last release can still read them, and generates the Go code.
.PHONY: schemas generate
generate: schemas
schemas:
	$(BUF) lint schemas
	@release=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true); \
	if [ -n "$$release" ]; then \
		echo "$(BUF) breaking schemas --against $$release"; \
		$(BUF) breaking schemas --against ".git#tag=$$release,subdir=schemas"; \
	fi
	cd schemas && $(BUF) generate

.PHONY: lint
lint:
	go vet ./...
	$(GOLINT) run

# Calls of code with known vulnerabilities. GOVULNDB is where they are listed, if not at the server that govulncheck asks by
# itself: another one, or file:// and the directory data/osv of a clone of github.com/golang/vulndb.
.PHONY: vuln
vuln:
	$(GOVULN) $(if $(GOVULNDB),-db $(GOVULNDB)) ./...

.PHONY: fmt
fmt:
	$(GOLINT) fmt

# --- releases ----------------------------------------------------------------

# Tries out what a release does, for this machine's platform: the configuration, the programs and their bills of materials; and, once there is a
# release to compare with, whether the next version number has to say that the Go API has changed. docs/releases.md.
.PHONY: release-check
release-check:
	$(GORELEASER) check
	$(GORELEASER) build --snapshot --clean --single-target
	@set -e; for program in $$(find dist -type f -perm -u+x); do \
		"$$program" --version; \
		go run $(CYCLONEDX) bin -json -licenses=false -output "$$program.cdx.json" "$$program"; \
	done
	@release=$$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null || true); \
	if [ -n "$$release" ]; then $(GORELEASE) -base="$$release"; else echo "no release yet: nothing to compare the Go API with"; fi

# All platforms, archives, checksums and bills of materials, in dist. With RELEASE=1, on a tag, a draft is uploaded too.
.PHONY: release
release:
	tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && GOBIN=$$tools go install $(CYCLONEDX) && \
		PATH=$$tools:$$PATH $(GORELEASER) release --clean $(if $(RELEASE),,--snapshot --skip=publish)

# What a change must pass; .ci/run says what it does.
.PHONY: ci
ci:
	.ci/run
