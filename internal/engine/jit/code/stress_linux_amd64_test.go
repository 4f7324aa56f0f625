package code

// Generated code among everything else that a Go process does: collections, signals, profiles, traces, stack dumps, other harts.

import (
	"bytes"
	"compress/gzip"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// tree is garbage with pointers in it, which a collector that misses a register or a stack slot would free too early.
type tree struct {
	left, right *tree
	value       uint64
}

func grow(depth int, value uint64) *tree {
	if depth == 0 {
		return &tree{value: value}
	}
	return &tree{grow(depth-1, value), grow(depth-1, value), value}
}

func (t *tree) sum() uint64 {
	if t == nil {
		return 0
	}
	return t.value + t.left.sum() + t.right.sum()
}

func TestHartsUnderEverything(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	harts, rounds := 16, 4000
	if testing.Short() {
		rounds = 400
	}

	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Fatal(err)
	}
	defer pprof.StopCPUProfile()
	if err := trace.Start(io.Discard); err != nil {
		t.Fatal(err)
	}
	defer trace.Stop()

	r := newRegion(t)
	clobber, count := install(t, r, codeClobber()...), install(t, r, codeCount...)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	stop := storm(t)
	var ended atomic.Bool
	dumps := make(chan struct{})
	go func() {
		defer close(dumps)
		buf := make([]byte, 1<<20)
		for !ended.Load() {
			if n := runtime.Stack(buf, true); n == 0 {
				t.Error("no stacks")
			}
			for _, debug := range []int{0, 1, 2} {
				if err := pprof.Lookup("goroutine").WriteTo(io.Discard, debug); err != nil {
					t.Error(err)
				}
			}
			runtime.Gosched()
		}
	}()

	var wg sync.WaitGroup
	for id := range harts {
		st := newState(t)
		st[0], st[1] = 0xFFC0, 0
		wg.Go(func() {
			base := unsafe.Pointer(&st[0])
			for i := range rounds {
				e := entries[(id+i)%len(entries)]
				keep := grow(3, uint64(i)) // live across the entry
				st[0] = 0xFFC0
				if got := e.enter(clobber, base); got != ^uint64(0) {
					t.Errorf("clobber returns %#x", got)
				}
				st[0] = 20_000 // iterations
				e.enter(count, base)
				if got, want := keep.sum(), uint64(15*i); got != want {
					t.Errorf("the heap was damaged: %d, want %d", got, want)
				}
				// On a goroutine of its own, whose stack has to grow before and after.
				if i%16 == 0 {
					wg.Go(func() {
						if deep(i%64) != i%64 || EnterDetached(install42(t), nil) != 42 || deep(200) != 200 {
							t.Error("a growing stack was damaged")
						}
					})
				}
			}
		})
	}
	wg.Wait()
	ended.Store(true)
	<-dumps
	stop()
	runtime.ReadMemStats(&after)
	t.Logf("%d entries, %d collections", harts*rounds*2, after.NumGC-before.NumGC)
}

var answer = sync.OnceValues(func() (Addr, error) {
	a, err := New(MinRegion, MinRegion)
	if err != nil {
		return 0, err
	}
	r, err := a.Open()
	if err != nil {
		return 0, err
	}
	b, _ := r.Alloc(6)
	copy(b.Bytes, moveImmediate(42))
	return b.Addr, nil
})

// install42 is code that returns 42, made once for the process.
func install42(tb testing.TB) Addr {
	at, err := answer()
	if err != nil {
		tb.Error(err)
	}
	return at
}

// The profiler's samples in generated code count for runtime._ExternalCode.
func TestProfileSeesGeneratedCode(t *testing.T) {
	r := newRegion(t)
	st := newState(t)
	st[0] = 100_000_000
	count := install(t, r, codeCount...)
	for _, e := range entries {
		found := false
		for tries := 0; tries < 20 && !found; tries++ {
			var profile bytes.Buffer
			if err := pprof.StartCPUProfile(&profile); err != nil {
				t.Fatal(err)
			}
			e.enter(count, unsafe.Pointer(&st[0]))
			pprof.StopCPUProfile()
			z, err := gzip.NewReader(&profile)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			found = strings.Contains(string(raw), "runtime._ExternalCode")
		}
		if !found {
			t.Errorf("%s: twenty profiles without a sample in generated code", e.name)
		}
	}
}

