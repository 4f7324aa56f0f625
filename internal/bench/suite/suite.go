// Package suite is the benchmarks: what is measured, and how.
//
//	suite.go      the list of all
//	machine.go    a bare machine: RAM, a hart, an engine, and a program
//	paging.go     page tables for it
//	instance.go   what turns work and a check of its answer into samples
//	engine.go     engine/*: programs of one kind each, by tier
//	translate.go  jit/*: what translating costs
//	memory.go     memory/*: guest RAM, as devices and loaders reach it
//	numa.go       numa/*: guest RAM on nodes of the host
//	alloc.go      alloc/*: what the machine allocates from
//	dirty.go      dirty/*: logs of written pages
//	tlb.go        tlb/*: translation of addresses
//	block.go      block/*: disk images, and the whole virtio block device; ring*.go are the driver's side of that
//	device.go     device/*: registers, interrupts, timers
//	system.go     system/*: traps, CSRs, fences, atomics
//	linux*.go     whole guests
//
// The programs are assembled when a benchmark is set up. Whatever is computed is compared with the same, computed in Go or known beforehand, outside of the
// time that is measured.
package suite

import (
	"fmt"
	"slices"

	"github.com/vmproject/vm/internal/bench"
)

// groups make the benchmarks, in the order in which they are listed.
var groups = []func() []bench.Benchmark{
	engineGroup, translateGroup, memoryGroup, numaGroup, allocGroup, dirtyGroup, tlbGroup, blockGroup, deviceGroup, systemGroup,
	linux,
}

// All are the benchmarks.
func All() []bench.Benchmark {
	var all []bench.Benchmark
	for _, group := range groups {
		all = append(all, group()...)
	}
	if err := check(all); err != nil {
		panic(err) // a mistake in this package, which its tests find
	}
	return all
}

// check says what is wrong with a list of benchmarks.
func check(all []bench.Benchmark) error {
	names := make([]string, 0, len(all))
	for _, b := range all {
		if slices.Contains(names, b.Name) {
			return fmt.Errorf("bench: %s is there twice", b.Name)
		}
		names = append(names, b.Name)
	}
	for _, b := range all {
		if b.Limit != "" && !slices.Contains(names, b.Limit) {
			return fmt.Errorf("bench: %s is limited by %s, which is not there", b.Name, b.Limit)
		}
	}
	return nil
}
