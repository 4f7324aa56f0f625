package code

// What Enter and EnterDetached promise, proved with machine code written by hand.

import (
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entries are the two ways in.
var entries = []struct {
	name  string
	enter func(Addr, unsafe.Pointer) uint64
}{
	{"plain", Enter},
	{"detached", EnterDetached},
}

// Generated code of the tests, in the order of Intel's manuals.
var (
	codeRet      = []byte{0xC3}                                                             // ret
	codeBase     = []byte{0x48, 0x89, 0xE8, 0xC3}                                           // mov rax,rbp; ret
	codeSum      = []byte{0x48, 0x8B, 0x45, 0x00, 0x48, 0x03, 0x45, 0x08, 0xC3}             // mov rax,[rbp]; add rax,[rbp+8]; ret
	codeStack    = []byte{0x48, 0x89, 0xE0, 0xC3}                                           // mov rax,rsp; ret
	codeFlags    = []byte{0x9C, 0x58, 0xC3}                                                 // pushfq; pop rax; ret
	codeMXCSR    = []byte{0x50, 0x0F, 0xAE, 0x1C, 0x24, 0x58, 0xC3}                         // push rax; stmxcsr [rsp]; pop rax; ret
	codeSetMXCSR = []byte{0x31, 0xC0, 0x0F, 0xAE, 0x55, 0x00, 0xFD, 0xC3}                   // xor eax,eax; ldmxcsr [rbp]; std; ret
	codeCount    = []byte{0x48, 0x8B, 0x45, 0x00, 0x48, 0xFF, 0xC8, 0x75, 0xFB, 0xC3}       // mov rax,[rbp]; 1: dec rax; jnz 1b; ret
	codeSpin     = []byte{0x31, 0xC0, 0x48, 0xFF, 0xC0, 0x83, 0x7D, 0x00, 0x00, 0x74, 0xF7, // xor eax,eax; 1: inc rax; cmp dword [rbp],0; je 1b
		0xC3} //                                                                                ret
)

// moveImmediate is mov eax, v; ret.
func moveImmediate(v uint32) []byte {
	return []byte{0xB8, byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24), 0xC3}
}

// codeClobber sets every register but RSP to all ones, XMM0 to 15 with them, loads MXCSR from [rbp] and sets the direction flag.
func codeClobber() []byte {
	code := []byte{0x0F, 0xAE, 0x55, 0x00} // ldmxcsr [rbp]
	for x := byte(0); x < 8; x++ {
		code = append(code, 0x66, 0x0F, 0x76, 0xC0|x<<3|x) // pcmpeqd x,x
	}
	for x := byte(0); x < 8; x++ {
		code = append(code, 0x66, 0x45, 0x0F, 0x76, 0xC0|x<<3|x) // pcmpeqd x+8,x+8
	}
	for r := byte(0); r < 8; r++ {
		if r != 4 { // rsp
			code = append(code, 0x48, 0x83, 0xC8|r, 0xFF) // or r,-1
		}
	}
	for r := byte(0); r < 8; r++ {
		code = append(code, 0x49, 0x83, 0xC8|r, 0xFF) // or r+8,-1
	}
	return append(code, 0xFD, 0xC3) // std; ret
}

// codeFillStack pushes RSP's own value on every byte that the contract gives, and pops it again.
func codeFillStack() []byte {
	const words = StackBytes/8 - 1 // the return address is the first
	code := []byte{}
	for range words {
		code = append(code, 0x54) // push rsp
	}
	for range words {
		code = append(code, 0x58) // pop rax
	}
	return append(code, 0xC3)
}

// newState is memory outside the Go heap, as a hart's state is.
func newState(tb testing.TB) []uint64 {
	tb.Helper()
	mem, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			tb.Error(err)
		}
	})
	return unsafe.Slice((*uint64)(unsafe.Pointer(&mem[0])), len(mem)/8)
}

// newRegion is an open region of an arena of its own.
func newRegion(tb testing.TB) *Region {
	tb.Helper()
	return mustOpen(tb, makeArena(tb, testRegion, testRegion))
}

