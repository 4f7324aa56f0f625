package riscv

import (
	"errors"
	"strings"
	"testing"
)

// Encodings put together by hand from the field diagrams of the manuals, at least one of each format, and the assembly of
// each.
var byHand = []struct {
	raw  uint32
	text string
}{
	{0x12345537, "lui a0, 0x12345"},
	{0x00001297, "auipc t0, 0x1"},
	{0xfffff297, "auipc t0, 0xfffff"},
	{0x008000ef, "jal ra, .+8"},
	{0xffdff06f, "jal zero, .-4"},
	{0x8000006f, "jal zero, .-1048576"},
	{0x7ffff06f, "jal zero, .+1048574"},
	{0x00008067, "jalr zero, 0(ra)"},
	{0x00b50863, "beq a0, a1, .+16"},
	{0xfe051ce3, "bne a0, zero, .-8"},
	{0x80b54063, "blt a0, a1, .-4096"},
	{0x7eb57fe3, "bgeu a0, a1, .+4094"},
	{0xfec42783, "lw a5, -20(s0)"},
	{0x00054503, "lbu a0, 0(a0)"},
	{0x00113423, "sd ra, 8(sp)"},
	{0xfe010113, "addi sp, sp, -32"},
	{0x7ff57513, "andi a0, a0, 2047"},
	{0x02051513, "slli a0, a0, 0x20"},
	{0x43f55513, "srai a0, a0, 0x3f"},
	{0x41f5551b, "sraiw a0, a0, 0x1f"},
	{0x00c58533, "add a0, a1, a2"},
	{0x40c5853b, "subw a0, a1, a2"},
	{0x02b50533, "mul a0, a0, a1"},
	{0x0330000f, "fence rw, rw"},
	{0x0000100f, "fence.i"},
	{0x00000073, "ecall"},
	{0x00100073, "ebreak"},
	{0x30200073, "mret"},
	{0x10200073, "sret"},
	{0x10500073, "wfi"},
	{0x180312f3, "csrrw t0, satp, t1"},
	{0xc0102573, "csrrs a0, time, zero"},
	{0x30046073, "csrrsi zero, mstatus, 8"},
	{0x7c0ff573, "csrrci a0, 0x7c0, 31"},
	{0x12b50073, "sfence.vma a0, a1"},
	{0x16000073, "sinval.vma zero, zero"},
	{0x18000073, "sfence.w.inval"},
	{0x18100073, "sfence.inval.ir"},
	{0x1405a52f, "lr.w.aq a0, (a1)"},
	{0x1ac5b52f, "sc.d.rl a0, a2, (a1)"},
	{0x06b5202f, "amoadd.w.aqrl zero, a1, (a0)"},
	{0xe0c5b52f, "amomaxu.d a0, a2, (a1)"},
	{0x28e5262f, "amocas.w a2, a4, (a0)"},
	{0x28f536af, "amocas.d a3, a5, (a0)"},
	{0x28e5462f, "amocas.q a2, a4, (a0)"},
	{0x00452507, "flw fa0, 4(a0)"},
	{0xfe843c27, "fsd fs0, -8(s0)"},
	{0x02c5f553, "fadd.d fa0, fa1, fa2"},
	{0x18c5b553, "fdiv.s fa0, fa1, fa2, rup"},
	{0x18208043, "fmadd.s ft0, ft1, ft2, ft3, rne"},
	{0x1a20f04f, "fnmadd.d ft0, ft1, ft2, ft3"},
	{0x5a057553, "fsqrt.d fa0, fa0"},
	{0x22b50553, "fsgnj.d fa0, fa0, fa1"},
	{0xa0b52553, "feq.s a0, fa0, fa1"},
	{0xc2051553, "fcvt.w.d a0, fa0, rtz"},
	{0xd2257553, "fcvt.d.l fa0, a0"},
	{0xe2050553, "fmv.x.d a0, fa0"},
	{0xf0050553, "fmv.w.x fa0, a0"},
	{0xe0051553, "fclass.s a0, fa0"},
	{0x00251507, "flh fa0, 2(a0)"},
	{0x00a51127, "fsh fa0, 2(a0)"},
	{0xe4050553, "fmv.x.h a0, fa0"},
	{0xf4050553, "fmv.h.x fa0, a0"},
	{0x40258553, "fcvt.s.h fa0, fa1"},
	{0x4415f553, "fcvt.h.d fa0, fa1"},
	{0xf0100553, "fli.s fa0, -1.0"},
	{0xf2180553, "fli.d fa0, 1.0"},
	{0xf21f8553, "fli.d fa0, nan"},
	{0x28c5a553, "fminm.s fa0, fa1, fa2"},
	{0x2ac5b553, "fmaxm.d fa0, fa1, fa2"},
	{0x40457553, "fround.s fa0, fa0"},
	{0x42551553, "froundnx.d fa0, fa0, rtz"},
	{0xa2c5c553, "fleq.d a0, fa1, fa2"},
	{0xa0c5d553, "fltq.s a0, fa1, fa2"},
	{0xc2851553, "fcvtmod.w.d a0, fa0, rtz"},
	{0x20c5c533, "sh2add a0, a1, a2"},
	{0x08c5853b, "add.uw a0, a1, a2"},
	{0x0a85951b, "slli.uw a0, a1, 0x28"},
	{0x60059513, "clz a0, a1"},
	{0x0805c53b, "zext.h a0, a1"},
	{0x63f55513, "rori a0, a0, 0x3f"},
	{0x61f5551b, "roriw a0, a0, 0x1f"},
	{0x6b855513, "rev8 a0, a0"},
	{0x28755513, "orc.b a0, a0"},
	{0x0ac5b533, "clmulh a0, a1, a2"},
	{0x2bf51513, "bseti a0, a0, 0x3f"},
	{0x48c5d533, "bext a0, a1, a2"},
	{0x0ec5d533, "czero.eqz a0, a1, a2"},
	{0x0ec5f533, "czero.nez a0, a1, a2"},
	{0x0005200f, "cbo.inval (a0)"},
	{0x0045200f, "cbo.zero (a0)"},
	{0x02356013, "prefetch.w 32(a0)"},
	{0x00d00073, "wrs.nto"},
	{0x01d00073, "wrs.sto"},
	{0x81c5c573, "mop.r.0 a0, a1"},
	{0xcdf5c573, "mop.r.31 a0, a1"},
	{0xc6c5c573, "mop.rr.5 a0, a1, a2"},

	{0x0808, "c.addi4spn a0, sp, 16"},
	{0x2508, "c.fld fa0, 8(a0)"},
	{0x411c, "c.lw a5, 0(a0)"},
	{0x417c, "c.lw a5, 68(a0)"},
	{0x651c, "c.ld a5, 8(a0)"},
	{0xa508, "c.fsd fa0, 8(a0)"},
	{0xc11c, "c.sw a5, 0(a0)"},
	{0xe50c, "c.sd a1, 8(a0)"},
	{0x1141, "c.addi sp, -16"},
	{0x357d, "c.addiw a0, -1"},
	{0x557d, "c.li a0, -1"},
	{0x6505, "c.lui a0, 0x1"},
	{0x757d, "c.lui a0, 0xfffff"},
	{0x7139, "c.addi16sp sp, -64"},
	{0x957d, "c.srai a0, 0x3f"},
	{0x8105, "c.srli a0, 0x1"},
	{0x997d, "c.andi a0, -1"},
	{0x8d0d, "c.sub a0, a1"},
	{0x9d0d, "c.subw a0, a1"},
	{0x9d2d, "c.addw a0, a1"},
	{0xa001, "c.j .+0"},
	{0xbffd, "c.j .-2"},
	{0xc501, "c.beqz a0, .+8"},
	{0xfff5, "c.bnez a5, .-4"},
	{0x0506, "c.slli a0, 0x1"},
	{0x2442, "c.fldsp fs0, 16(sp)"},
	{0x4532, "c.lwsp a0, 12(sp)"},
	{0x60a2, "c.ldsp ra, 8(sp)"},
	{0x8082, "c.jr ra"},
	{0x852e, "c.mv a0, a1"},
	{0x9002, "c.ebreak"},
	{0x9502, "c.jalr a0"},
	{0x952e, "c.add a0, a1"},
	{0xa822, "c.fsdsp fs0, 16(sp)"},
	{0xc62a, "c.swsp a0, 12(sp)"},
	{0xe406, "c.sdsp ra, 8(sp)"},
	{0x837c, "c.lbu a5, 3(a4)"},
	{0x833c, "c.lbu a5, 2(a4)"},
	{0x873c, "c.lhu a5, 2(a4)"},
	{0x877c, "c.lh a5, 2(a4)"},
	{0x8b5c, "c.sb a5, 1(a4)"},
	{0x8f1c, "c.sh a5, 0(a4)"},
	{0x9d61, "c.zext.b a0"},
	{0x9d65, "c.sext.b a0"},
	{0x9d69, "c.zext.h a0"},
	{0x9d6d, "c.sext.h a0"},
	{0x9d71, "c.zext.w a0"},
	{0x9d75, "c.not a0"},
	{0x9d4d, "c.mul a0, a1"},
	{0x6281, "c.mop.5"},

	{0x0000, ".half 0x0000"},
	{0xffffffff, ".word 0xffffffff"},
}

