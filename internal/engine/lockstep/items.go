package lockstep

// What episodes are made of, beside user-level code: traps in the middle of blocks, CSRs, changes of page tables and address spaces,
// code that is overwritten, calls, atomics around traps, cache blocks, devices, jumps to nowhere.
//
// Any item may be executed in any privilege; where that is not allowed its instructions trap, and are skipped one by one.

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// patch is an instruction of the library that programs overwrite.
type patch struct{ function, word string }

func pick[T any](g *generator, from ...T) T { return from[g.rand.IntN(len(from))] }

// temp is a register that anything may be in.
func (g *generator) temp() uint8 {
	return pick[uint8](g, asm.T0, asm.T1, asm.T2, asm.S1, asm.A0, asm.A1, asm.A2, asm.A3, asm.A4, asm.A5, asm.A6, asm.S2, asm.S3,
		asm.S4, asm.S5, asm.S6, asm.S7, asm.S8, asm.T3, asm.T4, asm.T5, asm.T6)
}

// temps are two different ones.
func (g *generator) temps() (uint8, uint8) {
	a, b := g.temp(), g.temp()
	for a == b {
		b = g.temp()
	}
	return a, b
}

// fragment writes n instructions of user-level code.
func (g *generator) fragment(n int) { g.a.Data(g.fragments.Piece(n, g.inLoop)...) }

func (g *generator) item() {
	switch n := g.rand.IntN(100); {
	case n < 40:
		g.fragment(1 + g.rand.IntN(10))
	case n < 49:
		g.call()
	case n < 56:
		g.trap()
	case n < 68:
		g.csr()
	case n < 71:
		g.fence()
	case n < 75:
		g.remap()
	case n < 78:
		g.switchSpace()
	case n < 81:
		g.reserve()
	case n < 84:
		g.cacheBlock()
	case n < 87:
		g.device()
	case n < 90:
		g.nowhere()
	case n < 92:
		g.wait()
	case n < 95:
		g.loop()
	default:
		g.overwrite()
	}
}

// call calls the library: directly, through a register, through a table, recursively.
func (g *generator) call() {
	f := pick(g, g.functions...)
	switch g.rand.IntN(5) {
	case 0, 1:
		g.a.Call(f)
	case 2:
		t := g.temp()
		g.a.La(t, f)
		if g.rand.IntN(2) == 0 {
			g.a.Emit(riscv.Inst{Op: riscv.C_JALR, Rd: asm.RA, Rs1: t})
		} else {
			g.a.I(riscv.JALR, asm.RA, t, 0)
		}
	case 3:
		// One of two, as the data says, in a loop: an indirect call whose target changes.
		t, u := g.temps()
		again := g.label()
		if !g.inLoop {
			g.a.Li(regCount, 2+g.rand.Int64N(10))
			g.a.Label(again)
		}
		g.a.La(t, f)
		g.a.La(u, pick(g, g.functions...))
		g.a.R(riscv.SUB, u, u, t)
		c := g.temp()
		for c == t || c == u {
			c = g.temp()
		}
		g.a.I(riscv.ANDI, c, regCount, 1)
		g.a.R(riscv.CZERO_EQZ, u, u, c)
		g.a.R(riscv.ADD, t, t, u)
		g.a.I(riscv.JALR, asm.RA, t, 0)
		if !g.inLoop {
			g.a.I(riscv.ADDI, regCount, regCount, -1)
			g.a.B(riscv.BNE, regCount, asm.Zero, again)
		}
	default:
		if !g.inLoop {
			g.a.Li(regCount, 1+g.rand.Int64N(40))
			g.a.Call("recursion")
		}
	}
}

