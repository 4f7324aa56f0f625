package suite

// The guest program `bench`: assembled here, so that measuring needs no compiler. It speaks to the kernel by system calls alone.
//
//	bench NAME N           does the work NAME N times and prints the line "NAME N NANOSECONDS ANSWER"
//	bench time FILE ARG... runs another program, and writes "time 1 NANOSECONDS STATUS" to descriptor 3; STATUS is wait's
//	bench exit             ends with status 7: what the work exec starts
//
// Time is the guest's CLOCK_MONOTONIC around the work, without what prepares it. The answer is a number that only who did the work knows (linux_work.go);
// what a system call returns is checked each time. At a result that is wrong there is one line, "bench: NAME: RESULT", and status 1.
//
// Registers that the parts agree on: s0 is N, s1 counts, s2 the nanoseconds, s3 the answer, s4 the scratch memory on the stack, s11 argv. Work may
// use all others; frame routines change a0 to a7 and t0 to t6.

import (
	"fmt"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// System calls, by their numbers on riscv64 (Linux, include/uapi/asm-generic/unistd.h).
const (
	sysUnlinkat     = 35
	sysOpenat       = 56
	sysClose        = 57
	sysPipe2        = 59
	sysRead         = 63
	sysWrite        = 64
	sysExit         = 94 // exit_group
	sysFutex        = 98
	sysClockGettime = 113
	sysKill         = 129
	sysSigaction    = 134
	sysGetpid       = 172
	sysGetppid      = 173
	sysMunmap       = 215
	sysClone        = 220
	sysExecve       = 221
	sysMmap         = 222
	sysMadvise      = 233
	sysWait4        = 260
)

// The rest of Linux's numbers that are used.
const (
	clockMonotonic = 1
	sigUSR1        = 10
	sigChld        = 17
	protReadWrite  = 1 | 2
	mapShared      = 0x01
	mapPrivate     = 0x02
	mapAnonymous   = 0x20
	noHugePage     = 15 // of madvise
	futexWait      = 0
	futexWake      = 1
	atCwd          = -100
	openReadWrite  = 2
	openNew        = 0o100 | 0o200 // O_CREAT, O_EXCL
)

// The scratch memory at s4. What lies below scratchFree belongs to the frame.
const (
	scratchTime = 0  // a struct timespec
	scratchWait = 16 // what wait4 tells
	scratchFree = 64 // for work
	scratchText = 4096
	scratchSize = 16384
)

const exitStatus = 7 // of `bench exit`

// program is the assembler with what makes this one short.
type program struct {
	*asm.Assembler
	fresh int
}

// guestProgram is the file.
func guestProgram() ([]byte, error) {
	p := &program{Assembler: asm.New(elfBase + elfHeaders)}
	p.start()
	p.timeCommand()
	for _, w := range works {
		p.Label("work " + w.name)
		p.Mv(asm.S10, asm.RA)
		w.code(p)
		p.Mv(asm.RA, asm.S10)
		p.Ret()
	}
	p.routines()
	code, err := p.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assembling the guest program: %w", err)
	}
	return elfFile(code)
}

// label is one that nobody else has.
func (p *program) label() string {
	p.fresh++
	return fmt.Sprint("label ", p.fresh)
}

// call makes a system call with what the argument registers hold.
func (p *program) call(number int64) {
	p.Li(asm.A7, number)
	p.Op(riscv.ECALL)
}

// syscall makes a system call with constant arguments.
func (p *program) syscall(number int64, args ...int64) {
	for i, v := range args {
		p.Li(uint8(asm.A0+i), v)
	}
	p.call(number)
}

// want goes on when the branch's condition holds, and fails with a0 when it does not.
func (p *program) want(branch riscv.Op, rs1, rs2 uint8) {
	good := p.label()
	p.B(branch, rs1, rs2, good)
	p.J("fail")
	p.Label(good)
}

// wantDone goes on when a system call has not failed.
func (p *program) wantDone() { p.want(riscv.BGE, asm.A0, asm.Zero) }

// wantIs goes on when a0 is v.
func (p *program) wantIs(v int64) {
	p.Li(asm.T0, v)
	p.want(riscv.BEQ, asm.A0, asm.T0)
}