// A loop in generated code that looks at hart.State.Attention ends when another goroutine wants the hart.
func TestAttentionStopsAHotLoop(t *testing.T) {
	ram, err := memory.NewRAM(0x8000_0000, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer ram.Close()
	r := newRegion(t)
	off := unsafe.Offsetof(hart.State{}.Attention)
	// xor eax,eax; 1: inc rax; cmp dword [rbp+off],0; je 1b; ret
	spin := install(t, r, 0x31, 0xC0, 0x48, 0xFF, 0xC0, 0x83, 0xBD, byte(off), byte(off>>8), byte(off>>16), byte(off>>24), 0x00, 0x74, 0xF4, 0xC3)

	const harts = 4
	var all [harts]*hart.Hart
	for i := range all {
		h, err := hart.New(hart.Config{ID: uint64(i), RAM: ram, Bus: new(device.Bus), Clock: timebase.New()})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		all[i] = h
	}
	var loops [harts]uint64
	var entered, wg sync.WaitGroup
	for i, h := range all {
		entered.Add(1)
		wg.Go(func() {
			for first := true; ; first = false {
				if h.Poll() == hart.PollStop {
					return
				}
				if first {
					entered.Done()
				}
				loops[i] += EnterDetached(spin, unsafe.Pointer(h.State))
			}
		})
	}
	entered.Wait()
	for range 10 {
		runtime.GC()
		hart.RemoteFence(nil, all[:], hart.FenceRequest{Instruction: true}) // returns when every hart has come out and acknowledged
	}
	for _, h := range all {
		h.RequestStop()
	}
	wg.Wait()
	for i, n := range loops {
		if n == 0 {
			t.Errorf("hart %d never ran its loop", i)
		}
	}
}

// Harts execute jumps while another thread turns them from one target to the other.
func TestPatchUnderExecution(t *testing.T) {
	patches := 5_000_000
	if testing.Short() {
		patches = 200_000
	}
	a := makeArena(t, testRegion, testRegion)
	r := mustOpen(t, a)
	targets := [2]Addr{install(t, r, moveImmediate(1)...), install(t, r, moveImmediate(2)...)}
	b := mustAlloc(t, r, 16)
	copy(b.Bytes, []byte{0x0F, 0x1F, 0x00, 0xE9}) // nop (3 bytes), so that the displacement is aligned; jmp rel32
	aim := func(i int) { a.Patch(b.Addr+4, uint32(targets[i&1]-(b.Addr+8))) }
	aim(0)

	var ended atomic.Bool
	var seen [3]atomic.Uint64
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !ended.Load() {
				got := EnterDetached(b.Addr, nil)
				if got != 1 && got != 2 {
					t.Errorf("the jump led to neither target: %#x", got)
					return
				}
				seen[got].Add(1)
			}
		})
	}
	for i := range patches {
		aim(i)
	}
	ended.Store(true)
	wg.Wait()
	t.Logf("first target %d times, second %d times", seen[1].Load(), seen[2].Load())
}

// Regions are filled, published, executed by others, unlinked, freed and filled anew; no hart ever runs what an earlier generation held.
func TestRegionReuseUnderExecution(t *testing.T) {
	generations := 2_000
	if testing.Short() {
		generations = 300
	}
	a := makeArena(t, 2*MinRegion, MinRegion)
	type entry struct {
		at    Addr
		value uint32
	}
	const harts = 2
	var current atomic.Pointer[entry]
	// What each hart says it may be executing: like a hazard pointer, set before the entry is used and looked at again.
	var using [harts]atomic.Pointer[entry]

	publish := func(i int) *Region {
		r := mustOpen(t, a)
		b := mustAlloc(t, r, 6)
		copy(b.Bytes, moveImmediate(uint32(i)))
		current.Store(&entry{b.Addr, uint32(i)})
		r.Seal()
		return r
	}
	publish(0)

	var ended atomic.Bool
	var wg sync.WaitGroup
	for id := range harts {
		wg.Go(func() {
			for !ended.Load() {
				e := current.Load()
				using[id].Store(e)
				if current.Load() == e {
					if got := EnterDetached(e.at, nil); got != uint64(e.value) {
						t.Errorf("generation %d ran the code of %d", e.value, got)
						ended.Store(true)
					}
				}
				using[id].Store(nil)
			}
		})
	}
	for i := 1; i < generations && !ended.Load(); i++ {
		old := current.Load()
		r := a.Region(old.at)
		publish(i)
		for id := range harts {
			for using[id].Load() == old {
				runtime.Gosched()
			}
		}
		r.Free()
	}
	ended.Store(true)
	wg.Wait()
}

// Compilers on many goroutines, each with a region of its own, and an evictor.
func TestManyCompilers(t *testing.T) {
	const compilers, regions = 8, 4
	a := makeArena(t, regions*MinRegion, MinRegion)
	var wg sync.WaitGroup
	for c := range compilers {
		wg.Go(func() {
			for i := range 200 {
				r, err := a.Open()
				for err != nil {
					runtime.Gosched()
					r, err = a.Open()
				}
				generation := r.Generation()
				want := uint32(c<<16 | i)
				for {
					b, ok := r.Alloc(64)
					if !ok {
						break
					}
					copy(b.Bytes, moveImmediate(want))
					if got := Enter(b.Addr, nil); got != uint64(want) {
						t.Errorf("compiler %d: %#x, want %#x", c, got, want)
					}
				}
				if r.Generation() != generation {
					t.Error("the generation of an open region moved")
				}
				r.Seal()
				r.Free()
			}
		})
	}
	wg.Wait()
}
