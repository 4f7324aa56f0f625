package riscv

// The operation codes: one constant for each row of the table in table.go, named after the mnemonic in upper case with
// "." written "_". Operations of 32-bit encodings come first, so that an engine that works on expanded instructions
// (Inst.Expand) switches over a dense range; the compressed ones follow from C_ADDI4SPN on.

// Op is an operation: an index into the table of instructions.
type Op uint16

// ILLEGAL is what every reserved or unknown encoding decodes to. Inst.Imm then holds the encoding itself, as mtval wants it.
const ILLEGAL Op = 0

const (
	// RV32I and RV64I.
	LUI Op = iota + 1
	AUIPC
	JAL
	JALR
	BEQ
	BNE
	BLT
	BGE
	BLTU
	BGEU
	LB
	LH
	LW
	LD
	LBU
	LHU
	LWU
	SB
	SH
	SW
	SD
	ADDI
	SLTI
	SLTIU
	XORI
	ORI
	ANDI
	SLLI
	SRLI
	SRAI
	ADD
	SUB
	SLL
	SLT
	SLTU
	XOR
	SRL
	SRA
	OR
	AND
	ADDIW
	SLLIW
	SRLIW
	SRAIW
	ADDW
	SUBW
	SLLW
	SRLW
	SRAW
	FENCE
	FENCE_I
	ECALL
	EBREAK

	// Zicsr.
	CSRRW
	CSRRS
	CSRRC
	CSRRWI
	CSRRSI
	CSRRCI

	// Privileged, and Svinval.
	MRET
	SRET
	WFI
	SFENCE_VMA
	SINVAL_VMA
	SFENCE_W_INVAL
	SFENCE_INVAL_IR

	// M.
	MUL
	MULH
	MULHSU
	MULHU
	DIV
	DIVU
	REM
	REMU
	MULW
	DIVW
	DIVUW
	REMW
	REMUW

	// A, and Zacas.
	LR_W
	SC_W
	AMOADD_W
	AMOSWAP_W
	AMOXOR_W
	AMOAND_W
	AMOOR_W
	AMOMIN_W
	AMOMAX_W
	AMOMINU_W
	AMOMAXU_W
	LR_D
	SC_D
	AMOADD_D
	AMOSWAP_D
	AMOXOR_D
	AMOAND_D
	AMOOR_D
	AMOMIN_D
	AMOMAX_D
	AMOMINU_D
	AMOMAXU_D
	AMOCAS_W
	AMOCAS_D
	AMOCAS_Q

	// F.
	FLW
	FSW
	FMADD_S
	FMSUB_S
	FNMSUB_S
	FNMADD_S
	FADD_S
	FSUB_S
	FMUL_S
	FDIV_S
	FSQRT_S
	FSGNJ_S
	FSGNJN_S
	FSGNJX_S
	FMIN_S
	FMAX_S
	FLE_S
	FLT_S
	FEQ_S
	FCVT_W_S
	FCVT_WU_S
	FCVT_L_S
	FCVT_LU_S
	FCVT_S_W
	FCVT_S_WU
	FCVT_S_L
	FCVT_S_LU
	FCLASS_S
	FMV_X_W
	FMV_W_X

	// D.
	FLD
	FSD
	FMADD_D
	FMSUB_D
	FNMSUB_D
	FNMADD_D
	FADD_D
	FSUB_D
	FMUL_D
	FDIV_D
	FSQRT_D
	FSGNJ_D
	FSGNJN_D
	FSGNJX_D
	FMIN_D
	FMAX_D
	FLE_D
	FLT_D
	FEQ_D
	FCVT_W_D
	FCVT_WU_D
	FCVT_L_D
	FCVT_LU_D
	FCVT_D_W
	FCVT_D_WU
	FCVT_D_L
	FCVT_D_LU
	FCLASS_D
	FMV_X_D
	FMV_D_X
	FCVT_S_D
	FCVT_D_S

	// Zfhmin.
	FLH
	FSH
	FMV_X_H
	FMV_H_X
	FCVT_S_H
	FCVT_H_S
	FCVT_D_H
	FCVT_H_D

	// Zfa, for F and D.
	FLI_S
	FMINM_S
	FMAXM_S
	FROUND_S
	FROUNDNX_S
	FLEQ_S
	FLTQ_S
	FLI_D
	FMINM_D
	FMAXM_D
	FROUND_D
	FROUNDNX_D
	FLEQ_D
	FLTQ_D
	FCVTMOD_W_D

	// Zba.
	ADD_UW
	SH1ADD
	SH2ADD
	SH3ADD
	SH1ADD_UW
	SH2ADD_UW
	SH3ADD_UW
	SLLI_UW

	// Zbb.
	ANDN
	ORN
	XNOR
	MIN
	MINU
	MAX
	MAXU
	ROL
	ROR
	ROLW
	RORW
	RORI
	RORIW
	CLZ
	CTZ
	CPOP
	CLZW
	CTZW
	CPOPW
	SEXT_B
	SEXT_H
	ZEXT_H
	ORC_B
	REV8

	// Zbc.
	CLMUL
	CLMULR
	CLMULH

	// Zbs.
	BSET
	BCLR
	BINV
	BEXT
	BSETI
	BCLRI
	BINVI
	BEXTI

	// Zicond.
	CZERO_EQZ
	CZERO_NEZ

	// Zicbom, Zicboz, Zicbop.
	CBO_INVAL
	CBO_CLEAN
	CBO_FLUSH
	CBO_ZERO
	PREFETCH_I
	PREFETCH_R
	PREFETCH_W

	// Zawrs.
	WRS_NTO
	WRS_STO

	// Zimop.
	MOP_R_N
	MOP_RR_N

	// C, quadrant 0.
	C_ADDI4SPN
	C_FLD
	C_LW
	C_LD
	C_FSD
	C_SW
	C_SD

	// C, quadrant 1.
	C_NOP
	C_ADDI
	C_ADDIW
	C_LI
	C_ADDI16SP
	C_LUI
	C_SRLI
	C_SRAI
	C_ANDI
	C_SUB
	C_XOR
	C_OR
	C_AND
	C_SUBW
	C_ADDW
	C_J
	C_BEQZ
	C_BNEZ

	// C, quadrant 2.
	C_SLLI
	C_FLDSP
	C_LWSP
	C_LDSP
	C_JR
	C_MV
	C_EBREAK
	C_JALR
	C_ADD
	C_FSDSP
	C_SWSP
	C_SDSP

	// Zcb.
	C_LBU
	C_LHU
	C_LH
	C_SB
	C_SH
	C_ZEXT_B
	C_SEXT_B
	C_ZEXT_H
	C_SEXT_H
	C_ZEXT_W
	C_NOT
	C_MUL

	// Zcmop.
	C_MOP_N

	// NumOps is the number of operations, ILLEGAL included.
	NumOps = int(iota + 1)
)

// Compressed says whether op belongs to a 16-bit encoding.
func (op Op) Compressed() bool { return op >= C_ADDI4SPN }