// trap is an instruction that traps, or does so in most modes.
func (g *generator) trap() {
	switch g.rand.IntN(7) {
	case 0:
		g.a.Op(riscv.ECALL)
	case 1:
		g.a.Op(riscv.EBREAK)
	case 2:
		g.a.Op(riscv.C_EBREAK)
	case 3:
		g.a.Word(pick[uint32](g, 0xffff_ffff, 0x0000_707f, 0x0020_0073, 0x0000_4003|7<<12, 0xc000_7053, 0x3420_1073|0xc00<<20))
	case 4:
		g.a.Half(pick[uint16](g, 0, 0x4002, 0x8002, 0x9c41|0x60, 0x6001)) // some are reserved
	case 5:
		// An AMO, LR or SC that is misaligned more often than not.
		t := g.temp()
		g.a.I(riscv.ADDI, t, asm.GP, g.rand.Int32N(64))
		op := pick(g, riscv.AMOADD_D, riscv.AMOCAS_W, riscv.LR_W, riscv.SC_D)
		src := g.temp()
		if op == riscv.LR_W {
			src = 0
		}
		g.a.AMO(op, g.temp(), src, t, asm.Relaxed)
	default:
		// A load from where S or U may be forbidden to look: nowhere, the tables, out of canonical range.
		t := g.temp()
		g.a.Li(t, pick[int64](g, 0, -8, -1<<38, 1<<38, 1<<40, 0x7000_0000, int64(pageAt(tablePage)), int64(windowAt(511)+memory.PageSize-3),
			ramBase+ramSize-4, int64(largeVA)+ramSize))
		g.a.Load(pick(g, riscv.LD, riscv.LW, riscv.LBU, riscv.FLD, riscv.LHU), g.temp(), 0, t)
	}
}

// csr reads any CSR, or writes one that the program can do without.
func (g *generator) csr() {
	t, u := g.temps()
	read := func(csr uint16) { g.a.CSR(riscv.CSRRS, t, csr, asm.Zero) }
	write := func(csr uint16) {
		if g.rand.IntN(3) == 0 {
			g.a.CSR(pick(g, riscv.CSRRSI, riscv.CSRRCI, riscv.CSRRWI), t, csr, uint8(g.rand.IntN(32)))
			return
		}
		g.a.CSR(pick(g, riscv.CSRRW, riscv.CSRRS, riscv.CSRRC), uint8(g.rand.IntN(2))*t, csr, u)
	}
	bits := func(csr uint16, mask uint64) {
		g.a.Li(u, int64(g.rand.Uint64()&mask))
		g.a.CSR(pick(g, riscv.CSRRS, riscv.CSRRC), t, csr, u)
	}
	switch g.rand.IntN(16) {
	case 0:
		read(uint16(g.rand.IntN(1 << 12)))
	case 1, 2:
		read(pick[uint16](g, comparedCSRs[:]...))
	case 3:
		read(pick[uint16](g, riscv.CSRSstatus, riscv.CSRSie, riscv.CSRSip, riscv.CSRMhartid, riscv.CSRMisa, riscv.CSRMvendorid))
	case 4, 5:
		read(pick[uint16](g, riscv.CSRCycle, riscv.CSRTime, riscv.CSRInstret, riscv.CSRHpmcounter3))
	case 6:
		write(pick[uint16](g, riscv.CSRFflags, riscv.CSRFrm, riscv.CSRFcsr))
	case 7, 8:
		write(pick[uint16](g, riscv.CSRSepc, riscv.CSRScause, riscv.CSRStval, riscv.CSRMepc, riscv.CSRMcause, riscv.CSRMtval,
			riscv.CSRScounteren, riscv.CSRMcounteren, riscv.CSRMcycle, riscv.CSRMinstret, riscv.CSRMcountinhibit,
			riscv.CSRSenvcfg))
	case 9:
		write(pick[uint16](g, riscv.CSRSie, riscv.CSRMie, riscv.CSRSip, riscv.CSRMip))
	case 10:
		bits(riscv.CSRSstatus, hart.MstatusSUM|hart.MstatusMXR|hart.MstatusSIE|hart.MstatusSPIE|hart.MstatusSPP)
	case 11:
		mask := uint64(hart.MstatusSUM | hart.MstatusMXR | hart.MstatusSIE | hart.MstatusMIE | hart.MstatusMPIE | hart.MstatusMPP)
		bits(riscv.CSRMstatus, mask|hart.MstatusMPRV*uint64(g.rand.IntN(2)))
	case 12:
		// Floating point off for a little; the handlers do without.
		g.a.Li(u, hart.MstatusFS)
		g.a.CSR(riscv.CSRRC, asm.Zero, riscv.CSRSstatus, u)
		g.fragment(1 + g.rand.IntN(3))
		g.a.Li(u, hart.MstatusFS&^(hart.MstatusFS<<uint(g.rand.IntN(2))))
		g.a.CSR(riscv.CSRRS, t, riscv.CSRSstatus, u)
	case 13:
		// The timer: due at once, or soon, or never.
		g.a.Li(u, pick[int64](g, 0, g.rand.Int64N(4000), -1))
		g.a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRStimecmp, u)
	case 14:
		// The table of handlers has the same effect in either mode.
		g.a.CSR(pick(g, riscv.CSRRSI, riscv.CSRRCI), t, pick[uint16](g, riscv.CSRStvec, riscv.CSRMtvec), 1)
	default:
		if g.quiet {
			read(riscv.CSRMedeleg)
			return
		}
		g.a.Li(u, int64(g.rand.Uint64()&^(1<<riscv.CauseEcallS|1<<riscv.CauseEcallM)))
		g.a.CSR(riscv.CSRRW, t, pick[uint16](g, riscv.CSRMedeleg, riscv.CSRMideleg), u)
	}
}