func TestEnterResults(t *testing.T) {
	r := newRegion(t)
	st := newState(t)
	st[0], st[1] = 0x8000_0000_0000_0001, 41
	base := unsafe.Pointer(&st[0])
	biased := unsafe.Add(base, 128) // one byte of displacement reaches 256 bytes of state
	for _, e := range entries {
		for _, c := range []struct {
			name string
			code []byte
			base unsafe.Pointer
			want uint64
		}{
			{"an immediate", moveImmediate(0xCAFE_BABE), base, 0xCAFE_BABE},
			{"the base", codeBase, base, uint64(uintptr(base))},
			{"a biased base", codeBase, biased, uint64(uintptr(biased))},
			{"no base", codeBase, nil, 0},
			{"a sum from the state", codeSum, base, 0x8000_0000_0000_002A},
		} {
			if got := e.enter(install(t, r, c.code...), c.base); got != c.want {
				t.Errorf("%s: %s: %#x, want %#x", e.name, c.name, got, c.want)
			}
		}
	}
}

func TestEnterGivesWhatItPromises(t *testing.T) {
	r := newRegion(t)
	const directionFlag = 1 << 10
	for _, e := range entries {
		if sp := e.enter(install(t, r, codeStack...), nil); sp%8 != 0 {
			t.Errorf("%s: RSP is %#x", e.name, sp)
		}
		if mxcsr := e.enter(install(t, r, codeMXCSR...), nil); uint32(mxcsr)&^0x3F != 0x1F80 {
			t.Errorf("%s: MXCSR is %#x", e.name, uint32(mxcsr))
		}
		if f := e.enter(install(t, r, codeFlags...), nil); f&directionFlag != 0 {
			t.Errorf("%s: flags are %#x", e.name, f)
		}
	}
}

func TestEnterRestoresMXCSRAndFlags(t *testing.T) {
	r := newRegion(t)
	st := newState(t)
	set, get, flags := install(t, r, codeSetMXCSR...), install(t, r, codeMXCSR...), install(t, r, codeFlags...)
	third := 1.0 / opaque(3.0)
	for _, mxcsr := range []uint32{
		0x1F80,          // Go's own
		0x1F80 | 1<<13,  // round down
		0x1F80 | 3<<13,  // round to zero
		0x1F80 | 0x8040, // flush subnormals
		0x1FBF,          // every flag raised
		0x0000,          // every exception unmasked: the next inexact result would be a signal
	} {
		st[0] = uint64(mxcsr)
		for _, e := range entries {
			e.enter(set, unsafe.Pointer(&st[0]))
			if got := opaque(1.0) / opaque(3.0); got != third {
				t.Errorf("%s, MXCSR %#x: Go divides to %x, not %x", e.name, mxcsr, got, third)
			}
			if got := opaque(math.SmallestNonzeroFloat64) / 1; got == 0 {
				t.Errorf("%s, MXCSR %#x: Go flushes subnormals", e.name, mxcsr)
			}
			if got := uint32(e.enter(get, nil)); got&^0x3F != 0x1F80 {
				t.Errorf("%s, MXCSR %#x: leaves %#x", e.name, mxcsr, got)
			}
			e.enter(set, unsafe.Pointer(&st[0]))
			if got := e.enter(flags, nil); got&(1<<10) != 0 {
				t.Errorf("%s: leaves the direction flag set", e.name)
			}
		}
	}
}

//go:noinline
func opaque(v float64) float64 { return v }

func TestEnterSurvivesClobbers(t *testing.T) {
	r := newRegion(t)
	st := newState(t)
	st[0] = 0x0000_FFC0 // flush, round to zero, all masked
	clobber := install(t, r, codeClobber()...)
	for _, e := range entries {
		for i := range 1000 {
			a, b, f := uint64(i), &i, float64(i)
			if got := e.enter(clobber, unsafe.Pointer(&st[0])); got != math.MaxUint64 {
				t.Fatalf("%s: RAX is %#x", e.name, got)
			}
			// The compiler zeroes with X15, finds g in R14, and addresses by RSP and RBP.
			if z := zeroes(); z != [32]uint64{} {
				t.Fatalf("%s: zeroed memory is %x", e.name, z)
			}
			if a != uint64(i) || b != &i || f != float64(i) || deep(50) != 50 {
				t.Fatalf("%s: locals changed", e.name)
			}
		}
	}
}

