// Package bench measures machines: how fast they are, against their own past, against a peer, and against what the host can do at most, and how
// sure that is.
//
//	bench.go      what a benchmark is
//	run.go        sampling: passes over all benchmarks, warm-up, budgets
//	result.go     what a run found, as a file
//	host.go       what it ran on
//	stats/        medians, intervals, modes, rank tests
//	compare/      two results: what is slower beyond doubt
//	store/        baselines: results with names
//	report/       a result for a browser
//	promise/      bounds that results are held to
//	peer/         the same work on another machine
//	suite/        the benchmarks
//
// Arrows point down: nothing here knows of suite, and suite of nothing above it.
package bench

import (
	"context"
	"fmt"
	"time"
)

// Unit is what a benchmark's samples are in.
type Unit struct {
	Name   string // as in Go's benchmark format: ns/op, B/s, B
	Higher bool   // more is better
}

// The units.
var (
	NsPerOp     = Unit{"ns/op", false}
	Seconds     = Unit{"sec/op", false}
	BytesPerSec = Unit{"B/s", true}
	InstPerSec  = Unit{"inst/s", true} // guest instructions
	Bytes       = Unit{"B", false}
	Percent     = Unit{"%", false}
	PerByte     = Unit{"B/B", false} // host bytes for a guest byte
)

// Benchmark is something that can be measured. Its name is a path: the group, what is done, and in which variant, as in "memory/load/8".
type Benchmark struct {
	Name string
	Doc  string // a sentence: what is measured, and what the answer is checked against
	Unit Unit
	// Limit names the benchmark that shows what the host can do at most, or is empty.
	Limit string
	// Whole says that a sample is one run of something long: it is not repeated to fill a time.
	Whole bool
	Setup func(*Env) (Instance, error)
	// Peer is Setup for the same work on another machine. Nil: there is none.
	Peer func(*Env) (Instance, error)
}

// Instance is a benchmark that is ready to run.
type Instance interface {
	// Sample does the work n times, at least once, and returns one sample in the benchmark's unit. What is computed is checked: an answer
	// that is wrong is an error.
	Sample(ctx context.Context, n int) (float64, error)
	Close() error
}

// Env is what benchmarks are given.
type Env struct {
	VM      string // the program to run as a process of its own: an executable vm
	QEMU    string // qemu-system-riscv64; empty: none
	Peer    string // its name and version
	NoPeer  string // why there is none although it was asked for
	Scratch string // a directory that is removed afterwards
	Memory  int    // of whole guests, in MiB
	Seed    uint64
}

// UnavailableError says that a benchmark cannot run on this host, and why. It is not a failure.
type UnavailableError struct{ Why string }

func (e *UnavailableError) Error() string { return e.Why }

// Unavailable is an UnavailableError.
func Unavailable(format string, args ...any) error {
	return &UnavailableError{fmt.Sprintf(format, args...)}
}

// Timed makes an instance of a function that does something n times: a sample is the time for each, in nanoseconds.
func Timed(do func(n int) error, closers ...func() error) Instance {
	return &timed{do: do, closers: closers, value: func(n int, d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }}
}

// Rate is Timed for so much of something at a time: a sample is how much of it there was in a second.
func Rate(each float64, do func(n int) error, closers ...func() error) Instance {
	return &timed{do: do, closers: closers, value: func(n int, d time.Duration) float64 { return each * float64(n) / d.Seconds() }}
}

type timed struct {
	do      func(n int) error
	value   func(n int, d time.Duration) float64
	closers []func() error
}

func (t *timed) Sample(_ context.Context, n int) (float64, error) {
	start := time.Now()
	if err := t.do(n); err != nil {
		return 0, err
	}
	return t.value(n, max(time.Since(start), 1)), nil
}

func (t *timed) Close() error {
	var first error
	for _, c := range t.closers {
		if err := c(); first == nil {
			first = err
		}
	}
	return first
}

// Sampled makes an instance of a function that measures by itself.
func Sampled(sample func(ctx context.Context, n int) (float64, error), closers ...func() error) Instance {
	return &sampled{sample, timed{closers: closers}}
}

type sampled struct {
	sample func(ctx context.Context, n int) (float64, error)
	timed
}

func (s *sampled) Sample(ctx context.Context, n int) (float64, error) { return s.sample(ctx, n) }