// timed is s0 times the body, with the clock around it. s1 counts from 0 and is the body's to read.
func (p *program) timed(body func()) {
	again := p.label()
	p.Li(asm.S1, 0)
	p.Call("now")
	p.Mv(asm.S2, asm.A0)
	p.Label(again)
	body()
	p.I(riscv.ADDI, asm.S1, asm.S1, 1)
	p.B(riscv.BNE, asm.S1, asm.S0, again)
	p.Call("now")
	p.R(riscv.SUB, asm.S2, asm.A0, asm.S2)
}

// fork makes a process that runs child, which does not return; the parent goes on with its number in a0.
func (p *program) fork(child func()) {
	parent := p.label()
	p.syscall(sysClone, sigChld, 0, 0, 0, 0)
	p.wantDone()
	p.B(riscv.BNE, asm.A0, asm.Zero, parent)
	child()
	p.Label(parent)
}

// wait waits for the process in a0 and leaves what it ended with in a0.
func (p *program) wait() {
	p.Mv(asm.T6, asm.A0)
	p.I(riscv.ADDI, asm.A1, asm.S4, scratchWait)
	p.Li(asm.A2, 0)
	p.Li(asm.A3, 0)
	p.call(sysWait4)
	p.want(riscv.BEQ, asm.A0, asm.T6)
	p.Load(riscv.LWU, asm.A0, scratchWait, asm.S4)
}

// mmap leaves the address of fresh memory of so many bytes in a0.
func (p *program) mmap(bytes int64, flags int64) {
	p.syscall(sysMmap, 0, bytes, protReadWrite, flags|mapAnonymous, -1, 0)
	p.wantDone()
}

// start reads the arguments and prints what came of them.
func (p *program) start() {
	p.Load(riscv.LD, asm.T0, 0, asm.SP)
	p.I(riscv.ADDI, asm.S11, asm.SP, 8)
	p.Li(asm.T1, -scratchSize)
	p.R(riscv.ADD, asm.SP, asm.SP, asm.T1)
	p.I(riscv.ANDI, asm.SP, asm.SP, -16)
	p.Mv(asm.S4, asm.SP)
	p.Li(asm.T1, 2)
	p.B(riscv.BLT, asm.T0, asm.T1, "usage")
	p.is("exit", "exit")
	p.Li(asm.T1, 3)
	p.Load(riscv.LD, asm.T0, -8, asm.S11)
	p.B(riscv.BLT, asm.T0, asm.T1, "usage")
	p.is("time", "time")
	p.number()

	p.La(asm.S5, "table")
	p.Label("next work")
	p.Load(riscv.LD, asm.A1, 0, asm.S5)
	p.B(riscv.BEQ, asm.A1, asm.Zero, "usage")
	p.Load(riscv.LD, asm.A0, 8, asm.S11)
	p.Call("equal")
	p.B(riscv.BNE, asm.A0, asm.Zero, "found")
	p.I(riscv.ADDI, asm.S5, asm.S5, 16)
	p.J("next work")
	p.Label("found")
	p.Li(asm.S3, 0)
	p.Load(riscv.LD, asm.T0, 8, asm.S5)
	p.I(riscv.JALR, asm.RA, asm.T0, 0)
	p.Load(riscv.LD, asm.A0, 8, asm.S11)
	p.Mv(asm.A1, asm.S0)
	p.Mv(asm.A2, asm.S2)
	p.Mv(asm.A3, asm.S3)
	p.Li(asm.S6, 1)
	p.Call("line")
	p.syscall(sysExit, 0)

	p.Label("exit")
	p.syscall(sysExit, exitStatus)
	p.Label("usage")
	p.Li(asm.A0, 2)
	p.La(asm.A1, "usage text")
	p.Li(asm.A2, int64(len(usage)))
	p.call(sysWrite)
	p.syscall(sysExit, 2)
	p.Label("usage text")
	p.Asciz(usage)
	p.Align(8)
	p.Label("table")
	for _, w := range works {
		p.DwordOf("name " + w.name)
		p.DwordOf("work " + w.name)
	}
	p.Dword(0)
	for _, w := range works {
		p.Label("name " + w.name)
		p.Asciz(w.name)
	}
	p.Align(4)
}

const usage = "bench: NAME N, time FILE ARG... or exit is needed\n"

