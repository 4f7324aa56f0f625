// Package ir is the intermediate form between a guest's front end and a host's back end: the one thing that both know.
//
// A [Block] is a straight line of guest code within one guest page, entered at its top only, with side exits. Its instructions work
// on guest variables, which are the registers of the guest's state; there are no others, so that at every exit the
// guest's state is what the variables hold. Control flow names places by their byte offset from the start of the page, which may lie
// outside of it: where the page is in the guest's address space is known at run time only ([Page] addresses), so that all address
// spaces share one translation.
//
// Whatever an instruction needs beyond that is written at its operation. An operation that has no counterpart is [Step]: the
// reference interpreter executes one guest instruction. It is always right, and slow.
package ir

// Var is a guest variable. Integer registers come first, then floating-point ones.
type Var uint8

// The variables. Zero reads as 0 and must not be written.
const (
	Zero     Var = 0
	NumInt       = 32
	NumFloat     = 32
	NumVars      = NumInt + NumFloat
	None     Var = 255
)

// X is the integer register i, F the floating-point register i.
func X(i uint8) Var { return Var(i) }

// F is the floating-point register i.
func F(i uint8) Var { return Var(NumInt + i) }

// IsFloat says that v is a floating-point register.
func (v Var) IsFloat() bool { return v >= NumInt && v < NumVars }

// Op is an operation.
type Op uint8

// Width is the size of an operand: 1<<Width bytes.
type Width uint8

// The widths.
const (
	W8 Width = iota
	W16
	W32
	W64
)

// Bytes is the width in bytes.
func (w Width) Bytes() int64 { return 1 << w }

// Cond is a condition between two integers.
type Cond uint8

// The conditions, in pairs of opposites.
const (
	EQ Cond = iota
	NE
	LT
	GE
	LTU
	GEU
)

// Not is the opposite.
func (c Cond) Not() Cond { return c ^ 1 }

// Flag qualifies an operation.
type Flag uint8

const (
	// UseImm: the second operand is Imm and not B.
	UseImm Flag = 1 << iota
	// Signed: a load sign-extends; a conversion is from or to a signed integer.
	Signed
	// Acquire and Release of an atomic operation.
	Acquire
	Release
	// Return: a jump that returns from a call. Call: one that calls (Dst is set to the address behind it).
	Return
	Call
	// Grouped: the access goes through the translation of the [Group] before it.
	Grouped
	// Single: floating point in 32 bits, else in 64.
	Single
)

// Inst is one instruction.
type Inst struct {
	Op      Op
	Width   Width
	Flags   Flag
	Cond    Cond
	Dst     Var
	A, B, C Var
	Rm      uint8  // rounding mode as the guest encodes it
	Len     uint8  // bytes of the guest instruction
	Off     uint16 // offset in the page of the guest instruction it belongs to
	N       uint16 // guest instructions of the block that retire before it
	Imm     int64
	Raw     uint32 // the guest's encoding
}

// Has says that f is among the flags.
func (i *Inst) Has(f Flag) bool { return i.Flags&f != 0 }

// Block is what is translated at once.
type Block struct {
	Page  uint64 // guest physical address
	Start uint16 // offset of the first instruction
	Plain bool   // no groups: what runs where a group's assumptions fail
	Insts []Inst
	Guest int // guest instructions
	// Unfinished: the first instruction goes into a page that is not known yet. The block is none.
	Unfinished bool
	UsesFP     bool     // has floating point: see the back end's check at the top
	Watches    []uint64 // other guest pages whose bytes went into the block, by physical address
}

