package rv64

// The table: what each RISC-V instruction is in the intermediate form. What is not in it is a Step.

import (
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
)

// shape says where operands come from.
type shape uint8

const (
	shapeStep   shape = iota
	shapeNop          // no effect
	shapeRR           // rd, rs1, rs2
	shapeRI           // rd, rs1, imm
	shapeR            // rd, rs1
	shapeLUI          // rd, imm
	shapeAUIPC        // rd, address of the instruction + imm
	shapeLoad         // rd, imm(rs1)
	shapeStore        // rs2, imm(rs1)
	shapeBranch       // rs1, rs2, target
	shapeJAL
	shapeJALR
	shapeAMO    // rd, rs2, (rs1)
	shapeCSR    // rd, csr, rs1
	shapeCSRI   // rd, csr, zimm
	shapeSystem // ends the block, and knows by itself
	shapeHost   // done by the engine
	shapeFenceVMA
	shapeFence
	shapeFRRR // f registers: rd, rs1, rs2, rs3, rm
	shapeFRR
	shapeFR
	shapeFCmp // rd is an x register
	shapeFToX
	shapeXToF
)

type row struct {
	shape shape
	op    ir.Op
	width ir.Width
	flags ir.Flag
	cond  ir.Cond
}

var table = [riscv.NumOps]row{
	riscv.LUI:   {shape: shapeLUI},
	riscv.AUIPC: {shape: shapeAUIPC},
	riscv.JAL:   {shape: shapeJAL},
	riscv.JALR:  {shape: shapeJALR},

	riscv.BEQ:  {shape: shapeBranch, cond: ir.EQ},
	riscv.BNE:  {shape: shapeBranch, cond: ir.NE},
	riscv.BLT:  {shape: shapeBranch, cond: ir.LT},
	riscv.BGE:  {shape: shapeBranch, cond: ir.GE},
	riscv.BLTU: {shape: shapeBranch, cond: ir.LTU},
	riscv.BGEU: {shape: shapeBranch, cond: ir.GEU},

	riscv.LB:  {shapeLoad, ir.Load, ir.W8, ir.Signed, 0},
	riscv.LH:  {shapeLoad, ir.Load, ir.W16, ir.Signed, 0},
	riscv.LW:  {shapeLoad, ir.Load, ir.W32, ir.Signed, 0},
	riscv.LD:  {shapeLoad, ir.Load, ir.W64, 0, 0},
	riscv.LBU: {shapeLoad, ir.Load, ir.W8, 0, 0},
	riscv.LHU: {shapeLoad, ir.Load, ir.W16, 0, 0},
	riscv.LWU: {shapeLoad, ir.Load, ir.W32, 0, 0},
	riscv.SB:  {shapeStore, ir.Store, ir.W8, 0, 0},
	riscv.SH:  {shapeStore, ir.Store, ir.W16, 0, 0},
	riscv.SW:  {shapeStore, ir.Store, ir.W32, 0, 0},
	riscv.SD:  {shapeStore, ir.Store, ir.W64, 0, 0},

	riscv.ADDI:  {shapeRI, ir.Add, ir.W64, 0, 0},
	riscv.SLTI:  {shapeRI, ir.SetLT, ir.W64, 0, 0},
	riscv.SLTIU: {shapeRI, ir.SetLTU, ir.W64, 0, 0},
	riscv.XORI:  {shapeRI, ir.Xor, ir.W64, 0, 0},
	riscv.ORI:   {shapeRI, ir.Or, ir.W64, 0, 0},
	riscv.ANDI:  {shapeRI, ir.And, ir.W64, 0, 0},
	riscv.SLLI:  {shapeRI, ir.Shl, ir.W64, 0, 0},
	riscv.SRLI:  {shapeRI, ir.Shr, ir.W64, 0, 0},
	riscv.SRAI:  {shapeRI, ir.Sar, ir.W64, 0, 0},
	riscv.ADDIW: {shapeRI, ir.Add, ir.W32, 0, 0},
	riscv.SLLIW: {shapeRI, ir.Shl, ir.W32, 0, 0},
	riscv.SRLIW: {shapeRI, ir.Shr, ir.W32, 0, 0},
	riscv.SRAIW: {shapeRI, ir.Sar, ir.W32, 0, 0},

	riscv.ADD:  {shapeRR, ir.Add, ir.W64, 0, 0},
	riscv.SUB:  {shapeRR, ir.Sub, ir.W64, 0, 0},
	riscv.SLL:  {shapeRR, ir.Shl, ir.W64, 0, 0},
	riscv.SLT:  {shapeRR, ir.SetLT, ir.W64, 0, 0},
	riscv.SLTU: {shapeRR, ir.SetLTU, ir.W64, 0, 0},
	riscv.XOR:  {shapeRR, ir.Xor, ir.W64, 0, 0},
	riscv.SRL:  {shapeRR, ir.Shr, ir.W64, 0, 0},
	riscv.SRA:  {shapeRR, ir.Sar, ir.W64, 0, 0},
	riscv.OR:   {shapeRR, ir.Or, ir.W64, 0, 0},
	riscv.AND:  {shapeRR, ir.And, ir.W64, 0, 0},
	riscv.ADDW: {shapeRR, ir.Add, ir.W32, 0, 0},
	riscv.SUBW: {shapeRR, ir.Sub, ir.W32, 0, 0},
	riscv.SLLW: {shapeRR, ir.Shl, ir.W32, 0, 0},
	riscv.SRLW: {shapeRR, ir.Shr, ir.W32, 0, 0},
	riscv.SRAW: {shapeRR, ir.Sar, ir.W32, 0, 0},

	riscv.MUL:    {shapeRR, ir.Mul, ir.W64, 0, 0},
	riscv.MULH:   {shapeRR, ir.MulHS, ir.W64, 0, 0},
	riscv.MULHSU: {shapeRR, ir.MulHSU, ir.W64, 0, 0},
	riscv.MULHU:  {shapeRR, ir.MulHU, ir.W64, 0, 0},
	riscv.DIV:    {shapeRR, ir.DivS, ir.W64, 0, 0},
	riscv.DIVU:   {shapeRR, ir.DivU, ir.W64, 0, 0},
	riscv.REM:    {shapeRR, ir.RemS, ir.W64, 0, 0},
	riscv.REMU:   {shapeRR, ir.RemU, ir.W64, 0, 0},
	riscv.MULW:   {shapeRR, ir.Mul, ir.W32, 0, 0},
	riscv.DIVW:   {shapeRR, ir.DivS, ir.W32, 0, 0},
	riscv.DIVUW:  {shapeRR, ir.DivU, ir.W32, 0, 0},
	riscv.REMW:   {shapeRR, ir.RemS, ir.W32, 0, 0},
	riscv.REMUW:  {shapeRR, ir.RemU, ir.W32, 0, 0},

	riscv.ADD_UW:    {shapeRR, ir.ShiftAddU, ir.W64, 0, 0},
	riscv.SH1ADD:    {shapeRR, ir.ShiftAdd, ir.W64, 0, 1},
	riscv.SH2ADD:    {shapeRR, ir.ShiftAdd, ir.W64, 0, 2},
	riscv.SH3ADD:    {shapeRR, ir.ShiftAdd, ir.W64, 0, 3},
	riscv.SH1ADD_UW: {shapeRR, ir.ShiftAddU, ir.W64, 0, 1},
	riscv.SH2ADD_UW: {shapeRR, ir.ShiftAddU, ir.W64, 0, 2},
	riscv.SH3ADD_UW: {shapeRR, ir.ShiftAddU, ir.W64, 0, 3},
	riscv.SLLI_UW:   {shapeRI, ir.ShlU, ir.W64, 0, 0},

	riscv.ANDN:   {shapeRR, ir.AndNot, ir.W64, 0, 0},
	riscv.ORN:    {shapeRR, ir.OrNot, ir.W64, 0, 0},
	riscv.XNOR:   {shapeRR, ir.XorNot, ir.W64, 0, 0},
	riscv.MIN:    {shapeRR, ir.MinS, ir.W64, 0, 0},
	riscv.MINU:   {shapeRR, ir.MinU, ir.W64, 0, 0},
	riscv.MAX:    {shapeRR, ir.MaxS, ir.W64, 0, 0},
	riscv.MAXU:   {shapeRR, ir.MaxU, ir.W64, 0, 0},
	riscv.ROL:    {shapeRR, ir.RotL, ir.W64, 0, 0},
	riscv.ROR:    {shapeRR, ir.RotR, ir.W64, 0, 0},
	riscv.ROLW:   {shapeRR, ir.RotL, ir.W32, 0, 0},
	riscv.RORW:   {shapeRR, ir.RotR, ir.W32, 0, 0},
	riscv.RORI:   {shapeRI, ir.RotR, ir.W64, 0, 0},
	riscv.RORIW:  {shapeRI, ir.RotR, ir.W32, 0, 0},
	riscv.CLZ:    {shapeR, ir.Clz, ir.W64, 0, 0},
	riscv.CTZ:    {shapeR, ir.Ctz, ir.W64, 0, 0},
	riscv.CPOP:   {shapeR, ir.Popcnt, ir.W64, 0, 0},
	riscv.CLZW:   {shapeR, ir.Clz, ir.W32, 0, 0},
	riscv.CTZW:   {shapeR, ir.Ctz, ir.W32, 0, 0},
	riscv.CPOPW:  {shapeR, ir.Popcnt, ir.W32, 0, 0},
	riscv.SEXT_B: {shapeR, ir.SignExtend, ir.W8, 0, 0},
	riscv.SEXT_H: {shapeR, ir.SignExtend, ir.W16, 0, 0},
	riscv.ZEXT_H: {shapeR, ir.ZeroExtend, ir.W16, 0, 0},
	riscv.ORC_B:  {shapeR, ir.OrBytes, ir.W64, 0, 0},
	riscv.REV8:   {shapeR, ir.ByteSwap, ir.W64, 0, 0},

	riscv.CLMUL:  {shapeRR, ir.ClMul, ir.W64, 0, 0},
	riscv.CLMULR: {shapeRR, ir.ClMulR, ir.W64, 0, 0},
	riscv.CLMULH: {shapeRR, ir.ClMulH, ir.W64, 0, 0},

	riscv.BSET:  {shapeRR, ir.BitSet, ir.W64, 0, 0},
	riscv.BCLR:  {shapeRR, ir.BitClear, ir.W64, 0, 0},
	riscv.BINV:  {shapeRR, ir.BitInvert, ir.W64, 0, 0},
	riscv.BEXT:  {shapeRR, ir.BitExtract, ir.W64, 0, 0},
	riscv.BSETI: {shapeRI, ir.BitSet, ir.W64, 0, 0},
	riscv.BCLRI: {shapeRI, ir.BitClear, ir.W64, 0, 0},
	riscv.BINVI: {shapeRI, ir.BitInvert, ir.W64, 0, 0},
	riscv.BEXTI: {shapeRI, ir.BitExtract, ir.W64, 0, 0},

	riscv.CZERO_EQZ: {shapeRR, ir.ZeroIfZero, ir.W64, 0, 0},
	riscv.CZERO_NEZ: {shapeRR, ir.ZeroIfNonzero, ir.W64, 0, 0},

	riscv.LR_W:      {shapeAMO, ir.LoadReserved, ir.W32, 0, 0},
	riscv.SC_W:      {shapeAMO, ir.StoreConditional, ir.W32, 0, 0},
	riscv.AMOSWAP_W: {shapeAMO, ir.AtomicSwap, ir.W32, 0, 0},
	riscv.AMOADD_W:  {shapeAMO, ir.AtomicAdd, ir.W32, 0, 0},
	riscv.AMOXOR_W:  {shapeAMO, ir.AtomicXor, ir.W32, 0, 0},
	riscv.AMOAND_W:  {shapeAMO, ir.AtomicAnd, ir.W32, 0, 0},
	riscv.AMOOR_W:   {shapeAMO, ir.AtomicOr, ir.W32, 0, 0},
	riscv.AMOMIN_W:  {shapeAMO, ir.AtomicMinS, ir.W32, 0, 0},
	riscv.AMOMAX_W:  {shapeAMO, ir.AtomicMaxS, ir.W32, 0, 0},
	riscv.AMOMINU_W: {shapeAMO, ir.AtomicMinU, ir.W32, 0, 0},
	riscv.AMOMAXU_W: {shapeAMO, ir.AtomicMaxU, ir.W32, 0, 0},
	riscv.LR_D:      {shapeAMO, ir.LoadReserved, ir.W64, 0, 0},
	riscv.SC_D:      {shapeAMO, ir.StoreConditional, ir.W64, 0, 0},
	riscv.AMOSWAP_D: {shapeAMO, ir.AtomicSwap, ir.W64, 0, 0},
	riscv.AMOADD_D:  {shapeAMO, ir.AtomicAdd, ir.W64, 0, 0},
	riscv.AMOXOR_D:  {shapeAMO, ir.AtomicXor, ir.W64, 0, 0},
	riscv.AMOAND_D:  {shapeAMO, ir.AtomicAnd, ir.W64, 0, 0},
	riscv.AMOOR_D:   {shapeAMO, ir.AtomicOr, ir.W64, 0, 0},
	riscv.AMOMIN_D:  {shapeAMO, ir.AtomicMinS, ir.W64, 0, 0},
	riscv.AMOMAX_D:  {shapeAMO, ir.AtomicMaxS, ir.W64, 0, 0},
	riscv.AMOMINU_D: {shapeAMO, ir.AtomicMinU, ir.W64, 0, 0},
	riscv.AMOMAXU_D: {shapeAMO, ir.AtomicMaxU, ir.W64, 0, 0},
	riscv.AMOCAS_W:  {shapeAMO, ir.CompareSwap, ir.W32, 0, 0},
	riscv.AMOCAS_D:  {shapeAMO, ir.CompareSwap, ir.W64, 0, 0},

	riscv.FENCE: {shape: shapeFence},

	riscv.CSRRW:  {shape: shapeCSR, op: ir.WriteCSR},
	riscv.CSRRS:  {shape: shapeCSR, op: ir.SetCSR},
	riscv.CSRRC:  {shape: shapeCSR, op: ir.ClearCSR},
	riscv.CSRRWI: {shape: shapeCSRI, op: ir.WriteCSR},
	riscv.CSRRSI: {shape: shapeCSRI, op: ir.SetCSR},
	riscv.CSRRCI: {shape: shapeCSRI, op: ir.ClearCSR},
	riscv.ECALL:  {shape: shapeSystem, op: ir.Ecall},
	riscv.SRET:   {shape: shapeSystem, op: ir.TrapReturn},

	riscv.SFENCE_VMA: {shape: shapeFenceVMA},
	riscv.SINVAL_VMA: {shape: shapeFenceVMA},
	riscv.FENCE_I:    {shape: shapeHost},

	riscv.CBO_ZERO:   {shapeAMO, ir.ZeroBlock, ir.W64, 0, 0},
	riscv.PREFETCH_I: {shape: shapeNop},
	riscv.PREFETCH_R: {shape: shapeNop},
	riscv.PREFETCH_W: {shape: shapeNop},

	riscv.FLW: {shapeLoad, ir.FLoad, ir.W32, ir.Single, 0},
	riscv.FLD: {shapeLoad, ir.FLoad, ir.W64, 0, 0},
	riscv.FSW: {shapeStore, ir.FStore, ir.W32, ir.Single, 0},
	riscv.FSD: {shapeStore, ir.FStore, ir.W64, 0, 0},

	riscv.FMADD_S:  {shapeFRRR, ir.FMulAdd, ir.W32, ir.Single, 0},
	riscv.FMSUB_S:  {shapeFRRR, ir.FMulSub, ir.W32, ir.Single, 0},
	riscv.FNMADD_S: {shapeFRRR, ir.FNegMulAdd, ir.W32, ir.Single, 0},
	riscv.FNMSUB_S: {shapeFRRR, ir.FNegMulSub, ir.W32, ir.Single, 0},
	riscv.FADD_S:   {shapeFRR, ir.FAdd, ir.W32, ir.Single, 0},
	riscv.FSUB_S:   {shapeFRR, ir.FSub, ir.W32, ir.Single, 0},
	riscv.FMUL_S:   {shapeFRR, ir.FMul, ir.W32, ir.Single, 0},
	riscv.FDIV_S:   {shapeFRR, ir.FDiv, ir.W32, ir.Single, 0},
	riscv.FSQRT_S:  {shapeFR, ir.FSqrt, ir.W32, ir.Single, 0},
	riscv.FSGNJ_S:  {shapeFRR, ir.FSgnj, ir.W32, ir.Single, 0},
	riscv.FSGNJN_S: {shapeFRR, ir.FSgnjN, ir.W32, ir.Single, 0},
	riscv.FSGNJX_S: {shapeFRR, ir.FSgnjX, ir.W32, ir.Single, 0},
	riscv.FMIN_S:   {shapeFRR, ir.FMin, ir.W32, ir.Single, 0},
	riscv.FMAX_S:   {shapeFRR, ir.FMax, ir.W32, ir.Single, 0},
	riscv.FEQ_S:    {shapeFCmp, ir.FEq, ir.W32, ir.Single, 0},
	riscv.FLT_S:    {shapeFCmp, ir.FLt, ir.W32, ir.Single, 0},
	riscv.FLE_S:    {shapeFCmp, ir.FLe, ir.W32, ir.Single, 0},
	riscv.FCLASS_S: {shapeFToX, ir.FClass, ir.W32, ir.Single, 0},

	riscv.FMADD_D:  {shapeFRRR, ir.FMulAdd, ir.W64, 0, 0},
	riscv.FMSUB_D:  {shapeFRRR, ir.FMulSub, ir.W64, 0, 0},
	riscv.FNMADD_D: {shapeFRRR, ir.FNegMulAdd, ir.W64, 0, 0},
	riscv.FNMSUB_D: {shapeFRRR, ir.FNegMulSub, ir.W64, 0, 0},
	riscv.FADD_D:   {shapeFRR, ir.FAdd, ir.W64, 0, 0},
	riscv.FSUB_D:   {shapeFRR, ir.FSub, ir.W64, 0, 0},
	riscv.FMUL_D:   {shapeFRR, ir.FMul, ir.W64, 0, 0},
	riscv.FDIV_D:   {shapeFRR, ir.FDiv, ir.W64, 0, 0},
	riscv.FSQRT_D:  {shapeFR, ir.FSqrt, ir.W64, 0, 0},
	riscv.FSGNJ_D:  {shapeFRR, ir.FSgnj, ir.W64, 0, 0},
	riscv.FSGNJN_D: {shapeFRR, ir.FSgnjN, ir.W64, 0, 0},
	riscv.FSGNJX_D: {shapeFRR, ir.FSgnjX, ir.W64, 0, 0},
	riscv.FMIN_D:   {shapeFRR, ir.FMin, ir.W64, 0, 0},
	riscv.FMAX_D:   {shapeFRR, ir.FMax, ir.W64, 0, 0},
	riscv.FEQ_D:    {shapeFCmp, ir.FEq, ir.W64, 0, 0},
	riscv.FLT_D:    {shapeFCmp, ir.FLt, ir.W64, 0, 0},
	riscv.FLE_D:    {shapeFCmp, ir.FLe, ir.W64, 0, 0},
	riscv.FCLASS_D: {shapeFToX, ir.FClass, ir.W64, 0, 0},

	riscv.FCVT_W_S:  {shapeFToX, ir.FToInt, ir.W32, ir.Single | ir.Signed, 0},
	riscv.FCVT_WU_S: {shapeFToX, ir.FToInt, ir.W32, ir.Single, 0},
	riscv.FCVT_L_S:  {shapeFToX, ir.FToInt, ir.W64, ir.Single | ir.Signed, 0},
	riscv.FCVT_LU_S: {shapeFToX, ir.FToInt, ir.W64, ir.Single, 0},
	riscv.FCVT_W_D:  {shapeFToX, ir.FToInt, ir.W32, ir.Signed, 0},
	riscv.FCVT_WU_D: {shapeFToX, ir.FToInt, ir.W32, 0, 0},
	riscv.FCVT_L_D:  {shapeFToX, ir.FToInt, ir.W64, ir.Signed, 0},
	riscv.FCVT_LU_D: {shapeFToX, ir.FToInt, ir.W64, 0, 0},
	riscv.FCVT_S_W:  {shapeXToF, ir.FFromInt, ir.W32, ir.Single | ir.Signed, 0},
	riscv.FCVT_S_WU: {shapeXToF, ir.FFromInt, ir.W32, ir.Single, 0},
	riscv.FCVT_S_L:  {shapeXToF, ir.FFromInt, ir.W64, ir.Single | ir.Signed, 0},
	riscv.FCVT_S_LU: {shapeXToF, ir.FFromInt, ir.W64, ir.Single, 0},
	riscv.FCVT_D_W:  {shapeXToF, ir.FFromInt, ir.W32, ir.Signed, 0},
	riscv.FCVT_D_WU: {shapeXToF, ir.FFromInt, ir.W32, 0, 0},
	riscv.FCVT_D_L:  {shapeXToF, ir.FFromInt, ir.W64, ir.Signed, 0},
	riscv.FCVT_D_LU: {shapeXToF, ir.FFromInt, ir.W64, 0, 0},
	riscv.FCVT_S_D:  {shapeFR, ir.FNarrow, ir.W32, ir.Single, 0},
	riscv.FCVT_D_S:  {shapeFR, ir.FWiden, ir.W64, 0, 0},
	riscv.FMV_X_W:   {shapeFToX, ir.FToBits, ir.W32, ir.Single, 0},
	riscv.FMV_X_D:   {shapeFToX, ir.FToBits, ir.W64, 0, 0},
	riscv.FMV_W_X:   {shapeXToF, ir.FFromBits, ir.W32, ir.Single, 0},
	riscv.FMV_D_X:   {shapeXToF, ir.FFromBits, ir.W64, 0, 0},
}
