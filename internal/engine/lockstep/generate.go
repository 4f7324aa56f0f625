package lockstep

// The generator of bare-metal programs: a few episodes, each in a privilege and an address space of its own, made of pieces of
// user-level code (package difftest) with what only a machine has between them (items.go).

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/vmproject/vm/internal/engine/difftest"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

// programLimit is the most instructions that a program executes.
const programLimit = 12000

// Generate makes the program of a seed.
func Generate(seed uint64) (*Program, error) {
	g := newGenerator(seed)
	if err := g.handlers(); err != nil {
		return nil, err
	}
	g.library()
	for n := range 2 + g.rand.IntN(4) {
		g.episode(n)
		for range 10 + g.rand.IntN(30) {
			g.item()
		}
		g.end()
	}
	return g.program(programLimit)
}

// Bytes makes a program that executes any bytes as code, in U-mode, at most bytesMax of them. They cannot be written: what a hart would
// execute after that is anybody's guess.
func Bytes(seed uint64, code []byte) (*Program, error) {
	g := newGenerator(seed)
	g.readOnly = true
	if err := g.handlers(); err != nil {
		return nil, err
	}
	g.a.Label("nowhere")
	g.priv = riscv.PrivU
	g.episode(0)
	g.a.Data(code[:min(len(code), bytesMax)]...)
	g.a.Align(2)
	g.end()
	return g.program(bytesLimit)
}

const (
	bytesMax   = 2 * memory.PageSize
	bytesLimit = 3000
)

func newGenerator(seed uint64) *generator {
	r := rand.New(rand.NewPCG(seed, 0x10c5))
	g := &generator{
		seed:      seed,
		rand:      r,
		fragments: difftest.NewFragments(r, difftest.All, kept),
		layout:    layout{rand: r, image: make([]byte, ramSize), next: tablePage, svadu: r.IntN(2) == 0},
		a:         asm.New(pageAt(codePage)),
	}
	for i := range g.spaces {
		g.spaces[i] = g.layout.space(uint64(i))
	}
	for page := uint64(dataPage); page < dataPage+dataPages; page++ {
		for off := uint64(0); off < memory.PageSize; off += 8 {
			g.layout.put(pageAt(page)+off, g.word())
		}
	}
	return g
}

// handlers makes the fixed part.
func (g *generator) handlers() error {
	a := asm.New(pageAt(handlerPage))
	handlers(a, g.protect, g.rand.IntN(2) == 0)
	g.fixed = a.Labels()
	at := pageAt(savePage)
	g.layout.put(at+dispatchNext, at+descriptors)
	return g.install(a)
}

// program is what has been made, with registers to start from.
func (g *generator) program(limit uint64) (*Program, error) {
	if err := g.install(g.a); err != nil {
		return nil, err
	}
	p := &Program{Seed: g.seed, Image: g.layout.image, Entry: g.fixed["boot"], Done: g.fixed["ended"], Limit: limit, Events: g.events(limit)}
	for i := range p.X {
		p.X[i], p.F[i] = g.word(), g.word()
	}
	return p, nil
}

type generator struct {
	seed      uint64
	rand      *rand.Rand
	fragments *difftest.Fragments
	layout    layout
	spaces    [3]*space
	a         *asm.Assembler
	fixed     map[string]uint64 // labels of the dispatcher and the handlers
	labels    int               // made so far
	functions []string          // of the library
	patches   []patch           // places in the library to be overwritten
	readOnly  bool              // nobody may write code

	// Of the episode that is being made.
	space      *space
	priv       uint64
	translated bool // it begins with satp = space.satp
	quiet      bool // no changes of page tables: SFENCE.VMA may trap (mstatus.TVM)
	inLoop     bool
}

// install puts assembled code into the image.
func (g *generator) install(a *asm.Assembler) error {
	code, err := a.Bytes()
	if err != nil {
		return fmt.Errorf("generating a program: %w", err)
	}
	limit := uint64(savePage)
	if a == g.a {
		limit = codePage + codePages
	}
	if a.Base()+uint64(len(code)) > pageAt(limit) {
		return fmt.Errorf("generating a program: %d bytes of code at %#x are too many", len(code), a.Base())
	}
	copy(g.layout.image[a.Base()-ramBase:], code)
	return nil
}

// word is a value to start from: anything, or something that floating point finds interesting.
func (g *generator) word() uint64 {
	v := g.rand.Uint64()
	switch v % 8 {
	case 0:
		return v >> (v >> 8 & 63)
	case 1:
		return 0xffff_ffff<<32 | v>>32 // a boxed single
	case 2:
		return 0x3ff0_0000_0000_0000 | v>>12 // between 1 and 2
	case 3:
		return uint64(int64(v) >> (v >> 8 & 63))
	}
	return v
}

func (g *generator) label() string {
	g.labels++
	return fmt.Sprintf("l%d", g.labels)
}

