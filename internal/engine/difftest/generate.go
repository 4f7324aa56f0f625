package difftest

// The generator. Instructions come from the table of the instruction set: operand bits are drawn at random, and what does
// not suit (a reserved encoding, a destination with a role, an address outside the window) is drawn again.

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/vmproject/vm/internal/engine/riscv"
)

// Exts is a set of extensions.
type Exts uint64

// Of makes a set.
func Of(exts ...riscv.Ext) (s Exts) {
	for _, e := range exts {
		s |= 1 << e
	}
	return s
}

func (s Exts) has(e riscv.Ext) bool { return s>>e&1 != 0 }

var (
	// QEMU is what qemu-riscv64 of Debian bookworm (7.2) knows. It cannot check Zicond, Zfa, Zcb, Zacas, Zimop, Zcmop, Zawrs and
	// the Zicbo* instructions, which came later; the tests of package interp hold their hand-computed values.
	QEMU = Of(riscv.ExtI, riscv.ExtM, riscv.ExtA, riscv.ExtF, riscv.ExtD, riscv.ExtC, riscv.ExtZicsr, riscv.ExtZifencei,
		riscv.ExtZba, riscv.ExtZbb, riscv.ExtZbc, riscv.ExtZbs, riscv.ExtZfhmin)
	// All is every extension that a user-level program can use, for comparing one engine with another.
	All = QEMU | Of(riscv.ExtZicond, riscv.ExtZfa, riscv.ExtZcb, riscv.ExtZacas, riscv.ExtZimop, riscv.ExtZcmop,
		riscv.ExtZicbop)
)

// wrongInQEMU are operations that QEMU 7.2 gets wrong, so that programs of the set QEMU have none of them.
//
// CTZW counts on into the upper half when the lower one is zero: 63 for 1<<63 (fixed in QEMU 8.0). Unprivileged, "Zbb": the
// result is the width of the word, 32.
var wrongInQEMU = map[riscv.Op]bool{riscv.CTZW: true}

// Generate makes the program of a seed: 100 instructions at least.
func Generate(seed uint64, exts Exts) *Program {
	g := &generator{rand: rand.New(rand.NewPCG(seed, 0x5eed)), ops: opsOf(exts), exts: exts, keep: roles}
	p := &Program{Seed: seed}
	for i := range p.X {
		p.X[i] = g.integer()
		p.F[i] = g.float()
	}
	for i := 0; i < MemSize; i += 8 {
		v := g.integer()
		if g.rand.IntN(2) == 0 {
			v = g.float()
		}
		binary.LittleEndian.PutUint64(p.Mem[i:], v)
	}
	p.FCSR = uint64(g.rand.IntN(5))<<5 | uint64(g.rand.IntN(32))
	// Half of the programs have pointers that are not aligned, for the compressed accesses.
	g.base[regGP] = MemSize / 2
	g.base[regSP] = g.rand.IntN(2) * g.rand.IntN(8)
	g.base[regS0] = MemSize/2 - 128 + g.rand.IntN(2)*g.rand.IntN(8)
	for _, r := range [...]int{regSP, regGP, regS0} {
		p.X[r] = uint64(g.base[r])
	}
	p.X[0], p.X[regLoop] = 0, 0
	for n := 0; n < 110; {
		n += g.item()
	}
	p.Code = g.code
	return p
}

// GenerateMany makes n programs, with the seeds from seed on.
func GenerateMany(seed uint64, n int, exts Exts) []*Program {
	programs := make([]*Program, n)
	for i := range programs {
		programs[i] = Generate(seed+uint64(i), exts)
	}
	return programs
}

// Fragments makes pieces of code for programs that somebody else makes. A piece is entered at its start, left at its end, and
// position independent. It expects of the registers with a role what a Program does: gp is the middle of the window, sp and
// s0 are its [FragmentPointers].
type Fragments struct{ g generator }