// is goes to a label when argv[1] is a word.
func (p *program) is(word, label string) {
	text, code := p.label(), p.label()
	p.J(code)
	p.Label(text)
	p.Asciz(word)
	p.Align(4)
	p.Label(code)
	p.Load(riscv.LD, asm.A0, 8, asm.S11)
	p.La(asm.A1, text)
	p.Call("equal")
	no := p.label()
	p.B(riscv.BEQ, asm.A0, asm.Zero, no)
	p.J(label)
	p.Label(no)
}

// number reads argv[2], a decimal number from 1 to ten digits, into s0.
func (p *program) number() {
	p.Load(riscv.LD, asm.T0, 16, asm.S11)
	p.Li(asm.S0, 0)
	p.Li(asm.T3, 10)
	p.I(riscv.ADDI, asm.T4, asm.T0, 10)
	p.Label("digit")
	p.Load(riscv.LBU, asm.T1, 0, asm.T0)
	p.B(riscv.BEQ, asm.T1, asm.Zero, "end of number")
	p.B(riscv.BEQ, asm.T0, asm.T4, "usage")
	p.I(riscv.ADDI, asm.T1, asm.T1, -'0')
	p.B(riscv.BGEU, asm.T1, asm.T3, "usage")
	p.R(riscv.MUL, asm.S0, asm.S0, asm.T3)
	p.R(riscv.ADD, asm.S0, asm.S0, asm.T1)
	p.I(riscv.ADDI, asm.T0, asm.T0, 1)
	p.J("digit")
	p.Label("end of number")
	p.B(riscv.BEQ, asm.S0, asm.Zero, "usage")
}

// timeCommand is `bench time`. The file gets the environment that this program has.
func (p *program) timeCommand() {
	p.Label("time")
	p.Call("now")
	p.Mv(asm.S2, asm.A0)
	p.fork(func() {
		p.Load(riscv.LD, asm.A0, 16, asm.S11)
		p.I(riscv.ADDI, asm.A1, asm.S11, 16)
		p.Load(riscv.LD, asm.A2, -8, asm.S11) // the environment is after argv and its null
		p.R(riscv.SH3ADD, asm.A2, asm.A2, asm.S11)
		p.I(riscv.ADDI, asm.A2, asm.A2, 8)
		p.call(sysExecve)
		p.syscall(sysExit, 127)
	})
	p.wait()
	p.Mv(asm.S3, asm.A0)
	p.Call("now")
	p.R(riscv.SUB, asm.A2, asm.A0, asm.S2)
	p.Load(riscv.LD, asm.A0, 8, asm.S11)
	p.Li(asm.A1, 1)
	p.Mv(asm.A3, asm.S3)
	p.Li(asm.S6, 3)
	p.Call("line")
	p.syscall(sysExit, 0)
}