// protect opens memory to S and U by PMP, and now and then forbids something inside of a page. What is not code is not
// executed even by M-mode, lest a program that lost its way executes what it has just written.
func (g *generator) protect(a *asm.Assembler) {
	const (
		read, write, execute = 1, 2, 4
		topOfRange           = 1 << 3
		napotMode            = 3 << 3
		locked               = 1 << 7
	)
	cfg := uint64(read|write|execute|napotMode) << 56
	entry := func(i int, at, size, flags uint64) {
		a.Li(asm.T0, int64(at>>2|(size>>3-1)))
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRPmpaddr0+uint16(i), asm.T0)
		cfg |= (flags | napotMode) << (8 * i)
	}
	a.Li(asm.T0, -1)
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRPmpaddr0+7, asm.T0)
	for i, end := range []uint64{savePage, codePage, dataPage, ramPages} {
		a.Li(asm.T0, int64(pageAt(end)>>2))
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRPmpaddr0+uint16(2+i), asm.T0)
		if i%2 != 0 {
			cfg |= (locked | topOfRange | read | write) << (8 * (2 + i))
		} else if g.readOnly {
			cfg |= (locked | topOfRange | read | execute) << (8 * (2 + i))
		}
	}
	if g.rand.IntN(4) == 0 {
		flags := []uint64{0, read, read | write, locked | read, execute}[g.rand.IntN(5)]
		size := uint64(8) << g.rand.IntN(10)
		entry(0, (pageAt(dataPage+g.rand.Uint64N(dataPages))+g.rand.Uint64N(memory.PageSize))&^(size-1), size, flags)
	}
	if g.rand.IntN(12) == 0 {
		// Code around which the page cannot be fetched as a whole.
		entry(1, pageAt(codePage+g.rand.Uint64N(2))+g.rand.Uint64N(64)*64, 64, read|execute)
	}
	a.Li(asm.T0, int64(cfg))
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRPmpcfg0, asm.T0)
}

// episode begins one, and writes its descriptor.
func (g *generator) episode(n int) {
	r := g.rand
	g.space = g.spaces[r.IntN(len(g.spaces))]
	if !g.readOnly {
		g.priv = pick[uint64](g, riscv.PrivU, riscv.PrivU, riscv.PrivU, riscv.PrivS, riscv.PrivS, riscv.PrivS, riscv.PrivM, riscv.PrivM)
	}
	g.translated = g.priv != riscv.PrivM && r.IntN(10) > 0

	// Somewhere near the end of a page, as often as not, so that the first code crosses it.
	if r.IntN(2) == 0 {
		left := memory.PageSize - g.a.PC()&memory.PageMask
		g.a.Space(int(left) - min(int(left), 2*r.IntN(200)))
	} else {
		g.a.Align(4)
	}
	if r.IntN(2) == 0 {
		g.a.Half(0)
	}
	entry := g.a.PC()

	var d descriptor
	satp := g.space.satp
	if !g.translated {
		satp = 0
		if g.priv == riscv.PrivM && r.IntN(2) == 0 {
			satp = g.space.satp // which M-mode does not notice
		}
	}
	at := entry
	if g.translated {
		off := entry - pageAt(codePage)
		switch n := r.IntN(4); {
		case g.priv == riscv.PrivU:
			at = g.space.userCode() + off
		case n < 2:
			at = windowAt(codeSupervisor) + off
		case n == 2 && g.space.mode == 8:
			at = highAt(entry)
		}
	}
	gp, stack := g.layout.gp(g.space, g.priv, g.translated)

	status := g.priv<<11 | hart.MstatusFS | hart.MstatusMPIE
	for _, bit := range []uint64{hart.MstatusSUM, hart.MstatusMXR, hart.MstatusSIE, hart.MstatusSPIE} {
		status |= bit * uint64(r.IntN(2))
	}
	if r.IntN(12) == 0 {
		status &^= hart.MstatusFS // off
	}
	if g.priv == riscv.PrivM && r.IntN(4) == 0 {
		// Data accesses as U or S has them: MPP is M for the MRET, and U after it.
		status |= hart.MstatusMPRV
		gp, stack = g.layout.gp(g.space, riscv.PrivU, true)
		satp = g.space.satp
	}
	delegated := uint64(0)
	if r.IntN(3) > 0 {
		delegated = r.Uint64() | uint64(r.IntN(2))*0xffff
		delegated &^= 1<<riscv.CauseEcallS | 1<<riscv.CauseEcallM
	}
	g.quiet = r.IntN(8) == 0
	if g.quiet {
		// SFENCE.VMA, SRET and WFI trap; that must reach M-mode, since the S-mode handler uses SRET.
		status |= uint64(r.IntN(8)) << 20
		delegated &^= 1 << riscv.CauseIllegal
	}
	envcfg := uint64(r.IntN(256))&^(3<<4) | uint64(r.IntN(2))*hart.EnvcfgCBIE
	menv := envcfg | hart.EnvcfgSTCE*uint64(r.IntN(2)) | hart.EnvcfgPBMTE*uint64(r.IntN(2))
	if g.layout.svadu {
		menv |= hart.EnvcfgADUE
	}
	d.csr = [...]uint64{
		at, status, delegated, uint64(r.IntN(2)) * 0x222, r.Uint64() & 0xaaa,
		g.vector("machine"), g.vector("supervisor"),
		menv, r.Uint64() & envcfg, r.Uint64() | 2, r.Uint64() | 2, satp, saveM(), saveS(),
	}
	sp, s0 := difftest.FragmentPointers(gp)
	d.regs = [...]uint64{sp, gp, s0, stack}
	d.leaves = g.space.leaves
	for i, w := range d.words() {
		g.layout.put(pageAt(savePage)+descriptors+uint64(n)*descriptorSize+8*uint64(i), w)
	}
}