// NewFragments draws from r. Pieces never write a register of keep, a set of bits.
func NewFragments(r *rand.Rand, exts Exts, keep uint32) *Fragments {
	f := &Fragments{generator{rand: r, ops: opsOf(exts), exts: exts, keep: keep | roles}}
	f.g.base[regSP], f.g.base[regGP], f.g.base[regS0] = fragmentSP, MemSize/2, fragmentS0
	return f
}

// Piece is the code of n instructions or a few more, with a loop in it now and then unless straight.
func (f *Fragments) Piece(n int, straight bool) []byte {
	f.g.code, f.g.inLoop = nil, straight
	for i := 0; i < n; {
		i += f.g.item()
	}
	return f.g.code
}

// Where sp and s0 of a fragment point, from the start of the window.
const (
	fragmentSP = 4
	fragmentS0 = MemSize/2 - 128 + 6
)

// FragmentPointers are the sp and s0 of fragments whose gp is this.
func FragmentPointers(gp uint64) (sp, s0 uint64) {
	return gp - MemSize/2 + fragmentSP, gp - MemSize/2 + fragmentS0
}

type generator struct {
	rand   *rand.Rand
	code   []byte
	ops    *ops
	exts   Exts
	keep   uint32  // registers that only those items write that have to: bits
	base   [32]int // of the registers that point into the window: where
	inLoop bool
}

// roles are the registers with a role.
const roles = 1<<regSP | 1<<regGP | 1<<regLoop | 1<<regS0

// ops are the operations to choose from, by how their operands have to be chosen.
type ops struct {
	integer, float, load, store, amo, compressed []riscv.Op
}

func opsOf(exts Exts) *ops {
	o := new(ops)
	for op := riscv.Op(1); int(op) < riscv.NumOps; op++ {
		s := op.Spec()
		if !exts.has(s.Ext) || exts == QEMU && wrongInQEMU[op] {
			continue
		}
		base := op
		if op.Compressed() {
			base = s.Base
		}
		switch base.Spec().Format {
		case riscv.FormatLoad, riscv.FormatFLoad:
			o.load = append(o.load, op)
		case riscv.FormatStore, riscv.FormatFStore:
			o.store = append(o.store, op)
		case riscv.FormatAMO, riscv.FormatLR:
			o.amo = append(o.amo, op)
		case riscv.FormatB, riscv.FormatJ, riscv.FormatJALR, riscv.FormatCSR, riscv.FormatCSRI, riscv.FormatNone,
			riscv.FormatIllegal:
			// Control flow and CSRs are written by hand below; the rest is not for programs.
		case riscv.FormatFR, riscv.FormatFRrm, riscv.FormatFR4, riscv.FormatF1rm, riscv.FormatFCmp, riscv.FormatFToX,
			riscv.FormatFToXrm, riscv.FormatXToF, riscv.FormatXToFrm, riscv.FormatFLI, riscv.FormatFCvtMod:
			o.float = append(o.float, op)
		default:
			if op.Compressed() {
				o.compressed = append(o.compressed, op)
			} else {
				o.integer = append(o.integer, op)
			}
		}
	}
	return o
}

func pick[T any](g *generator, from []T) T { return from[g.rand.IntN(len(from))] }

// item writes one instruction or a small group of them, and returns how many.
func (g *generator) item() int {
	switch n := g.rand.IntN(100); {
	case n < 28:
		g.emit(g.operate(pick(g, g.ops.integer)))
	case n < 43:
		g.emit(g.operate(pick(g, g.ops.compressed)))
	case n < 68:
		g.emit(g.operate(pick(g, g.ops.float)))
	case n < 77:
		g.emit(g.access(pick(g, g.ops.load)))
	case n < 84:
		g.emit(g.access(pick(g, g.ops.store)))
	case n < 86:
		return g.computedAccess()
	case n < 89:
		return g.atomic()
	case n < 91:
		return g.csr()
	case n < 95:
		return g.branch()
	case n < 97:
		return g.jump()
	case n < 99:
		return g.loop()
	default:
		return g.selfModify()
	}
	return 1
}