// The operations; print.go names them. Integers have 64 bits; of Width W32 an operation works on the low halves and sign-extends its result.
const (
	Nop Op = iota

	Const // Dst = Imm
	Page  // Dst = address of the page + Imm
	Move  // Dst = A

	Add // Dst = A + (B or Imm)
	Sub
	And
	Or
	Xor
	Shl // counts are taken modulo the width in bits
	Shr
	Sar
	RotL
	RotR
	SetLT  // Dst = A < (B or Imm), signed: 1 or 0
	SetLTU // unsigned

	Mul
	MulHS  // high half, signed x signed
	MulHU  // unsigned x unsigned
	MulHSU // signed A x unsigned B
	DivS   // by zero: all ones; overflow: the dividend
	DivU
	RemS // by zero: the dividend; overflow: 0
	RemU

	ShiftAdd  // Dst = A<<Imm + B
	ShiftAddU // Dst = uint32(A)<<Imm + B
	ShlU      // Dst = uint32(A)<<Imm
	AndNot    // A &^ B
	OrNot     // A | ^B
	XorNot    // ^(A ^ B)
	MinS
	MinU
	MaxS
	MaxU
	Clz // of 0: the width
	Ctz
	Popcnt
	SignExtend // from Width
	ZeroExtend // from Width
	ByteSwap
	OrBytes // each byte becomes 0xff unless it is 0
	BitSet  // with the bit B or Imm modulo 64
	BitClear
	BitInvert
	BitExtract
	ZeroIfZero    // Dst = B == 0 ? 0 : A
	ZeroIfNonzero // Dst = B != 0 ? 0 : A
	ClMul
	ClMulH
	ClMulR

	// In regions only: a Test compares A with (B or Imm) and lets Raw guest instructions retire if Cond holds. The Selects that follow it at once choose by it.
	Test
	Select // Dst = Cond ? A : B

	// In regions only, and where an access looks nothing up: see package opt, search.go.
	Search // Dst = how many elements from [A + Imm] on, of Width, a loop passes over: it goes on while Cond holds between one of them and B
	Skip   // Dst = A + B*Imm, B being a Search
	Retire // lets Raw guest instructions retire A times

	Load      // Dst = [A + Imm], Width, Signed or zero-extended
	Store     // [A + Imm] = B, Width
	FLoad     // float Dst = [A + Imm]; boxed
	FStore    // [A + Imm] = float B
	ZeroBlock // the 64 bytes that A is in become 0, where the guest's mode allows it

	// Group begins accesses that are flagged Grouped, all to bytes from A+Imm on, Span of them (in Raw), without another write to A.
	// Signed is set when there is a store among them. A back end checks once and keeps the host address; when the check fails it
	// continues with the [Plain] translation of the block from here on.
	Group

	LoadReserved     // Dst = [A]
	StoreConditional // Dst = 0 if [A] = B was stored, else 1
	AtomicSwap       // Dst = [A]; [A] = ... B
	AtomicAdd
	AtomicXor
	AtomicAnd
	AtomicOr
	AtomicMinS
	AtomicMaxS
	AtomicMinU
	AtomicMaxU
	CompareSwap // Dst = old [A]; [A] = B if it was Dst
	Fence
	Pause

	// Control flow. Each ends the block but Branch.
	Branch  // if A Cond B: to offset Imm
	Jump    // to offset Imm; with Call, Dst = address of Off+Len
	JumpReg // to (A + Imm) &^ 1; with Call, Dst likewise; with Return it is one
	Step    // the interpreter executes the guest instruction at Off; the block ends

	// Entry is a place that jumps lead to: of this block, and of others, for which it is an entry as its start is.
	Entry

	Host // the engine executes the guest instruction Raw at Off in Go, and the block goes on unless what it is made of has changed

	// GuardNext leaves, as Step does, unless the next page of the address space is the guest physical page Imm.
	GuardNext

	// Privileged state of RISC-V. See the back end.
	Ecall
	TrapReturn // sret
	ReadCSR    // Dst = CSR Imm
	WriteCSR   // Dst (unless None) = CSR Imm; CSR = A
	SetCSR     // Dst likewise; CSR |= A, or the immediate C with UseImm
	ClearCSR
	ReadTime // Dst = time
	FenceVMA // Raw, an SFENCE.VMA of the page of A in the address space B, or if that is None in all of them

	// Floating point. Sources that are Single are boxed values.
	FAdd
	FSub
	FMul
	FDiv
	FSqrt
	FMulAdd    // A*B + C
	FMulSub    // A*B - C
	FNegMulAdd // -(A*B) - C
	FNegMulSub // -(A*B) + C
	FSgnj
	FSgnjN
	FSgnjX
	FMin
	FMax
	FEq
	FLt
	FLe
	FToInt   // integer Dst of Width, Signed, Rm
	FFromInt // from an integer of Width, Signed
	FWiden   // single to double
	FNarrow  // double to single
	FToBits  // integer Dst = bits of A; Single: the low half, sign-extended
	FFromBits
	FClass
	FConst // Dst = the bits Imm

	NumOps
)