// end ends an episode.
func (g *generator) end() {
	g.a.Li(asm.A7, endCall)
	g.a.Op(riscv.ECALL)
	g.a.J("nowhere")
}

// vector is the address of a handler's table, with or without the vectored mode.
func (g *generator) vector(name string) uint64 { return g.fixed[name] | uint64(g.rand.IntN(2)) }

// library writes the functions that episodes call.
func (g *generator) library() {
	g.a.Label("nowhere")
	g.a.Half(0, 0) // illegal, and compressed
	for n := range 6 {
		if n == 3 {
			// One that crosses a page in the middle of an instruction, whatever is in front of it.
			left := memory.PageSize - g.a.PC()&memory.PageMask
			g.a.Space(int(left) - 8)
		}
		name := fmt.Sprintf("function %d", n)
		g.a.Label(name)
		if n == 3 {
			g.a.Half(1, 1, 1) // c.nop
			g.a.I(riscv.ADDI, asm.T3, asm.T3, 5)
		}
		g.fragment(1 + g.rand.IntN(6))
		if n > 0 && g.rand.IntN(2) == 0 {
			g.a.Mv(regLink, asm.RA)
			g.a.Call(g.functions[0])
			g.a.Mv(asm.RA, regLink)
		}
		g.ret()
		if n == 0 || g.rand.IntN(2) == 0 {
			g.functions = append(g.functions, name)
		}
	}
	// Recursive: a1 levels deep.
	g.a.Label("recursion")
	g.a.I(riscv.ADDI, regStack, regStack, -16)
	g.a.Store(riscv.SD, asm.RA, 8, regStack)
	g.a.I(riscv.ADDI, regCount, regCount, -1)
	g.a.B(riscv.BGE, asm.Zero, regCount, "recursion ends")
	g.a.Call("recursion")
	g.a.Label("recursion ends")
	g.a.R(riscv.ADD, asm.A1, asm.A1, regStack)
	g.a.Load(riscv.LD, asm.RA, 8, regStack)
	g.a.I(riscv.ADDI, regStack, regStack, 16)
	g.ret()
	for n := range 2 {
		p := patch{function: fmt.Sprintf("patched %d", n), word: fmt.Sprintf("patch %d", n)}
		g.a.Align(4)
		g.a.Label(p.function)
		g.a.I(riscv.ADDI, asm.T4, asm.T4, 1)
		g.a.Label(p.word)
		g.a.I(riscv.ADDI, asm.T4, asm.T4, 3)
		g.ret()
		g.patches = append(g.patches, p)
	}
}

func (g *generator) ret() {
	if g.rand.IntN(2) == 0 {
		g.a.Emit(riscv.Inst{Op: riscv.C_JR, Rs1: asm.RA})
		return
	}
	g.a.Ret()
}

// events are what comes from outside.
func (g *generator) events(limit uint64) []Event {
	var events []Event
	for range g.rand.IntN(12) {
		e := Event{At: g.rand.Uint64N(limit / 2)}
		switch n := g.rand.IntN(10); {
		case n < 4:
			e.Kind, e.Arg = EventRaise, []uint64{1, 3, 5, 7, 9, 11}[g.rand.IntN(6)]
		case n < 6:
			e.Kind, e.Arg = EventLower, []uint64{1, 3, 5, 7, 9, 11}[g.rand.IntN(6)]
		case n < 8:
			e.Kind, e.Arg = EventTime, g.rand.Uint64N(1000)
		case n == 8 && len(g.patches) > 0 && g.rand.IntN(2) == 0:
			word := g.patches[g.rand.IntN(len(g.patches))].word
			e.Kind, e.Arg = EventDMA, g.a.Labels()[word]
		case n == 8:
			e.Kind = []EventKind{EventStop, EventFenceI}[g.rand.IntN(2)]
		default:
			e.Kind, e.Arg = EventFence, uint64(g.rand.IntN(2))*windowAt(pairs)
		}
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At) - int(b.At) })
	return events
}
