package riscv

// What a row of the table says, and how to reach it from an operation.

// Spec is one row of the table of instructions.
type Spec struct {
	Name    string // mnemonic, lower case; aq/rl suffixes and the number of a may-be-operation are operands, not part of it
	Match   uint32 // the bits of an encoding under Mask
	Mask    uint32 // the bits that are not operands
	Format  Format // where the operands are, and how they are written
	Ext     Ext    // the extension that defines the instruction
	Nonzero uint32 // operand bits that must not all be 0; 0: no such rule
	Base    Op     // of a compressed instruction: the 32-bit operation it abbreviates; else ILLEGAL
}

// Spec returns the row of op; it must not be written. An op out of range is answered with the row of ILLEGAL.
func (op Op) Spec() *Spec {
	if int(op) >= NumOps {
		op = ILLEGAL
	}
	return &table[op]
}

// String returns the mnemonic.
func (op Op) String() string { return op.Spec().Name }

// Lookup finds an operation by its mnemonic; ok is false when there is none.
func Lookup(mnemonic string) (op Op, ok bool) {
	for i := 1; i < NumOps; i++ {
		if table[i].Name == mnemonic {
			return Op(i), true
		}
	}
	return ILLEGAL, false
}

// Ext names the extension an instruction comes from.
type Ext uint8

// The extensions of the machine that define instructions of their own.
const (
	ExtI Ext = iota
	ExtM
	ExtA
	ExtF
	ExtD
	ExtC
	ExtZicsr
	ExtZifencei
	ExtPriv
	ExtSvinval
	ExtZba
	ExtZbb
	ExtZbc
	ExtZbs
	ExtZicond
	ExtZicbom
	ExtZicbop
	ExtZicboz
	ExtZawrs
	ExtZfa
	ExtZfhmin
	ExtZcb
	ExtZacas
	ExtZimop
	ExtZcmop
	NumExts int = iota
)

var extNames = [NumExts]string{
	"I", "M", "A", "F", "D", "C", "Zicsr", "Zifencei", "privileged", "Svinval", "Zba", "Zbb", "Zbc", "Zbs", "Zicond",
	"Zicbom", "Zicbop", "Zicboz", "Zawrs", "Zfa", "Zfhmin", "Zcb", "Zacas", "Zimop", "Zcmop",
}

func (e Ext) String() string {
	if int(e) >= NumExts {
		return "unknown"
	}
	return extNames[e]
}

// RegClass says what one of the register fields of an Inst holds.
type RegClass uint8

const (
	NoReg    RegClass = iota // unused, 0
	IntReg                   // x0..x31
	FloatReg                 // f0..f31
	ConstReg                 // not a register: the zimm of CSRR*I, the constant index of FLI
)

// Operands says what Rd, Rs1, Rs2 and Rs3 of an op's Inst hold. Rd is written, the others are read (AMOCAS reads Rd too,
// and AMOCAS.Q reads and writes the pairs Rd, Rd+1 and Rs2, Rs2+1).
func (op Op) Operands() (rd, rs1, rs2, rs3 RegClass) {
	f := &formats[op.Spec().Format]
	return f.rd.class, f.rs1.class, f.rs2.class, f.rs3.class
}
