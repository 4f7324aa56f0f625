package suite

// Whole machines that run Linux: what its kernel's services cost, how long it takes to boot, and Debian's programs; under vm, and under the peer.
//
//	linux_elf.go      a file for the guest program
//	linux_program.go  the guest program: its frame
//	linux_work.go     its work, with the answers
//	linux_init.sh     what a guest that is measured does first
//	linux_session.go  such a guest, seen from the host
//	linux_guest.go    guest/*
//	linux_boot.go     boot/*
//	linux_proc.go     what the host's /proc tells of a process
//	linux_debian.go   debian/*
//
// An instance boots in its first sample, which can be cancelled, and not in Setup, which cannot.

import (
	"strings"

	"github.com/vmproject/vm/internal/bench"
)

// linux are all of them.
func linux() []bench.Benchmark {
	var all []bench.Benchmark
	for _, group := range [][]bench.Benchmark{guestBenchmarks(), bootBenchmarks(), debianBenchmarks()} {
		all = append(all, group...)
	}
	for i := range all {
		all[i].Doc = strings.TrimSuffix(all[i].Doc, ".")
	}
	return all
}

// onBoth makes a benchmark's Setup and Peer of what sets it up on one side.
func onBoth(b bench.Benchmark, setup func(*bench.Env, side) (bench.Instance, error)) bench.Benchmark {
	b.Setup = func(env *bench.Env) (bench.Instance, error) { return setup(env, vmSide) }
	b.Peer = func(env *bench.Env) (bench.Instance, error) { return setup(env, peerSide) }
	return b
}