// emit writes an instruction; the generator only makes ones that have an encoding.
func (g *generator) emit(i riscv.Inst) {
	raw, err := riscv.Encode(i)
	if err != nil {
		panic(err)
	}
	g.code = binary.LittleEndian.AppendUint16(g.code, uint16(raw))
	if !i.Op.Compressed() {
		g.code = binary.LittleEndian.AppendUint16(g.code, uint16(raw>>16))
	}
}

// draw is op with random operands.
func (g *generator) draw(op riscv.Op) riscv.Inst {
	s := op.Spec()
	for {
		raw := s.Match | g.rand.Uint32()&^s.Mask
		if i := riscv.Decode(raw); i.Op == op {
			return i
		}
	}
}

// writable says that i leaves the registers of keep alone.
func (g *generator) writable(i riscv.Inst) bool {
	if rd, _, _, _ := i.Op.Operands(); rd != riscv.IntReg {
		return true
	}
	return g.keep>>i.Rd&1 == 0
}

// operate is op, which touches registers only, with random operands.
func (g *generator) operate(op riscv.Op) riscv.Inst {
	if op == riscv.C_ADDI16SP {
		op = riscv.C_ADD // for it writes sp
	}
	for {
		if i := g.draw(op); g.writable(i) {
			return i
		}
	}
}

// temp is a register without a role, not x0.
func (g *generator) temp() uint8 {
	for {
		if r := uint8(1 + g.rand.IntN(31)); g.writable(riscv.Inst{Op: riscv.ADDI, Rd: r}) {
			return r
		}
	}
}

// sizes of memory accesses in bytes.
var sizes = map[riscv.Op]int{
	riscv.LB: 1, riscv.LBU: 1, riscv.SB: 1, riscv.LH: 2, riscv.LHU: 2, riscv.SH: 2, riscv.FLH: 2, riscv.FSH: 2,
	riscv.LW: 4, riscv.LWU: 4, riscv.SW: 4, riscv.FLW: 4, riscv.FSW: 4, riscv.LD: 8, riscv.SD: 8, riscv.FLD: 8, riscv.FSD: 8,
}

// access is the load or store op, somewhere in the window, half the time aligned.
func (g *generator) access(op riscv.Op) riscv.Inst {
	base := op
	if op.Compressed() {
		base = op.Spec().Base
	}
	size := sizes[base]
	if !op.Compressed() {
		for {
			i := g.draw(op)
			if !g.writable(i) {
				continue
			}
			i.Rs1 = pick(g, []uint8{regSP, regGP, regS0})
			at := g.rand.IntN(MemSize - size + 1)
			switch g.rand.IntN(4) {
			case 0, 1:
				at &^= size - 1
			case 2:
				at = MemSize/2 - g.rand.IntN(size+1) // at or across the page boundary
			}
			i.Imm = int32(at - g.base[i.Rs1])
			return i
		}
	}
	for {
		i := g.draw(op)
		if i.Rs1 != regSP && i.Rs1 != regS0 || !g.writable(i) {
			continue
		}
		if at := g.base[i.Rs1] + int(i.Imm); at >= 0 && at+size <= MemSize {
			return i
		}
	}
}

// computedAccess is a load or store whose address depends on data.
func (g *generator) computedAccess() int {
	t := g.temp()
	op := pick(g, g.ops.load)
	if g.rand.IntN(2) == 0 {
		op = pick(g, g.ops.store)
	}
	if op.Compressed() {
		op = op.Spec().Base
	}
	i := g.draw(op)
	for !g.writable(i) {
		i = g.draw(op)
	}
	i.Rs1, i.Imm = t, int32(g.rand.IntN(248))
	g.emit(riscv.Inst{Op: riscv.ANDI, Rd: t, Rs1: uint8(g.rand.IntN(32)), Imm: 0xff})
	g.emit(riscv.Inst{Op: riscv.ADD, Rd: t, Rs1: t, Rs2: regGP})
	g.emit(riscv.Inst{Op: riscv.ADDI, Rd: t, Rs1: t, Imm: -MemSize / 2})
	g.emit(i)
	return 4
}