// fence is one of any kind.
func (g *generator) fence() {
	switch g.rand.IntN(5) {
	case 0:
		g.a.Fence(uint8(g.rand.IntN(16)), uint8(g.rand.IntN(16)))
	case 1:
		g.a.Emit(riscv.Inst{Op: riscv.FENCE_I})
	case 2:
		g.flush(windowAt(pairs), g.temp(), g.temp())
	default:
		// With whatever is in the registers as address and ASID.
		g.a.Emit(riscv.Inst{Op: pick(g, riscv.SFENCE_VMA, riscv.SINVAL_VMA), Rs1: g.temp(), Rs2: g.temp()})
	}
}

// flush is one of the ways to make a change of the translation of va seen in every space.
func (g *generator) flush(va uint64, t, u uint8) {
	switch g.rand.IntN(5) {
	case 0:
		g.a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA})
	case 1:
		g.a.Li(t, int64(va))
		g.a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA, Rs1: t})
	case 2:
		for i := range g.spaces {
			g.a.Li(u, int64(i+1))
			g.a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA, Rs2: u})
		}
	case 3:
		g.a.Li(t, int64(va))
		for i := range g.spaces {
			g.a.Li(u, int64(i+1))
			g.a.Emit(riscv.Inst{Op: riscv.SFENCE_VMA, Rs1: t, Rs2: u})
		}
	default:
		g.a.Li(t, int64(va))
		g.a.Op(riscv.SFENCE_W_INVAL)
		g.a.Emit(riscv.Inst{Op: riscv.SINVAL_VMA, Rs1: t})
		g.a.Op(riscv.SFENCE_INVAL_IR)
	}
}

// remap changes the leaf of a page of data, with the fence that this wants, and uses the page.
func (g *generator) remap() {
	if g.quiet {
		g.trap()
		return
	}
	t, u := g.temps()
	s := pick(g, g.spaces[:]...)
	page := pairs + pairStride*g.rand.Uint64N(numPairs) + g.rand.Uint64N(2)
	va := windowAt(page)
	if g.rand.IntN(2) == 0 {
		// The page that the program uses now.
		g.a.Load(riscv.LD, g.temp(), 0, asm.GP)
	}
	g.a.Li(t, int64(s.leaves+8*page))
	g.a.Li(u, int64(g.layout.anyLeaf()))
	g.a.Store(riscv.SD, u, 0, t)
	g.flush(va, t, u)
	if g.rand.IntN(2) == 0 {
		g.a.Li(t, int64(va)+g.rand.Int64N(memory.PageSize))
		g.a.Load(riscv.LD, g.temp(), 0, t)
		g.a.Li(t, int64(va)+g.rand.Int64N(memory.PageSize))
		g.a.Store(riscv.SW, g.temp(), 0, t)
	}
}

