package amd64

// Privileged instructions of RISC-V. The work is in routines (privileged.go); what they do not handle is a step.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
)

var systems = map[ir.Op]func(*Compiler, *ir.Inst){
	ir.Ecall:      func(c *Compiler, in *ir.Inst) { c.leave(c.routines.Ecall, int(in.N), int32(in.Off)) },
	ir.TrapReturn: func(c *Compiler, in *ir.Inst) { c.leave(c.routines.TrapReturn, int(in.N), int32(in.Off)) },
	ir.ReadCSR:    accessCSR,
	ir.WriteCSR:   accessCSR,
	ir.SetCSR:     accessCSR,
	ir.ClearCSR:   accessCSR,
	ir.ReadTime:   readTime,
	ir.Host:       doInGo,
	ir.FenceVMA:   (*Compiler).fence,
}

// doInGo has the engine execute an instruction. The block goes on only where its code, and the mode that it executes in, are the same.
func doInGo(c *Compiler, in *ir.Inst) {
	c.settle(int(in.N))
	c.MovImm(tmp, uint64(in.Raw))
	c.MovImm(tmp2, uint64(in.Off))
	c.CallTo(c.routines.Host)
	c.fpChecked = false
}

// plainCSRs are registers without effects: where they are, and the bits that are always 0.
var plainCSRs = map[int64]struct {
	off  int32
	zero uint64
}{
	riscv.CSRSscratch: {offSscratch, 0},
	riscv.CSRSepc:     {offSepc, 1},
	riscv.CSRScause:   {offScause, 0},
	riscv.CSRStval:    {offStval, 0},
	riscv.CSRSatp:     {offSatp, 0}, // only read, and where mstatus.TVM lets S-mode
}

func accessCSR(c *Compiler, in *ir.Inst) {
	if in.Imm == riscv.CSRFflags {
		accessFlags(c, in)
		return
	}
	if in.Imm == riscv.CSRSstatus {
		status(c, in)
		return
	}
	r := plainCSRs[in.Imm]
	at := state(r.off)
	c.MI(asm.CMP, asm.S64, state(offPriv), riscv.PrivU)
	c.Jcc(asm.CondE, c.stepLabel(in))
	if in.Imm == riscv.CSRSatp {
		c.MI(asm.TEST, asm.S32, state(offMstatus), hart.MstatusTVM)
		c.Jcc(asm.CondNE, c.stepLabel(in))
	}
	if in.Op == ir.ReadCSR {
		d := c.def(in.Dst, tmp)
		c.RM(asm.MOV, asm.S64, d, at)
		c.put(in.Dst, d)
		return
	}
	c.source(in)
	if in.Dst != ir.None || in.Op != ir.WriteCSR {
		c.RM(asm.MOV, asm.S64, tmp2, at)
	}
	switch in.Op {
	case ir.SetCSR:
		c.RR(asm.OR, asm.S64, tmp, tmp2)
	case ir.ClearCSR:
		c.R(asm.NOT, asm.S64, tmp)
		c.RR(asm.AND, asm.S64, tmp, tmp2)
	}
	if r.zero != 0 {
		c.RI(asm.AND, asm.S64, tmp, ^int32(r.zero))
	}
	c.MR(asm.MOV, asm.S64, at, tmp)
	if in.Dst != ir.None {
		c.put(in.Dst, tmp2)
	}
}

// source leaves in tmp what is to be written, set or cleared.
func (c *Compiler) source(in *ir.Inst) {
	if in.Has(ir.UseImm) {
		c.MovImm(tmp, uint64(in.C))
	} else {
		c.load(tmp, in.A)
	}
}

// status is sstatus: the routine answers in tmp 0, or 1 for what it did not do, or 2 where an interrupt may have become deliverable; and in
// RDX the old value.
func status(c *Compiler, in *ir.Inst) {
	i := *in
	if in.Op == ir.ReadCSR {
		c.MI(asm.CMP, asm.S64, state(offPriv), riscv.PrivU)
		c.Jcc(asm.CondE, c.stepLabel(in))
		c.CallTo(c.routines.ReadStatus)
		c.put(in.Dst, asm.RDX)
		return
	}
	c.source(in)
	c.fpChecked = false // FS may change
	c.CallTo(map[ir.Op]uintptr{ir.WriteCSR: c.routines.WriteStatus, ir.SetCSR: c.routines.SetStatus, ir.ClearCSR: c.routines.ClearStatus}[in.Op])
	c.RR(asm.TEST, asm.S32, tmp, tmp)
	c.Jcc(asm.CondNE, c.outOfLine(func() {
		c.RI(asm.CMP, asm.S32, tmp, statusStep)
		c.Jcc(asm.CondE, c.stepLabel(&i))
		c.put(i.Dst, asm.RDX)
		c.leave(c.routines.Check, int(i.N)+1, int32(i.Off)+int32(i.Len))
	}))
	c.put(in.Dst, asm.RDX)
}

// readTime scales the host's time-stamp counter, where the present privilege may see it.
func readTime(c *Compiler, in *ir.Inst) {
	c.RM(asm.MOV, asm.S64, tmp2, state(offPriv))
	c.RM(asm.MOV, asm.S64, tmp, state(offTimeFast))
	c.RR(asm.BT, asm.S64, tmp, tmp2)
	c.Jcc(asm.CondAE, c.stepLabel(in))
	// RDTSC may execute ahead of what comes before it, so that a hart could see an older time than one that another told it of (see
	// timebase.TSCParams). Where there is no other, the fence, which is most of the work, is not needed: one RDTSC does not overtake another.
	alone := c.NewLabel()
	c.MI(asm.CMP, asm.S64, state(offTimeFence), 0)
	c.Jcc(asm.CondE, alone)
	c.Plain(asm.LFENCE)
	c.Bind(alone)
	c.Plain(asm.RDTSC)
	c.RI(asm.SHL, asm.S64, asm.RDX, 32)
	c.RR(asm.OR, asm.S64, tmp, asm.RDX)
	c.M(asm.MUL, asm.S64, state(offTimeMul))
	c.RM(asm.ADD, asm.S64, asm.RDX, state(offTimeOffset))
	c.put(in.Dst, asm.RDX)
}
