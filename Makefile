# make run    builds, obtains the default guest once, boots it to a shell
# make test   everything CI runs
# make bench  the figures of SPECIFICATION.md

GO       ?= go
export CGO_ENABLED = 0
BIN      := bin/vm
SOURCES  := $(shell find . -name '*.go' -o -name '*.s' -o -name '*.sh' -path './internal/*') go.mod go.sum

.PHONY: run build test lint cross unit race diff boot fuzz bench clean

run: build
	$(BIN) run

build: $(BIN)

$(BIN): $(SOURCES)
	$(GO) build -trimpath -ldflags='-s -w' -o $@ ./cmd/vm

test: lint cross race diff boot
	@echo "make test: all passed"

lint:
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); if [ -n "$$bad" ]; then echo "gofmt would change: $$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The other hosts the binary promises.
cross:
	GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/vm
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/vm

# Unit tests, with the race detector (the one thing here that needs cgo).
race:
	CGO_ENABLED=1 $(GO) test -race -short ./...

# Generated programs against qemu-riscv64, at full length.
diff:
	$(GO) test -count=1 ./internal/engine/...

# The boots: Debian's kernel, disks, firmware.
boot: build
	$(GO) test -count=1 -timeout 15m -v ./test/boot -vm $(abspath $(BIN))

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 20s
fuzz:
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
	  done; done

bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 1x ./test/boot -vm $(abspath $(BIN))

clean:
	rm -rf bin