//go:noinline
func zeroes() (z [32]uint64) { return z }

// deep uses stack, and grows it when there is not enough.
//
//go:noinline
func deep(n int) int {
	var pad [64]uint64
	if n == 0 {
		return 0
	}
	pad[n%len(pad)] = 1
	return deep(n-1) + int(pad[n%len(pad)])
}

// At every depth of a fresh, small stack, so that some entries are within a few bytes of its end.
func TestEnterHasItsStackAtAnyDepth(t *testing.T) {
	r := newRegion(t)
	fill := install(t, r, codeFillStack()...)
	for _, e := range entries {
		for depth := range 200 {
			done := make(chan int)
			go func() { done <- descend(depth, func() { e.enter(fill, nil) }) }()
			if got := <-done; got != depth {
				t.Fatalf("%s: the stack lost count: %d of %d", e.name, got, depth)
			}
		}
	}
}

// descend calls f with a stack deeper by small steps.
//
//go:noinline
func descend(n int, f func()) int {
	if n == 0 {
		f()
		return 0
	}
	return descend(n-1, f) + 1
}

// Whatever stack pointer generated code has, signals are delivered elsewhere.
func TestEnterWithAForeignStackPointer(t *testing.T) {
	r := newRegion(t)
	st := newState(t)
	// mov rcx,rsp; xor esp,esp; mov rax,[rbp]; 1: dec rax; jnz 1b; mov rsp,rcx; ret
	loop := install(t, r, 0x48, 0x89, 0xE1, 0x31, 0xE4, 0x48, 0x8B, 0x45, 0x00, 0x48, 0xFF, 0xC8, 0x75, 0xFB, 0x48, 0x89, 0xCC, 0xC3)
	st[0] = 100_000
	stop := storm(t)
	defer stop()
	for _, e := range entries {
		for range 100 {
			e.enter(loop, unsafe.Pointer(&st[0]))
		}
	}
}

// storm sends signals to the process, and keeps the collector at work, until it is stopped.
func storm(tb testing.TB) (stop func()) {
	tb.Helper()
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !ended.Load() {
			if err := unix.Kill(unix.Getpid(), unix.SIGURG); err != nil {
				tb.Error(err)
				return
			}
			runtime.GC()
		}
	}()
	return func() {
		ended.Store(true)
		<-done
	}
}

// With a single processor for Go, the collector still completes while generated code loops.
func TestCollectorDoesNotWaitForDetachedCode(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	r := newRegion(t)
	st := newState(t)
	spin := install(t, r, codeSpin...)
	entered := make(chan struct{})
	left := make(chan uint64)
	go func() {
		close(entered)
		left <- EnterDetached(spin, unsafe.Pointer(&st[0]))
	}()
	<-entered
	for range 20 {
		runtime.GC()
		runtime.Gosched()
	}
	select {
	case n := <-left:
		t.Fatalf("left after %d rounds by itself", n)
	default:
	}
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&st[0])), 1)
	if n := <-left; n == 0 {
		t.Error("never looped")
	}
}

func BenchmarkEnter(b *testing.B) {
	at := install(b, newRegion(b), codeRet...)
	b.ReportAllocs()
	for b.Loop() {
		Enter(at, nil)
	}
}

func BenchmarkEnterDetached(b *testing.B) {
	at := install(b, newRegion(b), codeRet...)
	b.ReportAllocs()
	for b.Loop() {
		EnterDetached(at, nil)
	}
}

// What it costs when generated code loads an MXCSR of its own: the processor may have to drain for a new value.
func BenchmarkEnterMXCSR(b *testing.B) {
	at := install(b, newRegion(b), 0x0F, 0xAE, 0x55, 0x00, 0xC3) // ldmxcsr [rbp]; ret
	for _, c := range []struct {
		name  string
		mxcsr uint64
	}{
		{"same", 0x1F80},
		{"flag", 0x1FA0},
		{"rounding", 0x1F80 | 3<<13},
	} {
		b.Run(c.name, func(b *testing.B) {
			st := newState(b)
			st[0] = c.mxcsr
			b.ReportAllocs()
			for b.Loop() {
				Enter(at, unsafe.Pointer(&st[0]))
			}
		})
	}
}