// switchSpace goes to another address space for a little. The code goes on at the same address: so it does in S-mode in every
// space, but with paging off only where it is executed at its physical address, which the program finds out.
func (g *generator) switchSpace() {
	t, u := g.temps()
	satp := pick(g, g.spaces[:]...).satp
	const old = regLink
	skip := g.label()
	g.a.U(riscv.AUIPC, t, 0)
	g.a.B(riscv.BLT, t, asm.Zero, skip) // the top of the address space is not the same everywhere
	if g.rand.IntN(6) == 0 {
		satp = 0
		g.a.I(riscv.SRLI, t, t, 30)
		g.a.Li(u, ramBase>>30)
		g.a.B(riscv.BNE, t, u, skip)
	}
	if g.rand.IntN(12) == 0 {
		satp = satp&^(15<<60) | 1<<60 // a reserved mode: nothing changes
	}
	g.a.Li(t, int64(satp))
	g.a.CSR(riscv.CSRRW, old, riscv.CSRSatp, t)
	if g.priv != riscv.PrivU {
		inLoop := g.inLoop
		g.inLoop = true
		g.fragment(1 + g.rand.IntN(6))
		g.inLoop = inLoop
		g.a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSatp, old)
	}
	g.a.Label(skip)
}

// reserve is LR and SC with something between them that may take the reservation away.
func (g *generator) reserve() {
	t := g.temp()
	wide := g.rand.IntN(2) == 0
	g.a.I(riscv.ADDI, t, asm.GP, 8*(g.rand.Int32N(32)-16))
	lr, sc := riscv.LR_W, riscv.SC_W
	if wide {
		lr, sc = riscv.LR_D, riscv.SC_D
	}
	v, w := g.temps()
	for v == t || w == t {
		v, w = g.temps()
	}
	g.a.AMO(lr, v, 0, t, uint8(g.rand.IntN(4)))
	switch g.rand.IntN(6) {
	case 0:
		g.a.Op(riscv.ECALL)
	case 1:
		g.a.Store(riscv.SD, w, 0, t) // its own store: the value decides
	case 2:
		g.a.Store(riscv.SW, v, 0, t)
	case 3:
		g.a.AMO(pick(g, riscv.AMOADD_W, riscv.AMOSWAP_D), w, 0, t, asm.AQRL)
	case 4:
		g.a.Half(1)
		g.a.I(riscv.ADDI, v, v, 1)
	}
	g.a.AMO(sc, w, v, t, uint8(g.rand.IntN(4)))
	if g.rand.IntN(2) == 0 {
		g.a.AMO(sc, v, w, t, asm.Relaxed) // without a reservation
	}
}

// cacheBlock is a CBO, or a prefetch.
func (g *generator) cacheBlock() {
	t := g.temp()
	g.a.I(riscv.ADDI, t, asm.GP, g.rand.Int32N(512)-256)
	g.a.Emit(riscv.Inst{Op: pick(g, riscv.CBO_ZERO, riscv.CBO_ZERO, riscv.CBO_CLEAN, riscv.CBO_FLUSH, riscv.CBO_INVAL), Rs1: t})
}

// device accesses the device: what only works in some spaces and modes.
func (g *generator) device() {
	t := g.temp()
	g.a.Li(t, deviceBase+g.rand.Int64N(256)*8)
	for range 1 + g.rand.IntN(3) {
		off := g.rand.Int32N(16) &^ int32(g.rand.IntN(2)*7)
		if g.rand.IntN(2) == 0 {
			g.a.Load(pick(g, riscv.LD, riscv.LW, riscv.LHU, riscv.LB, riscv.FLD, riscv.FLW), g.other(t), off, t)
		} else {
			g.a.Store(pick(g, riscv.SD, riscv.SW, riscv.SH, riscv.SB, riscv.FSD), g.temp(), off, t)
		}
	}
	if g.rand.IntN(4) == 0 {
		g.a.AMO(riscv.AMOADD_W, g.temp(), g.temp(), t, asm.Relaxed)
	}
}

// other is a register other than t.
func (g *generator) other(t uint8) uint8 {
	for {
		if u := g.temp(); u != t {
			return u
		}
	}
}

// nowhere calls an address without code: the handler comes back by ra.
func (g *generator) nowhere() {
	t := g.temp()
	g.a.Li(t, pick[int64](g, 0, -2, 1<<40, deviceBase, 0x7000_0000, int64(windowAt(pairs+2)), ramBase+ramSize, int64(windowAt(300))))
	g.a.I(riscv.JALR, asm.RA, t, g.rand.Int32N(16))
}