// atomic is an AMO, or LR and SC with nothing or a little between them. Addresses are aligned.
func (g *generator) atomic() int {
	op := pick(g, g.ops.amo)
	t := g.temp()
	i := g.draw(op)
	for !g.writable(i) || g.clobbersPair(i) {
		i = g.draw(op)
	}
	i.Rs1 = t
	size := 8
	switch op {
	case riscv.AMOCAS_Q:
		size = 16
	default:
		if op.Spec().Match>>12&7 == 2 {
			size = 4
		}
	}
	at := g.rand.IntN(MemSize/size) * size
	g.emit(riscv.Inst{Op: riscv.ADDI, Rd: t, Rs1: regGP, Imm: int32(at - MemSize/2)})
	if op != riscv.LR_W && op != riscv.LR_D {
		// An SC comes without its reservation here, and fails.
		g.emit(i)
		return 2
	}
	n := 2
	for i.Rd == t {
		i.Rd = g.temp()
	}
	g.emit(i)
	if g.rand.IntN(2) == 0 {
		n++
		between := g.operate(pick(g, []riscv.Op{riscv.ADD, riscv.XORI, riscv.SLTU, riscv.C_ADDI}))
		if between.Rd != t {
			g.emit(between)
		}
	}
	sc := g.draw(op + 1) // SC follows LR in the table
	for !g.writable(sc) {
		sc = g.draw(op + 1)
	}
	sc.Rs1 = t
	if g.rand.IntN(8) == 0 && at+size < MemSize {
		// Another address: fails.
		g.emit(riscv.Inst{Op: riscv.ADDI, Rd: t, Rs1: t, Imm: int32(size)})
		n++
	}
	g.emit(sc)
	return n + 1
}

// clobbersPair says that i writes a pair of registers of which the second has a role.
func (g *generator) clobbersPair(i riscv.Inst) bool {
	return i.Op == riscv.AMOCAS_Q && i.Rd != 0 && !g.writable(riscv.Inst{Op: riscv.ADDI, Rd: i.Rd + 1})
}

// csr reads or writes the floating-point CSRs; frm only ever holds modes.
func (g *generator) csr() int {
	const fflags, frm, fcsr = 1, 2, 3
	imm := func(op riscv.Op, csr int32, v int) {
		g.emit(riscv.Inst{Op: op, Rd: g.temp() * uint8(g.rand.IntN(2)), Rs1: uint8(v), Imm: csr})
	}
	switch g.rand.IntN(6) {
	case 0:
		imm(riscv.CSRRWI, frm, g.rand.IntN(5))
	case 1:
		imm(pick(g, []riscv.Op{riscv.CSRRWI, riscv.CSRRSI, riscv.CSRRCI}), fflags, g.rand.IntN(32))
	case 2:
		imm(riscv.CSRRSI, pick(g, []int32{fflags, frm, fcsr}), 0)
	case 3:
		imm(riscv.CSRRCI, fcsr, g.rand.IntN(32))
	case 4:
		g.emit(riscv.Inst{
			Op: pick(g, []riscv.Op{riscv.CSRRW, riscv.CSRRS, riscv.CSRRC}), Rd: g.temp(), Rs1: uint8(g.rand.IntN(32)), Imm: fflags,
		})
	case 5:
		t := g.temp()
		g.emit(riscv.Inst{Op: riscv.ADDI, Rd: t, Imm: int32(g.rand.IntN(5)<<5 | g.rand.IntN(32))})
		g.emit(riscv.Inst{Op: riscv.CSRRW, Rd: g.temp(), Rs1: t, Imm: fcsr})
		return 2
	}
	return 1
}

// sub generates n items apart, to be placed by the caller.
func (g *generator) sub(n int) (code []byte, count int) {
	outer := g.code
	g.code = nil
	for ; n > 0; n-- {
		count += g.item()
	}
	code, g.code = g.code, outer
	return code, count
}