// routines are what the frame calls.
func (p *program) routines() {
	// now: a0 = nanoseconds of the guest's monotonic clock. The call into the kernel is made, for a vDSO would have to be found first; what it costs
	// is in every measurement once.
	p.Label("now")
	p.Li(asm.A0, clockMonotonic)
	p.Mv(asm.A1, asm.S4)
	p.call(sysClockGettime)
	p.wantIs(0)
	p.Load(riscv.LD, asm.A0, scratchTime, asm.S4)
	p.Load(riscv.LD, asm.A1, scratchTime+8, asm.S4)
	p.Li(asm.T0, 1e9)
	p.R(riscv.MUL, asm.A0, asm.A0, asm.T0)
	p.R(riscv.ADD, asm.A0, asm.A0, asm.A1)
	p.Ret()

	// equal: a0 = the strings at a0 and a1 are the same.
	p.Label("equal")
	p.Load(riscv.LBU, asm.T0, 0, asm.A0)
	p.Load(riscv.LBU, asm.T1, 0, asm.A1)
	p.B(riscv.BNE, asm.T0, asm.T1, "differ")
	p.I(riscv.ADDI, asm.A0, asm.A0, 1)
	p.I(riscv.ADDI, asm.A1, asm.A1, 1)
	p.B(riscv.BNE, asm.T0, asm.Zero, "equal")
	p.Li(asm.A0, 1)
	p.Ret()
	p.Label("differ")
	p.Li(asm.A0, 0)
	p.Ret()

	// line: writes "a0 a1 a2 a3" with a0 a string to descriptor s6, at once.
	p.Label("line")
	p.Mv(asm.S9, asm.RA)
	p.Li(asm.S7, scratchText)
	p.R(riscv.ADD, asm.S7, asm.S7, asm.S4)
	p.Mv(asm.S8, asm.S7)
	p.Call("copy")
	for _, number := range []uint8{asm.A1, asm.A2, asm.A3} {
		p.Li(asm.T0, ' ')
		p.Store(riscv.SB, asm.T0, 0, asm.S7)
		p.I(riscv.ADDI, asm.S7, asm.S7, 1)
		p.Mv(asm.A0, number)
		p.Call("decimal")
	}
	p.Call("write line")
	p.Mv(asm.RA, asm.S9)
	p.Ret()

	// write line: what is between s8 and s7, and a line's end, goes to descriptor s6.
	p.Label("write line")
	p.Li(asm.T0, '\n')
	p.Store(riscv.SB, asm.T0, 0, asm.S7)
	p.I(riscv.ADDI, asm.S7, asm.S7, 1)
	p.Mv(asm.A0, asm.S6)
	p.Mv(asm.A1, asm.S8)
	p.R(riscv.SUB, asm.A2, asm.S7, asm.S8)
	p.call(sysWrite)
	p.Ret()

	// copy: the string at a0 goes to s7, at most 256 bytes of it.
	p.Label("copy")
	p.I(riscv.ADDI, asm.T1, asm.A0, 256)
	p.Label("copy byte")
	p.Load(riscv.LBU, asm.T0, 0, asm.A0)
	p.B(riscv.BEQ, asm.T0, asm.Zero, "copied")
	p.B(riscv.BEQ, asm.A0, asm.T1, "copied")
	p.Store(riscv.SB, asm.T0, 0, asm.S7)
	p.I(riscv.ADDI, asm.S7, asm.S7, 1)
	p.I(riscv.ADDI, asm.A0, asm.A0, 1)
	p.J("copy byte")
	p.Label("copied")
	p.Ret()

	// decimal: a0 goes to s7 in decimal.
	p.Label("decimal")
	p.Li(asm.T0, 10)
	p.Mv(asm.T1, asm.A0)
	p.Label("count digit")
	p.I(riscv.ADDI, asm.S7, asm.S7, 1)
	p.R(riscv.DIVU, asm.T1, asm.T1, asm.T0)
	p.B(riscv.BNE, asm.T1, asm.Zero, "count digit")
	p.Mv(asm.T2, asm.S7)
	p.Label("put digit")
	p.I(riscv.ADDI, asm.T2, asm.T2, -1)
	p.R(riscv.REMU, asm.T1, asm.A0, asm.T0)
	p.I(riscv.ADDI, asm.T1, asm.T1, '0')
	p.Store(riscv.SB, asm.T1, 0, asm.T2)
	p.R(riscv.DIVU, asm.A0, asm.A0, asm.T0)
	p.B(riscv.BNE, asm.A0, asm.Zero, "put digit")
	p.Ret()

	// fail: "bench: NAME: a0" on standard error, and the end. A number below zero is an error of Linux.
	p.Label("fail")
	p.Mv(asm.S3, asm.A0)
	p.Li(asm.S6, 2)
	p.Li(asm.S7, scratchText)
	p.R(riscv.ADD, asm.S7, asm.S7, asm.S4)
	p.Mv(asm.S8, asm.S7)
	p.La(asm.A0, "fail text")
	p.Call("copy")
	p.Load(riscv.LD, asm.A0, 8, asm.S11)
	p.Call("copy")
	p.La(asm.A0, "fail colon")
	p.Call("copy")
	p.Mv(asm.A0, asm.S3)
	p.B(riscv.BGE, asm.A0, asm.Zero, "fail number")
	p.La(asm.A0, "fail minus")
	p.Call("copy")
	p.R(riscv.SUB, asm.A0, asm.Zero, asm.S3)
	p.Label("fail number")
	p.Call("decimal")
	p.Call("write line")
	p.syscall(sysExit, 1)
	p.Label("fail text")
	p.Asciz("bench: ")
	p.Label("fail colon")
	p.Asciz(": ")
	p.Label("fail minus")
	p.Asciz("-")
}