// wait is an instruction that waits, or only says so.
func (g *generator) wait() {
	switch g.rand.IntN(4) {
	case 0:
		g.a.Op(riscv.WFI)
	case 1:
		g.a.Op(riscv.WRS_NTO)
	case 2:
		g.a.Op(riscv.WRS_STO)
	default:
		g.a.Word(0x0100_000f) // pause
	}
}

// loop is some turns of a few items, as many now and then as make code hot.
func (g *generator) loop() {
	if g.inLoop {
		g.fragment(2)
		return
	}
	g.inLoop = true
	turns := 2 + g.rand.Int64N(12)
	items := 1 + g.rand.IntN(4)
	if g.rand.IntN(4) == 0 {
		turns, items = 100+g.rand.Int64N(100), 1
	}
	again := g.label()
	g.a.Li(regCount, turns)
	g.a.Label(again)
	for range items {
		if items == 1 {
			g.fragment(1 + g.rand.IntN(6))
		} else {
			g.item()
		}
	}
	g.a.I(riscv.ADDI, regCount, regCount, -1)
	g.a.B(riscv.BLT, asm.Zero, regCount, again)
	g.inLoop = false
}

// overwrite stores to code. Without a FENCE.I before the code is executed, old and new are the same, or mean the same.
func (g *generator) overwrite() {
	t, u := g.temps()
	here := g.label()
	align := func() { // one store writes the whole instruction
		g.a.Align(4)
	}
	switch g.rand.IntN(5) {
	case 0:
		// The same bytes; also where the load traps, because the page is only for execution, and is skipped.
		same := riscv.Inst{Op: riscv.XOR, Rd: u, Rs1: t, Rs2: u}
		align()
		g.a.La(t, here)
		g.loadWord(u, same)
		g.a.Load(riscv.LW, u, 0, t)
		g.a.Store(riscv.SW, u, 0, t)
		g.a.Label(here)
		g.a.Emit(same)
	case 1:
		// Another instruction with the same meaning.
		d := g.temp()
		old := riscv.Inst{Op: riscv.ADD, Rd: d, Rs1: t, Rs2: u}
		now := riscv.Inst{Op: riscv.ADD, Rd: d, Rs1: u, Rs2: t}
		v, w := g.temps()
		align()
		g.a.La(v, here)
		g.loadWord(w, now)
		if v != w {
			g.a.Store(riscv.SW, w, 0, v)
		}
		g.a.Label(here)
		g.a.Emit(old)
	case 2:
		// Data in the middle of code.
		g.a.La(t, here)
		g.a.Store(riscv.SD, u, 0, t)
		g.a.Load(riscv.LD, u, 0, t)
		g.a.Emit(riscv.Inst{Op: riscv.C_J, Imm: 2 + 8})
		g.a.Label(here)
		g.a.Dword(g.rand.Uint64())
	case 3:
		// A function that is called only after the FENCE.I, with something between.
		p := pick(g, g.patches...)
		g.a.La(t, p.word)
		g.loadWord(u, riscv.Inst{Op: pick(g, riscv.ADDI, riscv.XORI), Rd: asm.T4, Rs1: asm.T4, Imm: g.rand.Int32N(1024)})
		g.a.Store(riscv.SW, u, 0, t)
		g.a.Data(g.fragments.Piece(2, true)...)
		g.a.Emit(riscv.Inst{Op: riscv.FENCE_I})
		g.a.Call(p.function)
	default:
		// The very next instruction, executed before and after if in a loop.
		d := g.temp()
		g.a.La(t, here)
		g.loadWord(u, riscv.Inst{Op: riscv.ADDI, Rd: d, Rs1: d, Imm: g.rand.Int32N(2048)})
		g.a.Store(riscv.SW, u, 0, t)
		g.a.Emit(riscv.Inst{Op: riscv.FENCE_I})
		g.a.Label(here)
		g.a.I(riscv.ADDI, d, d, 7)
	}
}

// loadWord loads the encoding of i.
func (g *generator) loadWord(rd uint8, i riscv.Inst) {
	raw, err := riscv.Encode(i)
	if err != nil {
		panic(err) // the generator makes only ones that have an encoding
	}
	g.a.Li(rd, int64(int32(raw)))
}
