package suite

// The work of the guest program, and the answers to it.

import (
	"math"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// work is one thing that the guest program can do.
type work struct {
	name string
	doc  string  // what once is
	each float64 // bytes that once moves, for what is measured by them
	// code does the work s0 times, leaves the time in s2 and the answer in s3. It is a function without a frame.
	code func(*program)
	// answer is what n times lead to.
	answer func(n uint64) uint64
}

// The numbers that answers are mixed with: digits of pi and of e, so that no bit stands still.
const (
	mixSeed = 0x243f6a8885a308d3
	mixStep = 0x2b7e151628aed2a7
)

var works = []work{
	{"syscall", "getppid: a system call that does nothing", 0, syscallCode, same},
	{"clock", "clock_gettime by system call, without the vDSO; the clock must never go back", 0, clockCode, same},
	{"pipe", "a number to another process and back through two pipes: two context switches", 0, pipeCode, pipeAnswer},
	{"fork", "fork of a small process, its end, and wait", 0, forkCode, forkAnswer},
	{"exec", "fork, exec of a small static program, its end, and wait", 0, execCode, same},
	{"pagefault", "the first store to a page; mmap and munmap of 8 MiB at a time included", 0, pagefaultCode, pagefaultAnswer},
	{"signal", "a signal sent to oneself, its handler, and the return from it", 0, signalCode, same},
	{"yield", "a turn to another process and back by futex: two context switches", 0, yieldCode, func(n uint64) uint64 { return 2 * n }},
	{"zero", "a read of 4 KiB from /dev/zero and a write of as many to it", 0, zeroCode, func(n uint64) uint64 { return 2 * zeroBytes * n }},
	{"create", "making and removing an empty file on tmpfs", 0, createCode, same},
	{"copy", "a copy of 1 MiB by loads and stores of 8 bytes, 64 in a round", copyBytes, copyCode, copyAnswer},
	{"integer", "1000 rounds of shifts, xor, multiplication, addition and a branch that nobody can predict", 0, integerWork, integerAnswer},
	{"double", "1000 rounds of double-precision addition, multiplication, division and square root", 0, doubleCode, doubleAnswer},
}

func same(n uint64) uint64 { return n }

func syscallCode(p *program) {
	p.syscall(sysGetppid)
	p.Mv(asm.S5, asm.A0)
	p.timed(func() {
		p.call(sysGetppid)
		p.want(riscv.BEQ, asm.A0, asm.S5)
		p.I(riscv.ADDI, asm.S3, asm.S3, 1)
	})
}

func clockCode(p *program) {
	p.Li(asm.S5, 0)
	p.timed(func() {
		p.Call("now")
		p.want(riscv.BGE, asm.A0, asm.S5)
		p.Mv(asm.S5, asm.A0)
		p.I(riscv.ADDI, asm.S3, asm.S3, 1)
	})
}

func mixAnswer(x, i uint64) uint64 { return (x + i) * mixStep }

// pipe: the parent adds its count to the number, the child multiplies it. The child ends at the end of its pipe.
func pipeCode(p *program) {
	const to, from, number = scratchFree, scratchFree + 8, scratchFree + 16
	transfer := func(call int64, pipe int32) {
		p.Load(riscv.LW, asm.A0, pipe, asm.S4)
		p.I(riscv.ADDI, asm.A1, asm.S4, number)
		p.Li(asm.A2, 8)
		p.call(call)
	}
	closeEnd := func(pipe int32) {
		p.Load(riscv.LW, asm.A0, pipe, asm.S4)
		p.call(sysClose)
		p.wantIs(0)
	}
	for _, pipe := range []int32{to, from} {
		p.I(riscv.ADDI, asm.A0, asm.S4, pipe)
		p.Li(asm.A1, 0)
		p.call(sysPipe2)
		p.wantIs(0)
	}
	p.Li(asm.S8, mixStep)
	p.fork(func() {
		closeEnd(to + 4)
		again, end := p.label(), p.label()
		p.Label(again)
		transfer(sysRead, to)
		p.B(riscv.BEQ, asm.A0, asm.Zero, end)
		p.wantIs(8)
		p.Load(riscv.LD, asm.T1, number, asm.S4)
		p.R(riscv.MUL, asm.T1, asm.T1, asm.S8)
		p.Store(riscv.SD, asm.T1, number, asm.S4)
		transfer(sysWrite, from+4)
		p.wantIs(8)
		p.J(again)
		p.Label(end)
		p.syscall(sysExit, 0)
	})
	p.Mv(asm.S5, asm.A0)
	closeEnd(to)
	p.timed(func() {
		p.R(riscv.ADD, asm.S3, asm.S3, asm.S1)
		p.Store(riscv.SD, asm.S3, number, asm.S4)
		transfer(sysWrite, to+4)
		p.wantIs(8)
		transfer(sysRead, from)
		p.wantIs(8)
		p.Load(riscv.LD, asm.S3, number, asm.S4)
	})
	closeEnd(to + 4)
	p.Mv(asm.A0, asm.S5)
	p.wait()
	p.wantIs(0)
}

func pipeAnswer(n uint64) (x uint64) {
	for i := range n {
		x = mixAnswer(x, i)
	}
	return x
}

// fork: each child ends with its number, below 64, and the parent adds them up.
func forkCode(p *program) {
	p.timed(func() {
		p.fork(func() {
			p.I(riscv.ANDI, asm.A0, asm.S1, 63)
			p.call(sysExit)
		})
		p.wait()
		p.I(riscv.SRLI, asm.A0, asm.A0, 8)
		p.R(riscv.ADD, asm.S3, asm.S3, asm.A0)
	})
}

func forkAnswer(n uint64) (sum uint64) {
	for i := range n {
		sum += i & 63
	}
	return sum
}

// exec: the program is this one, by the name it was started with.
func execCode(p *program) {
	const argv = scratchFree
	word, code := p.label(), p.label()
	p.J(code)
	p.Label(word)
	p.Asciz("exit")
	p.Align(4)
	p.Label(code)
	p.Load(riscv.LD, asm.T0, 0, asm.S11)
	p.La(asm.T1, word)
	p.Store(riscv.SD, asm.T0, argv, asm.S4)
	p.Store(riscv.SD, asm.T1, argv+8, asm.S4)
	p.Store(riscv.SD, asm.Zero, argv+16, asm.S4)
	p.timed(func() {
		p.fork(func() {
			p.Load(riscv.LD, asm.A0, argv, asm.S4)
			p.I(riscv.ADDI, asm.A1, asm.S4, argv)
			p.I(riscv.ADDI, asm.A2, asm.S4, argv+16) // no environment
			p.call(sysExecve)
			p.syscall(sysExit, 127)
		})
		p.wait()
		p.wantIs(exitStatus << 8)
		p.I(riscv.ADDI, asm.S3, asm.S3, 1)
	})
}

// faultBytes are mapped at a time.
const faultBytes = 8 << 20

// pagefault: s5 is the next page, s6 the end of the mapping. A page must be zero where nothing was written to it.
func pagefaultCode(p *program) {
	unmap := func() {
		p.Li(asm.A1, faultBytes)
		p.R(riscv.SUB, asm.A0, asm.S6, asm.A1)
		p.call(sysMunmap)
		p.wantIs(0)
	}
	p.Li(asm.S5, 0)
	p.Li(asm.S6, 0)
	p.timed(func() {
		touch, first := p.label(), p.label()
		p.B(riscv.BNE, asm.S5, asm.S6, touch)
		p.B(riscv.BEQ, asm.S6, asm.Zero, first)
		unmap()
		p.Label(first)
		p.mmap(faultBytes, mapPrivate)
		p.Mv(asm.S5, asm.A0)
		p.Li(asm.A1, faultBytes)
		p.R(riscv.ADD, asm.S6, asm.A0, asm.A1)
		p.Li(asm.A2, noHugePage)
		p.call(sysMadvise) // refused by a kernel without huge pages
		p.Label(touch)
		p.I(riscv.ADDI, asm.T0, asm.S1, 1)
		p.Store(riscv.SD, asm.T0, 0, asm.S5)
		p.Load(riscv.LD, asm.A0, 8, asm.S5)
		p.want(riscv.BEQ, asm.A0, asm.Zero)
		p.Load(riscv.LD, asm.T0, 0, asm.S5)
		p.R(riscv.ADD, asm.S3, asm.S3, asm.T0)
		p.Li(asm.T0, 4096)
		p.R(riscv.ADD, asm.S5, asm.S5, asm.T0)
	})
	unmap()
}

func pagefaultAnswer(n uint64) uint64 { return n * (n + 1) / 2 }

// signal: the handler counts in the scratch memory, whose address s4 still is there. It returns into the kernel by way of ra.
func signalCode(p *program) {
	const action, count = scratchFree, scratchFree + 32
	handler, code := p.label(), p.label()
	p.J(code)
	p.Label(handler)
	p.Load(riscv.LD, asm.T0, count, asm.S4)
	p.I(riscv.ADDI, asm.T0, asm.T0, 1)
	p.Store(riscv.SD, asm.T0, count, asm.S4)
	p.Ret()
	p.Label(code)
	p.La(asm.T0, handler)
	p.Store(riscv.SD, asm.T0, action, asm.S4)
	p.Store(riscv.SD, asm.Zero, action+8, asm.S4)  // flags
	p.Store(riscv.SD, asm.Zero, action+16, asm.S4) // mask
	p.Store(riscv.SD, asm.Zero, count, asm.S4)
	p.Li(asm.A0, sigUSR1)
	p.I(riscv.ADDI, asm.A1, asm.S4, action)
	p.Li(asm.A2, 0)
	p.Li(asm.A3, 8)
	p.call(sysSigaction)
	p.wantIs(0)
	p.syscall(sysGetpid)
	p.Mv(asm.S5, asm.A0)
	p.timed(func() {
		p.Mv(asm.A0, asm.S5)
		p.Li(asm.A1, sigUSR1)
		p.call(sysKill)
		p.wantIs(0)
	})
	p.Load(riscv.LD, asm.S3, count, asm.S4)
}

// yield: s5 is a page that two processes share. At 0 it says whose turn it is: 0 the parent's, 1 the child's, 2 nobody's any more; at 8 both count.
func yieldCode(p *program) {
	futex := func(op, value int64) {
		p.Mv(asm.A0, asm.S5)
		p.Li(asm.A1, op)
		p.Li(asm.A2, value)
		p.Li(asm.A3, 0)
		p.call(sysFutex) // a wait that finds another value has failed, which is as good
	}
	count := func() {
		p.Load(riscv.LD, asm.T0, 8, asm.S5)
		p.I(riscv.ADDI, asm.T0, asm.T0, 1)
		p.Store(riscv.SD, asm.T0, 8, asm.S5)
	}
	give := func(turn int64) {
		p.Li(asm.T0, turn)
		p.Fence(3, 3)
		p.Store(riscv.SW, asm.T0, 0, asm.S5)
		p.Fence(3, 3)
		futex(futexWake, 1)
	}
	await := func(not int64) { // until the turn is another
		again, changed := p.label(), p.label()
		p.Label(again)
		p.Load(riscv.LW, asm.T0, 0, asm.S5)
		p.Li(asm.T1, not)
		p.B(riscv.BNE, asm.T0, asm.T1, changed)
		futex(futexWait, not)
		p.J(again)
		p.Label(changed)
		p.Fence(3, 3)
	}
	p.mmap(4096, mapShared)
	p.Mv(asm.S5, asm.A0)
	p.fork(func() {
		again, end := p.label(), p.label()
		p.Label(again)
		await(0)
		p.Li(asm.T1, 2)
		p.B(riscv.BEQ, asm.T0, asm.T1, end)
		count()
		give(0)
		p.J(again)
		p.Label(end)
		p.syscall(sysExit, 0)
	})
	p.Mv(asm.S6, asm.A0)
	p.timed(func() {
		count()
		give(1)
		await(1)
	})
	give(2)
	p.Mv(asm.A0, asm.S6)
	p.wait()
	p.wantIs(0)
	p.Load(riscv.LD, asm.S3, 8, asm.S5)
}

const zeroBytes = 4096

// zero: what is read must be zero, at its beginning and in its middle.
func zeroCode(p *program) {
	const buffer = scratchText // nothing is written to the line yet
	transfer := func(call int64) {
		p.Mv(asm.A0, asm.S5)
		p.Mv(asm.A1, asm.S6)
		p.Li(asm.A2, zeroBytes)
		p.call(call)
		p.wantIs(zeroBytes)
		p.R(riscv.ADD, asm.S3, asm.S3, asm.A0)
	}
	p.open("/dev/zero", openReadWrite)
	p.wantDone()
	p.Mv(asm.S5, asm.A0)
	p.Li(asm.S6, buffer)
	p.R(riscv.ADD, asm.S6, asm.S6, asm.S4)
	p.timed(func() {
		p.Store(riscv.SD, asm.S5, 0, asm.S6)
		p.Store(riscv.SD, asm.S5, zeroBytes/2-8, asm.S6)
		transfer(sysRead)
		p.Load(riscv.LD, asm.A0, 0, asm.S6)
		p.Load(riscv.LD, asm.T0, zeroBytes/2-8, asm.S6)
		p.R(riscv.OR, asm.A0, asm.A0, asm.T0)
		p.want(riscv.BEQ, asm.A0, asm.Zero)
		transfer(sysWrite)
	})
}

// open opens a file, for a0.
func (p *program) open(name string, flags int64) {
	text, code := p.label(), p.label()
	p.J(code)
	p.Label(text)
	p.Asciz(name)
	p.Align(4)
	p.Label(code)
	p.Li(asm.A0, atCwd)
	p.La(asm.A1, text)
	p.Mv(asm.S7, asm.A1)
	p.Li(asm.A2, flags)
	p.Li(asm.A3, 0o600)
	p.call(sysOpenat)
}

// create: the file is in the current folder. s7 is its name.
func createCode(p *program) {
	p.timed(func() {
		p.open("bench-file", openReadWrite|openNew)
		p.wantDone()
		p.call(sysClose)
		p.wantIs(0)
		p.Li(asm.A0, atCwd)
		p.Mv(asm.A1, asm.S7)
		p.Li(asm.A2, 0)
		p.call(sysUnlinkat)
		p.wantIs(0)
		p.I(riscv.ADDI, asm.S3, asm.S3, 1)
	})
}

const copyBytes = 1 << 20

// copy: s5 is the source and s6 the destination. The first word of the source is counted up before each copy, and the destination is added up at the end.
func copyCode(p *program) {
	p.mmap(2*copyBytes, mapPrivate)
	p.Mv(asm.S5, asm.A0)
	p.Li(asm.S7, copyBytes)
	p.R(riscv.ADD, asm.S6, asm.S5, asm.S7)
	p.Li(asm.S8, mixStep)
	// words does something with each word of the memory at t0, which has copyBytes.
	words := func(body func()) {
		again := p.label()
		p.R(riscv.ADD, asm.T1, asm.T0, asm.S7)
		p.Label(again)
		body()
		p.I(riscv.ADDI, asm.T0, asm.T0, 8)
		p.B(riscv.BNE, asm.T0, asm.T1, again)
	}
	p.Li(asm.T2, mixSeed)
	p.Mv(asm.T0, asm.S5)
	words(func() {
		p.R(riscv.MUL, asm.T2, asm.T2, asm.S8)
		p.Store(riscv.SD, asm.T2, 0, asm.T0)
	})
	p.Mv(asm.T0, asm.S6)
	words(func() { p.Store(riscv.SD, asm.Zero, 0, asm.T0) }) // its pages are there before the clock starts
	p.timed(func() {
		p.Load(riscv.LD, asm.T0, 0, asm.S5)
		p.I(riscv.ADDI, asm.T0, asm.T0, 1)
		p.Store(riscv.SD, asm.T0, 0, asm.S5)
		again := p.label()
		p.Mv(asm.T0, asm.S5)
		p.Mv(asm.T1, asm.S6)
		p.Label(again)
		registers := []uint8{asm.A0, asm.A1, asm.A2, asm.A3, asm.A4, asm.A5, asm.A6, asm.A7}
		for i, r := range registers {
			p.Load(riscv.LD, r, int32(8*i), asm.T0)
		}
		for i, r := range registers {
			p.Store(riscv.SD, r, int32(8*i), asm.T1)
		}
		p.I(riscv.ADDI, asm.T0, asm.T0, 64)
		p.I(riscv.ADDI, asm.T1, asm.T1, 64)
		p.B(riscv.BNE, asm.T0, asm.S6, again)
	})
	p.Mv(asm.T0, asm.S6)
	words(func() {
		p.Load(riscv.LD, asm.T2, 0, asm.T0)
		p.R(riscv.ADD, asm.S3, asm.S3, asm.T2)
		p.R(riscv.MUL, asm.S3, asm.S3, asm.S8)
	})
}

func copyAnswer(n uint64) (sum uint64) {
	x, counted := uint64(mixSeed), n
	for range copyBytes / 8 {
		x *= mixStep
		sum = (sum + x + counted) * mixStep
		counted = 0
	}
	return sum
}

const loopRounds = 1000

// loop runs the body loopRounds times for each of s0, timed, without a clock between. t5 counts.
func (p *program) loop(body func()) {
	p.timed(func() {
		again := p.label()
		p.Li(asm.T5, loopRounds)
		p.Label(again)
		body()
		p.I(riscv.ADDI, asm.T5, asm.T5, -1)
		p.B(riscv.BNE, asm.T5, asm.Zero, again)
	})
}

func integerWork(p *program) {
	p.Li(asm.S5, mixSeed)
	p.Li(asm.S8, mixStep)
	p.loop(func() {
		even := p.label()
		p.I(riscv.SLLI, asm.T0, asm.S5, 13)
		p.R(riscv.XOR, asm.S5, asm.S5, asm.T0)
		p.I(riscv.SRLI, asm.T0, asm.S5, 7)
		p.R(riscv.XOR, asm.S5, asm.S5, asm.T0)
		p.I(riscv.SLLI, asm.T0, asm.S5, 17)
		p.R(riscv.XOR, asm.S5, asm.S5, asm.T0)
		p.I(riscv.ANDI, asm.T0, asm.S5, 1)
		p.B(riscv.BEQ, asm.T0, asm.Zero, even)
		p.R(riscv.ADD, asm.S3, asm.S3, asm.S5)
		p.Label(even)
		p.R(riscv.MUL, asm.S3, asm.S3, asm.S8)
		p.I(riscv.ADDIW, asm.T0, asm.S3, 5)
		p.R(riscv.XOR, asm.S3, asm.S3, asm.T0)
	})
}

func integerAnswer(n uint64) (sum uint64) {
	x := uint64(mixSeed)
	for range n * loopRounds {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		if x&1 == 1 {
			sum += x
		}
		sum *= mixStep
		sum ^= uint64(int64(int32(sum + 5)))
	}
	return sum
}

// double: the logistic map, which forgets nothing: a rounding that differs once shows in every digit soon after.
func doubleCode(p *program) {
	constant := func(register uint8, v float64) {
		p.Li(asm.T0, int64(math.Float64bits(v)))
		p.R1(riscv.FMV_D_X, register, asm.T0)
	}
	constant(asm.FA0, doubleStart)
	constant(asm.FA1, doubleRate)
	constant(asm.FA2, 1)
	constant(asm.FA3, 0)
	p.loop(func() {
		p.F(riscv.FSUB_D, asm.FT0, asm.FA2, asm.FA0, asm.RNE)
		p.F(riscv.FMUL_D, asm.FT1, asm.FA1, asm.FA0, asm.RNE)
		p.F(riscv.FMUL_D, asm.FA0, asm.FT1, asm.FT0, asm.RNE)
		p.F(riscv.FADD_D, asm.FT2, asm.FA3, asm.FA2, asm.RNE)
		p.F(riscv.FSQRT_D, asm.FT2, asm.FT2, 0, asm.RNE)
		p.F(riscv.FDIV_D, asm.FT3, asm.FA0, asm.FT2, asm.RNE)
		p.F(riscv.FADD_D, asm.FA3, asm.FA3, asm.FT3, asm.RNE)
	})
	p.F(riscv.FADD_D, asm.FA0, asm.FA0, asm.FA3, asm.RNE)
	p.R1(riscv.FMV_X_D, asm.S3, asm.FA0)
}

const (
	doubleStart = 0.375
	doubleRate  = 3.9375
)

func doubleAnswer(n uint64) uint64 {
	x, sum := doubleStart, 0.0
	for range n * loopRounds {
		rate := float64(doubleRate * x) // conversions keep Go from fusing
		x = float64(rate * float64(1-x))
		sum = float64(sum + float64(x/math.Sqrt(float64(sum+1))))
	}
	return math.Float64bits(float64(x + sum))
}
