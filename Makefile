# make run    builds, obtains the default guest once, boots it to a shell
# make test   everything CI runs
# make lockstep-boot  the default guest on two engines in lock step; ENGINE=jit, ARGS as test/lockstepboot has them
# make stress  stress-ng in the guest for five minutes
# make bench  the figures of SPECIFICATION.md
# make bench-engine  vm and QEMU side by side
# make bench-block  disks in a guest, vm and QEMU side by side
# make fio  fio verifies what it wrote in a guest, over every kind of image
# make crash  kills machines as their guests write, 200 times, and looks at what their disks hold
# make perf-gate BASE=REV  is it slower than that?

GO      ?= go
VM      := bin/vm
SOURCES := $(shell find . -name '*.go' -o -name '*.s' -o -name '*.sh') go.mod go.sum
export CGO_ENABLED = 0

.PHONY: run build test tools lint cross unit unit-allocdebug race boot stress lockstep-boot fuzz bench bench-engine bench-block fio crash perf-gate perf-gate-proof baseline clean

run: build
	$(VM) run

build: $(VM)

$(VM): $(SOURCES)
	$(GO) build -trimpath -ldflags='-s -w' -o $@ ./cmd/vm

test: tools lint cross race unit unit-allocdebug boot
	@echo "make test: all passed"

# What the tests need beside Go; CI and root get it installed.
tools:
	@.ci/tools

lint:
	@bad=$$(gofmt -l .); if [ -n "$$bad" ]; then echo "gofmt would change: $$bad"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

# The other hosts that the binary promises.
cross:
	GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/vm
	GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/vm

# The race detector is the one thing here that needs cgo.
race:
	CGO_ENABLED=1 $(GO) test -race -short -timeout 15m ./...

# What allocates from package alloc, with use after release caught.
unit-allocdebug:
	$(GO) test -tags allocdebug -short -timeout 15m ./internal/memory ./internal/memory/alloc ./internal/device/virtio/... ./internal/engine/jit/...

# At full length: the generated programs against qemu-riscv64 among them.
unit:
	$(GO) test -timeout 20m ./...

# The boots: Debian's kernel, disks, firmware, the terminal. All of them with the engine that vm chooses, what is different for an
# engine with each of the others, and a few with everything optimized and mirrored, which takes six seconds a boot.
OTHER_ENGINES ?= interp
ESSENTIAL     := ^Test(Command|Ciphers|Shell|Firmware|PagingModes|EightHarts|DiskReadWrite)$$
OPTIMIZED     := ^Test(Command|Ciphers|EightHarts|DiskReadWrite)$$/^(stdin|512)$$
boot: build
	$(GO) test -count=1 -timeout 15m ./test/boot -vm $(abspath $(VM))
	for e in $(OTHER_ENGINES); do \
	  $(GO) test -count=1 -timeout 15m ./test/boot -vm $(abspath $(VM)) -engine $$e -run '$(ESSENTIAL)' || exit; done
	$(GO) test -count=1 -timeout 15m ./test/boot -vm $(abspath $(VM)) -jit tier=optimized,mirror=always -run '$(OPTIMIZED)'
	$(GO) run ./test/crash -vm $(VM) -kills 6
	$(GO) test -count=1 -timeout 15m ./internal/bench/suite -run '^TestLinux' -vm $(abspath $(VM)) -qemu "$$(command -v qemu-system-riscv64)"

# Debian's stress-ng for STRESS_TIME with STRESS_ENGINE, which takes that long and is not a part of make test.
STRESS_TIME   ?= 5m
STRESS_ENGINE ?= auto
stress: build
	$(GO) run ./test/stress -vm $(VM) -engine $(STRESS_ENGINE) -time $(STRESS_TIME) $(ARGS)

# A boot, with the whole architectural state compared at each stop of the engine under test. Status 1 and the first difference when
# the engines do not agree. Not a part of make test: it is for whoever changes an engine.
#   ENGINE  the engine under test, as vm run --engine has it; the other is the interpreter
#   ARGS    -seed N, -command 'SHELL', -disk IMAGE, -bios FIRMWARE, -m MiB, -memory STEPS, -fine INSTRUCTIONS, -limit INSTRUCTIONS, -console;
#           -test.run TestBoot for the boot without the tests of the test
ENGINE ?= auto
lockstep-boot:
	$(GO) test -c -o bin/lockstepboot ./test/lockstepboot
	bin/lockstepboot -test.v -engine $(ENGINE) $(ARGS)

# Every fuzz target for FUZZTIME each.
FUZZTIME ?= 20s
fuzz:
	@set -e; for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz' || true); do \
	    echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$p; \
	  done; done

bench: build
	$(GO) test -run '^$$' -bench . -benchmem ./internal/...
	$(GO) test -count=1 -run '^$$' -bench . -benchtime 3x ./test/boot -vm $(abspath $(VM))

# vm and QEMU side by side; ARGS='-quick -n 1' or ARGS='-run "fib|gcc"' for less of it.
bench-engine: build
	@.ci/tools gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-system-misc
	$(GO) run ./test/enginebench -vm $(VM) $(ARGS)

# dd and fio in vm and QEMU, and sectors of 4096 bytes against those of 512; ARGS='-run qd32 -n 5' for less, or more, of it.
bench-block: build
	@.ci/tools qemu-system-misc
	$(GO) run ./test/blockbench -vm $(VM) $(ARGS)

# fio --verify over every kind of image and both sizes of sectors: minutes, and Debian's fio has to be fetched, so it is not a part of make test.
# ARGS=-quick for a few MiB of each.
fio: build
	$(GO) run ./test/blockbench -vm $(VM) -verify $(ARGS)

# SIGKILL at random moments of a guest that writes and syncs; a dozen minutes, so that make boot has a short form only. ARGS='-kills N -seed S -run KIND'.
crash: build
	@.ci/tools
	$(GO) run ./test/crash -vm $(VM) $(ARGS)

# Whether the files as they are, or HEAD=REV, are slower than BASE=REV: see docs/PERFORMANCE_MONITORING.md. ARGS as test/perfgate has them.
perf-gate:
	@[ -n "$(BASE)" ] || { echo "make perf-gate BASE=REV: a revision to compare with is missing" >&2; exit 1; }
	$(GO) run ./test/perfgate -base $(BASE) $(if $(HEAD),-head $(HEAD)) $(ARGS)

# That the gate finds out a slower TLB, and raises no alarm without a cause. Takes an hour.
perf-gate-proof:
	$(GO) test -count=1 -timeout 3h -v -run TestProof ./test/perfgate -proof

# docs/BASELINE.md, from a run of everything on a quiet machine.
baseline: build
	$(VM) bench --against qemu
	$(VM) bench report --markdown -o docs/BASELINE.md

clean:
	rm -rf bin