func TestEncodingsByHand(t *testing.T) {
	formatsSeen := map[Format]bool{}
	for _, c := range byHand {
		i := Decode(c.raw)
		formatsSeen[i.Op.Spec().Format] = true
		if got := i.String(); got != c.text {
			t.Errorf("%#x is %q, want %q", c.raw, got, c.text)
		}
		if i.Op == ILLEGAL {
			continue
		}
		if raw, err := Encode(i); err != nil || raw != c.raw {
			t.Errorf("%s encodes as %#x, %v, want %#x", c.text, raw, err, c.raw)
		}
	}
	for op := Op(0); int(op) < NumOps; op++ {
		if f := op.Spec().Format; !formatsSeen[f] && f != FormatCNOP {
			t.Errorf("no encoding by hand for the format of %s", op)
			formatsSeen[f] = true
		}
	}
}

func TestDisassembleKnowsTheAddress(t *testing.T) {
	for _, c := range []struct {
		raw  uint32
		pc   uint64
		want string
	}{
		{0x008000ef, 0x80000000, "jal ra, 0x80000008"},
		{0xfe051ce3, 0xffffffff80000000, "bne a0, zero, 0xffffffff7ffffff8"},
		{0xbffd, 0, "c.j 0xfffffffffffffffe"},
		{0x00c58533, 0x1000, "add a0, a1, a2"},
	} {
		if got := Disassemble(Decode(c.raw), c.pc); got != c.want {
			t.Errorf("%#x at %#x is %q, want %q", c.raw, c.pc, got, c.want)
		}
	}
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	for _, c := range []struct {
		inst Inst
		want string // part of the message
	}{
		{Inst{Op: ILLEGAL}, "no encoding"},
		{Inst{Op: Op(NumOps)}, "no encoding"},
		{Inst{Op: ADDI, Imm: 2048}, "Imm 2048 does not fit"},
		{Inst{Op: ADDI, Imm: -2049}, "Imm -2049 does not fit"},
		{Inst{Op: SLLI, Imm: 64}, "Imm 64 does not fit"},
		{Inst{Op: SLLIW, Imm: 32}, "Imm 32 does not fit"},
		{Inst{Op: JAL, Imm: 1}, "Imm 1 does not fit"},
		{Inst{Op: BEQ, Imm: 4096}, "Imm 4096 does not fit"},
		{Inst{Op: LUI, Imm: 1}, "Imm 1 does not fit"},
		{Inst{Op: CSRRW, Imm: 4096}, "Imm 4096 does not fit"},
		{Inst{Op: ADD, Rd: 32}, "Rd 32 does not fit"},
		{Inst{Op: ADD, Rs2: 33}, "Rs2 33 does not fit"},
		{Inst{Op: ADD, Imm: 4}, "Imm 4 does not fit"},
		{Inst{Op: ADD, Rs3: 1}, "Rs3 1 does not fit"},
		{Inst{Op: ECALL, Rd: 1}, "Rd 1 does not fit"},
		{Inst{Op: LR_W, Rs2: 1}, "Rs2 1 does not fit"},
		{Inst{Op: AMOADD_W, Rm: 4}, "Rm 4 does not fit"},
		{Inst{Op: FADD_D, Rm: 5}, "reserved"},
		{Inst{Op: FADD_D, Rm: 8}, "Rm 8 does not fit"},
		{Inst{Op: AMOCAS_Q, Rd: 1}, "reserved"},
		{Inst{Op: C_LW, Rd: 7, Rs1: 8}, "Rd 7 does not fit"},
		{Inst{Op: C_LW, Rd: 8, Rs1: 8, Imm: 2}, "Imm 2 does not fit"},
		{Inst{Op: C_ADDI, Rd: 1, Rs1: 2, Imm: 1}, "does not fit"},
		{Inst{Op: C_ADDI4SPN, Rd: 8, Rs1: 2}, "reserved"},
		{Inst{Op: C_LWSP, Rs1: 2, Imm: 4}, "reserved"},
		{Inst{Op: C_LUI, Rd: 2, Imm: 4096}, "means c.addi16sp"},
		{Inst{Op: C_LUI, Rd: 5}, "means c.mop.5"},
		{Inst{Op: C_MV, Rd: 5}, "means c.jr"},
		{Inst{Op: C_ADDI, Imm: 5}, "means c.nop"},
		{Inst{Op: ORI, Rs1: 1, Imm: 3}, "means prefetch.w"},
		{Inst{Op: C_MOP_N, Imm: 2}, "Imm 2 does not fit"},
		{Inst{Op: C_NOT, Rd: 8, Rs1: 8}, "Imm 0 does not fit"},
	} {
		raw, err := Encode(c.inst)
		if err == nil {
			t.Errorf("%+v encodes as %#x", c.inst, raw)
			continue
		}
		var operand *OperandError
		if !errors.As(err, &operand) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.inst, err, c.want)
		}
	}
}