// branch is a conditional branch over some items.
func (g *generator) branch() int {
	body, n := g.sub(1 + g.rand.IntN(5))
	if g.rand.IntN(3) == 0 && len(body)+2 < 256 {
		g.emit(riscv.Inst{
			Op: pick(g, []riscv.Op{riscv.C_BEQZ, riscv.C_BNEZ}), Rs1: uint8(8 + g.rand.IntN(8)), Imm: int32(len(body) + 2),
		})
	} else {
		g.emit(riscv.Inst{
			Op:  riscv.BEQ + riscv.Op(g.rand.IntN(6)),
			Rs1: uint8(g.rand.IntN(32)), Rs2: uint8(g.rand.IntN(32)), Imm: int32(len(body) + 4),
		})
	}
	g.code = append(g.code, body...)
	return n + 1
}

// jump is an unconditional jump over bytes that mean nothing.
func (g *generator) jump() int {
	junk := make([]byte, 2*g.rand.IntN(4))
	for i := range junk {
		junk[i] = byte(g.rand.Uint32())
	}
	n := 1
	switch g.rand.IntN(4) {
	case 0:
		g.emit(riscv.Inst{Op: riscv.C_J, Imm: int32(2 + len(junk))})
	case 1:
		g.emit(riscv.Inst{Op: riscv.JAL, Rd: g.temp() * uint8(g.rand.IntN(2)), Imm: int32(4 + len(junk))})
	case 2:
		// The lowest bit of the target is ignored. Source and destination may be one register.
		t := g.temp()
		g.emit(riscv.Inst{Op: riscv.AUIPC, Rd: t})
		g.emit(riscv.Inst{Op: riscv.JALR, Rd: pick(g, []uint8{0, t, g.temp()}), Rs1: t, Imm: int32(8 + len(junk) + g.rand.IntN(2))})
		n = 2
	case 3:
		t := g.temp()
		g.emit(riscv.Inst{Op: riscv.AUIPC, Rd: t})
		g.emit(riscv.Inst{Op: riscv.ADDI, Rd: t, Rs1: t, Imm: int32(10 + len(junk))})
		i := riscv.Inst{Op: riscv.C_JR, Rs1: t}
		if link := (riscv.Inst{Op: riscv.C_JALR, Rd: 1, Rs1: t}); g.rand.IntN(2) == 0 && g.writable(link) {
			i = link
		}
		g.emit(i)
		n = 3
	}
	g.code = append(g.code, junk...)
	return n
}

// loop is a few turns of some items. Loops do not nest.
func (g *generator) loop() int {
	if g.inLoop {
		g.emit(g.operate(riscv.ADDI))
		return 1
	}
	g.inLoop = true
	body, n := g.sub(2 + g.rand.IntN(8))
	g.inLoop = false
	g.emit(riscv.Inst{Op: riscv.ADDI, Rd: regLoop, Imm: int32(1 + g.rand.IntN(6))})
	g.code = append(g.code, body...)
	g.emit(riscv.Inst{Op: riscv.ADDI, Rd: regLoop, Rs1: regLoop, Imm: -1})
	g.emit(riscv.Inst{Op: pick(g, []riscv.Op{riscv.BNE, riscv.BLTU}), Rs1: 0, Rs2: regLoop, Imm: int32(-len(body) - 4)})
	return n + 3
}

// selfModify writes an instruction over another, and executes it after a FENCE.I.
func (g *generator) selfModify() int {
	at, bits := g.temp(), g.temp()
	for at == bits {
		bits = g.temp()
	}
	raw, err := riscv.Encode(g.operate(pick(g, []riscv.Op{riscv.ADDI, riscv.XOR, riscv.ADDIW, riscv.SLLI, riscv.LUI})))
	if err != nil {
		panic(err)
	}
	low := int32(raw) << 20 >> 20
	g.emit(riscv.Inst{Op: riscv.AUIPC, Rd: at})
	g.emit(riscv.Inst{Op: riscv.LUI, Rd: bits, Imm: int32(raw) - low})
	g.emit(riscv.Inst{Op: riscv.ADDIW, Rd: bits, Rs1: bits, Imm: low})
	g.emit(riscv.Inst{Op: riscv.SW, Rs1: at, Rs2: bits, Imm: 20})
	g.emit(riscv.Inst{Op: riscv.FENCE_I})
	g.emit(g.operate(riscv.XORI)) // what the store replaces
	return 6
}
