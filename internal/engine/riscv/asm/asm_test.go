package asm_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

// listing disassembles code, one instruction a line.
func listing(code []byte, pc uint64) []string {
	var lines []string
	for len(code) > 0 {
		var word [4]byte
		copy(word[:], code)
		i := riscv.Decode(binary.LittleEndian.Uint32(word[:]))
		lines = append(lines, riscv.Disassemble(i, pc))
		n := min(int(i.Len), len(code))
		code, pc = code[n:], pc+uint64(n)
	}
	return lines
}

func assemble(t *testing.T, a *asm.Assembler) []byte {
	t.Helper()
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func expect(t *testing.T, a *asm.Assembler, want ...string) {
	t.Helper()
	got := listing(assemble(t, a), a.Base())
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestInstructionShapes(t *testing.T) {
	a := asm.New(0)
	a.Op(riscv.ECALL)
	a.R(riscv.SH1ADD, asm.A0, asm.A1, asm.A2)
	a.R1(riscv.CLZ, asm.A0, asm.A1)
	a.I(riscv.ADDI, asm.SP, asm.SP, -16)
	a.I(riscv.SLLI, asm.T0, asm.T1, 63)
	a.U(riscv.LUI, asm.A0, -4096)
	a.Load(riscv.LD, asm.RA, 8, asm.SP)
	a.Store(riscv.SD, asm.RA, 8, asm.SP)
	a.Load(riscv.FLD, asm.FA0, -8, asm.FP)
	a.Store(riscv.FSW, asm.FT11, 0, asm.GP)
	a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSatp, asm.T6)
	a.CSR(riscv.CSRRSI, asm.Zero, riscv.CSRMstatus, 8)
	a.AMO(riscv.LR_D, asm.A0, 0, asm.A1, asm.AQ)
	a.AMO(riscv.SC_D, asm.A0, asm.A2, asm.A1, asm.RL)
	a.AMO(riscv.AMOSWAP_W, asm.A0, asm.A2, asm.A1, asm.AQRL)
	a.F(riscv.FADD_D, asm.FA0, asm.FA1, asm.FA2, asm.DYN)
	a.F(riscv.FCVT_W_D, asm.A0, asm.FA1, 0, asm.RTZ)
	a.FMA(riscv.FMADD_S, asm.FT0, asm.FT1, asm.FT2, asm.FT3, asm.RMM)
	a.Fence(0b0011, 0b1111)
	a.Nop()
	a.Mv(asm.S0, asm.A0)
	a.Ret()
	a.Emit(riscv.Inst{Op: riscv.C_LI, Rd: asm.A0, Imm: -1})
	a.Emit(riscv.Inst{Op: riscv.C_EBREAK})
	expect(t, a,
		"ecall",
		"sh1add a0, a1, a2",
		"clz a0, a1",
		"addi sp, sp, -16",
		"slli t0, t1, 0x3f",
		"lui a0, 0xfffff",
		"ld ra, 8(sp)",
		"sd ra, 8(sp)",
		"fld fa0, -8(s0)",
		"fsw ft11, 0(gp)",
		"csrrw zero, satp, t6",
		"csrrsi zero, mstatus, 8",
		"lr.d.aq a0, (a1)",
		"sc.d.rl a0, a2, (a1)",
		"amoswap.w.aqrl a0, a2, (a1)",
		"fadd.d fa0, fa1, fa2",
		"fcvt.w.d a0, fa1, rtz",
		"fmadd.s ft0, ft1, ft2, ft3, rmm",
		"fence rw, iorw",
		"addi zero, zero, 0",
		"addi s0, a0, 0",
		"jalr zero, 0(ra)",
		"c.li a0, -1",
		"c.ebreak",
	)
}

func TestLabelsBothWays(t *testing.T) {
	a := asm.New(0x8000_0000)
	a.Label("top")
	a.B(riscv.BEQ, asm.A0, asm.Zero, "end")
	a.EmitTo(riscv.Inst{Op: riscv.C_J}, "end")
	a.EmitTo(riscv.Inst{Op: riscv.C_BNEZ, Rs1: asm.A0}, "top")
	a.J("top")
	a.Call("end")
	a.Label("end")
	a.Jal(asm.T0, "end")
	expect(t, a,
		"beq a0, zero, 0x80000010",
		"c.j 0x80000010",
		"c.bnez a0, 0x80000000",
		"jal zero, 0x80000000",
		"jal ra, 0x80000010",
		"jal t0, 0x80000010",
	)
	if at, ok := a.Address("end"); !ok || at != 0x80000010 {
		t.Errorf("end is at %#x, %v", at, ok)
	}
	if got := a.Labels(); len(got) != 2 || got["top"] != 0x80000000 {
		t.Errorf("labels are %v", got)
	}
}

// run executes the few instructions that Li and La are made of.
func run(t *testing.T, code []byte, pc uint64, rd uint8) (value uint64, count int) {
	t.Helper()
	var x [32]uint64
	for ; len(code) > 0; code = code[4:] {
		i := riscv.Decode(binary.LittleEndian.Uint32(code))
		switch imm := uint64(int64(i.Imm)); i.Op {
		case riscv.LUI:
			x[i.Rd] = imm
		case riscv.AUIPC:
			x[i.Rd] = pc + imm
		case riscv.ADDI:
			x[i.Rd] = x[i.Rs1] + imm
		case riscv.ADDIW:
			x[i.Rd] = uint64(int32(x[i.Rs1] + imm))
		case riscv.SLLI:
			x[i.Rd] = x[i.Rs1] << imm
		default:
			t.Fatalf("unexpected %s", i)
		}
		pc += 4
		count++
	}
	return x[rd], count
}

func TestLi(t *testing.T) {
	values := []int64{
		0, 1, -1, 2047, 2048, -2048, -2049, 4096, 0x7fffffff, 0x7ffff7ff, 0x7ffff800, -0x80000000, 0x80000000, 0xffffffff,
		0x100000000, -0x80000001, 0x8000_0000_0000, 0x1234_5678_9abc_def0, math.MaxInt64, math.MinInt64, math.MaxInt64 - 2048,
		0x7ff0_0000_0000_0000, 0x0000_7fff_ffff_f000, -0x1000,
	}
	random := rand.New(rand.NewPCG(7, 8))
	for range 20_000 {
		values = append(values, int64(random.Uint64())>>random.UintN(64)<<random.UintN(20))
	}
	for _, v := range values {
		a := asm.New(0)
		a.Li(asm.A0, v)
		got, count := run(t, assemble(t, a), 0, asm.A0)
		if int64(got) != v {
			t.Fatalf("li %#x gives %#x", v, got)
		}
		if count > 8 {
			t.Fatalf("li %#x takes %d instructions", v, count)
		}
	}
}

func TestLa(t *testing.T) {
	for _, distance := range []int{0, 4, 2040, 2048, 4096, 6144, 100_000} {
		for _, forward := range []bool{true, false} {
			a := asm.New(0x8000_0000)
			start := 0
			if forward {
				a.La(asm.A0, "there")
				a.Space(distance)
				a.Label("there")
			} else {
				a.Label("there")
				a.Space(distance)
				start = distance
				a.La(asm.A0, "there")
			}
			code := assemble(t, a)[start:][:8]
			want, _ := a.Address("there")
			if got, _ := run(t, code, a.Base()+uint64(start), asm.A0); got != want {
				t.Errorf("la over %d bytes, forward %v: %#x, want %#x", distance, forward, got, want)
			}
		}
	}
}

func TestData(t *testing.T) {
	a := asm.New(0x1000)
	a.Data(1, 2, 3)
	a.Align(4)
	a.Half(0x1234)
	a.Align(8)
	a.Word(0xdeadbeef, 1)
	a.Dword(0x0102030405060708)
	a.DwordOf("text")
	a.Space(2)
	a.Label("text")
	a.Asciz("hi")
	want := []byte{
		1, 2, 3, 0, 0x34, 0x12, 0x01, 0x00, 0xef, 0xbe, 0xad, 0xde, 1, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1,
		0x22, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', 0,
	}
	if got := assemble(t, a); !bytes.Equal(got, want) {
		t.Errorf("got  % x\nwant % x", got, want)
	}
	if a.PC() != 0x1000+uint64(len(want)) {
		t.Errorf("PC is %#x", a.PC())
	}
}

func TestMistakesAreReported(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(a *asm.Assembler)
		want  string
	}{
		{"operand", func(a *asm.Assembler) { a.Nop(); a.I(riscv.ADDI, asm.A0, asm.A0, 5000) }, "at 0x1004: riscv: addi: Imm 5000 does not fit"},
		{"no label", func(a *asm.Assembler) { a.J("nowhere") }, `at 0x1000: label "nowhere" is not given anywhere`},
		{"no label for data", func(a *asm.Assembler) { a.DwordOf("nowhere") }, `label "nowhere" is not given`},
		{"label twice", func(a *asm.Assembler) { a.Label("x"); a.Label("x") }, `label "x" is given twice`},
		{"far branch", func(a *asm.Assembler) {
			a.B(riscv.BEQ, 0, 0, "far")
			a.Space(4096)
			a.Label("far")
		}, `label "far" is 4100 bytes away`},
		{"odd branch", func(a *asm.Assembler) { a.J("odd"); a.Data(0); a.Label("odd") }, "Imm 5 does not fit"},
		{"alignment", func(a *asm.Assembler) { a.Align(3) }, "not a power of two"},
	} {
		a := asm.New(0x1000)
		c.write(a)
		if code, err := a.Bytes(); err == nil || code != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestBytesCanBeTakenAgain(t *testing.T) {
	a := asm.New(0)
	a.J("end")
	if _, err := a.Bytes(); err == nil {
		t.Error("a label that is not there yet is not missed")
	}
	a.Label("end")
	first := assemble(t, a)
	a.Nop()
	second := assemble(t, a)
	if len(first) != 4 || len(second) != 8 || !bytes.Equal(first, second[:4]) {
		t.Errorf("got % x, then % x", first, second)
	}
}

func Example() {
	a := asm.New(0x8000_0000)
	a.Li(asm.T0, 1_000_000)
	a.Label("loop")
	a.I(riscv.ADDI, asm.T0, asm.T0, -1)
	a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
	a.Op(riscv.WFI)
	code, err := a.Bytes()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, line := range listing(code, a.Base()) {
		fmt.Println(line)
	}
	// Output:
	// lui t0, 0xf4
	// addiw t0, t0, 576
	// addi t0, t0, -1
	// bne t0, zero, 0x80000008
	// wfi
}
