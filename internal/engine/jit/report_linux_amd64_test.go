package jit_test

// What the translator tells of itself: figures, names for perf, listings.

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// loop is a program with a loop over an access to memory, a load group, a hint that becomes nothing, and an instruction that the interpreter executes.
func loop(t *testing.T) []byte {
	a := asm.New(ramBase)
	a.Li(asm.A0, 100)
	a.Li(asm.A1, ramBase+0x10000)
	a.Label("loop")
	a.Load(riscv.LD, asm.A2, 0, asm.A1)
	a.Load(riscv.LD, asm.A3, 8, asm.A1)
	a.R(riscv.ADD, asm.A2, asm.A2, asm.A3)
	a.I(riscv.ADDI, asm.Zero, asm.Zero, 0)
	a.Store(riscv.SD, asm.A2, 16, asm.A1)
	a.Op(riscv.WRS_NTO)
	a.I(riscv.ADDI, asm.A0, asm.A0, -1)
	a.B(riscv.BNE, asm.A0, asm.Zero, "loop")
	a.Op(riscv.WFI)
	b, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// runLoop runs the program to its end, and returns the machine.
func runLoop(t *testing.T, o jit.Options) *machine {
	m := newMachine(t, 1, o)
	if err := m.ram.Write(ramBase, loop(t)); err != nil {
		t.Fatal(err)
	}
	if exit := m.engines[0].Run(); exit != engine.ExitWFI {
		t.Fatalf("it ended by %v", exit)
	}
	return m
}

func figures(sections []engine.Section) map[string]string {
	m := map[string]string{}
	for _, s := range sections {
		for _, f := range s.Figures {
			m[s.Name+": "+f.Name] = f.Value
		}
	}
	return m
}

func TestReport(t *testing.T) {
	m := runLoop(t, jit.Options{CodeSize: 4 << 20, MaxGuest: 50})
	got := figures(m.engines[0].Report())
	for name, want := range map[string]string{
		"interpreted one by one: about, wrs.nto":               "93", // three samples of a hundred
		"interpreted one by one: all":                          "101",
		"translator: stale pages dropped":                      "0",
		"translator's settings: code memory, KiB":              "4096",
		"translator's settings: instructions a block, at most": "50",
		"exits from generated code: look-up hits":              "not counted",
		"exits from generated code: interrupt checks":          "0",
	} {
		if got[name] != want {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	for _, name := range []string{
		"translator: blocks compiled", "translator: guest instructions in them", "translator: bytes of host code", "exits from generated code: instructions to interpret",
		"exits from generated code: TLB misses, stores",
	} {
		if n, err := strconv.Atoi(got[name]); err != nil || n < 1 {
			t.Errorf("%s: %q", name, got[name])
		}
	}
	if s := m.jit.Stats(); got["translator: blocks compiled"] != fmt.Sprint(s.Blocks) {
		t.Errorf("%q blocks, %d", got["translator: blocks compiled"], s.Blocks)
	}
	// What a hart did is not forgotten when it is closed.
	steps := got["interpreted one by one: all"]
	if err := m.engines[0].Close(); err != nil {
		t.Fatal(err)
	}
	if again := figures(m.engines[0].Report())["interpreted one by one: all"]; again != steps {
		t.Errorf("%s steps before the hart is closed, %s after", steps, again)
	}
}

// With Options.Count every load and store of generated code is counted, in each tier, and once.
func TestCountsLoadsAndStores(t *testing.T) {
	const turns = 1000
	type counts [6]uint64 // loads: hits, others; stores: hits, others; by a look-up for several; in mirrors
	for _, c := range []struct {
		name    string
		program func(a *asm.Assembler)
		o       jit.Options
		want    counts
	}{
		{"blocks", accesses(turns), jit.Options{Tier: jit.TierBaseline, Mirror: jit.MirrorOff}, counts{0, 0, turns - 1, 1, 3 * turns, 0}},
		{"regions", accesses(turns), jit.Options{Tier: jit.TierOptimized, Mirror: jit.MirrorOff}, counts{0, 0, 0, 1, 3 * turns, 0}},
		{"regions, one by one", func(a *asm.Assembler) {
			a.Li(asm.A0, windowVA+memory.PageSize) // what is known need not be shared
			accesses(turns)(a)
		}, jit.Options{Tier: jit.TierOptimized, Mirror: jit.MirrorOff}, counts{2*turns - 1, 1, turns - 1, 1, 0, 0}},
		{"mirrored blocks", accesses(turns), jit.Options{Tier: jit.TierBaseline, Mirror: jit.MirrorAlways}, counts{5: 3 * turns}},
		{"mirrored regions", accesses(turns), jit.Options{Tier: jit.TierOptimized, Mirror: jit.MirrorAlways}, counts{5: 3 * turns}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.CodeSize, c.o.Count = 8<<20, true
			m := newMachine(t, 1, c.o)
			m.runUser(c.program)
			got := figures(m.engines[0].Report())
			for i, name := range []string{"TLB hits, loads", "not in line, loads", "TLB hits, stores", "not in line, stores",
				"by a look-up made for several", "in mirrors, without look-ups"} {
				if n := got["loads and stores in generated code: "+name]; n != fmt.Sprint(c.want[i]) {
					t.Errorf("%s: %q, want %d", name, n, c.want[i])
				}
			}
		})
	}
}

func TestPerfMapNamesGuestSymbols(t *testing.T) {
	dir := t.TempDir()
	perf, err := code.OpenPerfMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer perf.Close()
	runLoop(t, jit.Options{CodeSize: 4 << 20, PerfMap: perf, Symbol: func(va uint64) (string, bool) {
		return fmt.Sprintf("main+%#x", va-ramBase), va > ramBase
	}})
	data, err := os.ReadFile(perf.Name())
	if err != nil || filepath.Dir(perf.Name()) != dir {
		t.Fatal(err)
	}
	for _, want := range []string{` vm: routines$`, ` guest 80000000 \(80000000\)$`, ` guest main\+0x[0-9a-f]+ \(800000[0-9a-f]+\)$`} {
		if !regexp.MustCompile(`(?m)^[0-9a-f]+ [0-9a-f]+` + want).Match(data) {
			t.Errorf("no line like %q in\n%s", want, data)
		}
	}
}

func TestDumpShowsGuestIntermediateAndHost(t *testing.T) {
	var out bytes.Buffer
	runLoop(t, jit.Options{CodeSize: 4 << 20, Dump: &jit.Dump{At: []uint64{ramBase}, To: &out}})
	s := out.String()
	if n := strings.Count(s, "block at "); n != 1 {
		t.Errorf("%d listings, want 1:\n%s", n, s)
	}
	for _, want := range []string{
		`^block at 0x80000000, physical 0x80000000: \d+ guest instructions, \d+ bytes of code at 0x[0-9a-f]+, inner entry \+0x[0-9a-f]+$`,
		`^registers: x2=rbx .*x10=rdi`,
		`\(entry\) +\+000  lea `,
		`8000[0-9a-f]+  ld a2, ?0\(a1\) `,
		`group \[x11\+0x0\] 24 bytes, write +\+[0-9a-f]+  `,
		`load\.64\.[a-z.]*grouped x12 = \[x11\+0x0\] +\+[0-9a-f]+  mov r8,QWORD PTR \[rdx\]`,
		`^  8000[0-9a-f]+  addi zero, ?zero, ?0$`,
		`wrs.nto +step +\+[0-9a-f]+  `,
		`jmp 0x[0-9a-f]+  ; Step$`,
		`\(out of line\) +\+[0-9a-f]+  `,
		`j[a-z]+ \+0x[0-9a-f]+$`,
	} {
		if !regexp.MustCompile(`(?m)` + want).MatchString(s) {
			t.Errorf("no line like %s", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + s)
	}
}

// runUser runs a program at user level until it calls the environment. Its page is at windowVA, and behind it one for data, which a0 points to.
func (m *machine) runUser(program func(a *asm.Assembler)) {
	m.Helper()
	m.mapWindow()
	a := asm.New(windowVA)
	program(a)
	a.Op(riscv.ECALL)
	b, err := a.Bytes()
	if err == nil {
		err = m.ram.Write(memory.GPA(pageAt(slotPage)), b)
	}
	for i := range uint64(2) {
		const rights = mmu.PTER | mmu.PTEW | mmu.PTEX | mmu.PTEU | mmu.PTEA | mmu.PTED
		pte := pageAt(slotPage+i)>>memory.PageShift<<mmu.PTEPPNShift | mmu.PTEV | rights
		err = errors.Join(err, m.ram.Store64(memory.GPA(pageAt(leafPage)+8*i), pte))
	}
	if err != nil {
		m.Fatal(err)
	}
	m.enterUser()
}

// enterUser runs what is at windowVA at user level until it calls the environment.
func (m *machine) enterUser() {
	m.Helper()
	h := m.harts[0]
	h.Firmware, h.Satp, h.PC = true, mmu.ModeSv39<<60|pageAt(rootPage)>>memory.PageShift, windowVA
	h.X[asm.A0] = windowVA + memory.PageSize
	h.OpenPMP()
	h.SetPriv(riscv.PrivU)
	defer h.Leave()
	if exit := m.engines[0].Run(); exit != engine.ExitFirmware || h.FirmwareTrap.Cause != riscv.CauseEcallU {
		m.Fatalf("exit %v at %#x, trap %d", exit, h.PC, h.FirmwareTrap.Cause)
	}
}

// accesses is a loop of so many turns with two loads and a store each.
func accesses(turns int64) func(a *asm.Assembler) {
	return func(a *asm.Assembler) {
		a.Li(asm.T0, turns)
		a.Label("turn")
		a.Load(riscv.LD, asm.A1, 0, asm.A0)
		a.Load(riscv.LW, asm.A2, 8, asm.A0)
		a.R(riscv.ADDW, asm.A1, asm.A1, asm.A2)
		a.I(riscv.ADDI, asm.Zero, asm.Zero, 0)
		a.Store(riscv.SD, asm.A1, 16, asm.A0)
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "turn")
	}
}

// A loop that has become hot is listed by the address of any instruction in it: its values, and their code.
func TestDumpShowsHotRegions(t *testing.T) {
	for name, c := range map[string]struct {
		mirror jit.Mirroring
		want   []string
	}{
		"look-ups": {jit.MirrorOff, []string{
			`^region of the optimizing tier, not mirrored, head at 0x40000008 turn, physical 0x80020008: block 1 of 1, 7 guest instructions, \d+ bytes`,
			`^ +page 0 near v\d+: tag r\w+ .*, host r`,
			`^ +40000008  ld a1, ?0\(a0\) +v(\d+) = group \[v\d+\+0x0\] 24 bytes, write -> r\w+, page 0, may leave \+\w+  mov`,
			`^ +40000018  sd a1, ?16\(a0\) +store.64.grouped \[v\d+\+0x10\] = v\d+ +\+\w+  mov QWORD PTR`,
			`^ +\(out of line\) v\d+ = group `,
		}},
		"mirrored": {jit.MirrorAlways, []string{
			`^region of the optimizing tier, mirrored, head at 0x40000008 turn, physical 0x80020008: block 1 of 1, 7 guest instructions, \d+ bytes`,
			`^ +v\d+:x10 = entered -> rdi$`,
			`^ +assumed: v\d+ is in the mirror$`,
			`^ +way in`,
			`^ +to block 1 +\+000  lea rax`,
			`^ +block 1 at \+0x8, depth 1, from way in, block 1$`,
			`^ +v\d+:x5 = phi v\d+ v\d+ -> r\w+$`,
			`^ +40000008  ld a1, ?0\(a0\) +v\d+:x11 = load.64 \[v\d+\+0x0\] -> r\w+, may leave +\+\w+  mov r\w+,QWORD PTR (gs:|\[rbp)`,
			`^ +40000014  addi zero, ?zero, ?0$`,
			`^ +40000020  bne .* branch v\d+ ne 0x0 to block 1, else exit \+0x24 +\+\w+  test`,
			`^ +\(out of line\) store.64 \[v\d+\+0x10\] = v\d+`,
			`  ; Step$`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			o := jit.Options{CodeSize: 8 << 20, Mirror: c.mirror, Region: jit.RegionOptions{Every: 1, Threshold: 1, Turns: 1}}
			o.Dump = &jit.Dump{At: []uint64{windowVA + 0x14}, To: &out}
			o.Symbol = func(va uint64) (string, bool) { return "turn", va == windowVA+8 }
			m := newMachine(t, 1, o)
			for try := 0; m.jit.Stats().Regions == 0; try++ {
				if try == 100 {
					t.Fatal("the loop never becomes a region")
				}
				m.runUser(accesses(1_000_000))
			}
			if err := m.engines[0].Close(); err != nil { // nothing is listed any more
				t.Fatal(err)
			}
			_, s, _ := strings.Cut(out.String(), "\n\n")
			for _, want := range c.want {
				if !regexp.MustCompile(`(?m)` + want).MatchString(s) {
					t.Errorf("no line like %s", want)
				}
			}
			if t.Failed() {
				t.Log("\n" + s)
			}
		})
	}
}

func TestDumpChoosesByAnyAddressInABlock(t *testing.T) {
	var all bytes.Buffer
	runLoop(t, jit.Options{CodeSize: 4 << 20, Dump: &jit.Dump{All: true, To: &all}})
	total := strings.Count(all.String(), "block at ")
	if total < 2 {
		t.Fatalf("%d listings:\n%s", total, all.String())
	}
	for _, c := range []struct {
		at   uint64
		none bool
	}{{ramBase, false}, {ramBase + 4, false}, {ramBase + 0x1000, true}, {0, true}} {
		var out bytes.Buffer
		runLoop(t, jit.Options{CodeSize: 4 << 20, Dump: &jit.Dump{At: []uint64{c.at}, To: &out}})
		if n := strings.Count(out.String(), "block at "); n == total || (n == 0) != c.none {
			t.Errorf("%#x: %d of %d listings", c.at, n, total)
		}
	}
}
