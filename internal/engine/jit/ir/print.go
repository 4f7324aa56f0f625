package ir

// The intermediate form for people: "add x10 = x11 + 0x8". What an operation's operands mean is not known here, so all that an
// instruction has are written, in one order.

import (
	"fmt"
	"strings"
)

// opNames are in the order of the constants.
var opNames = [NumOps]string{
	Nop: "nop", Const: "const", Page: "page", Move: "move",
	Add: "add", Sub: "sub", And: "and", Or: "or", Xor: "xor", Shl: "shl", Shr: "shr", Sar: "sar", RotL: "rotl", RotR: "rotr",
	SetLT: "setlt", SetLTU: "setltu",
	Mul: "mul", MulHS: "mulhs", MulHU: "mulhu", MulHSU: "mulhsu", DivS: "divs", DivU: "divu", RemS: "rems", RemU: "remu",
	ShiftAdd: "shiftadd", ShiftAddU: "shiftaddu", ShlU: "shlu", AndNot: "andnot", OrNot: "ornot", XorNot: "xornot",
	MinS: "mins", MinU: "minu", MaxS: "maxs", MaxU: "maxu", Clz: "clz", Ctz: "ctz", Popcnt: "popcnt",
	SignExtend: "signextend", ZeroExtend: "zeroextend", ByteSwap: "byteswap", OrBytes: "orbytes", ZeroBlock: "zeroblock", Entry: "entry",
	BitSet: "bitset", BitClear: "bitclear", BitInvert: "bitinvert", BitExtract: "bitextract",
	ZeroIfZero: "zeroifzero", ZeroIfNonzero: "zeroifnonzero", ClMul: "clmul", ClMulH: "clmulh", ClMulR: "clmulr",
	Test: "test", Select: "select", Search: "search", Skip: "skip", Retire: "retire",
	Load: "load", Store: "store", FLoad: "fload", FStore: "fstore", Group: "group",
	LoadReserved: "loadreserved", StoreConditional: "storeconditional",
	AtomicSwap: "atomicswap", AtomicAdd: "atomicadd", AtomicXor: "atomicxor", AtomicAnd: "atomicand", AtomicOr: "atomicor",
	AtomicMinS: "atomicmins", AtomicMaxS: "atomicmaxs", AtomicMinU: "atomicminu", AtomicMaxU: "atomicmaxu",
	CompareSwap: "compareswap", Fence: "fence", Pause: "pause",
	Branch: "branch", Jump: "jump", JumpReg: "jumpreg", Step: "step", Host: "host", GuardNext: "guardnext",
	Ecall: "ecall", TrapReturn: "trapreturn", ReadCSR: "readcsr", WriteCSR: "writecsr", SetCSR: "setcsr", ClearCSR: "clearcsr",
	ReadTime: "readtime", FenceVMA: "fencevma",
	FAdd: "fadd", FSub: "fsub", FMul: "fmul", FDiv: "fdiv", FSqrt: "fsqrt",
	FMulAdd: "fmuladd", FMulSub: "fmulsub", FNegMulAdd: "fnegmuladd", FNegMulSub: "fnegmulsub",
	FSgnj: "fsgnj", FSgnjN: "fsgnjn", FSgnjX: "fsgnjx", FMin: "fmin", FMax: "fmax", FEq: "feq", FLt: "flt", FLe: "fle",
	FToInt: "ftoint", FFromInt: "ffromint", FWiden: "fwiden", FNarrow: "fnarrow", FToBits: "ftobits", FFromBits: "ffrombits",
	FClass: "fclass", FConst: "fconst",
}

func (o Op) String() string {
	if o < NumOps && opNames[o] != "" {
		return opNames[o]
	}
	return fmt.Sprintf("op %d", uint8(o))
}

func (v Var) String() string {
	switch {
	case v < NumInt:
		return fmt.Sprintf("x%d", uint8(v))
	case v < NumVars:
		return fmt.Sprintf("f%d", v-NumInt)
	case v == None:
		return "none"
	}
	return fmt.Sprintf("var %d", uint8(v))
}

func (w Width) String() string { return fmt.Sprint(8 * w.Bytes()) }

var condNames = [...]string{EQ: "eq", NE: "ne", LT: "lt", GE: "ge", LTU: "ltu", GEU: "geu"}

func (c Cond) String() string {
	if int(c) < len(condNames) {
		return condNames[c]
	}
	return fmt.Sprintf("cond %d", uint8(c))
}

// flagNames are those flags that are not shown otherwise, by bit.
var flagNames = []struct {
	flag Flag
	name string
}{
	{Signed, "signed"}, {Acquire, "acquire"}, {Release, "release"}, {Return, "return"}, {Call, "call"}, {Grouped, "grouped"},
	{Single, "single"},
}

// String is the instruction on one line. Addresses, [x10+0x8], and places, +0x120, are as Imm has them: a place is an offset in the page.
func (i *Inst) String() string {
	return i.Text(i.Dst.String(), i.A.String(), i.B.String(), i.C.String())
}

// Text is String with these names of what is in the variables. That of None says that there is nothing.
func (i *Inst) Text(dst, a, b, c string) string {
	var s strings.Builder
	s.WriteString(i.Op.String())
	if i.sized() {
		s.WriteString("." + i.Width.String())
	}
	for _, f := range flagNames {
		if i.Has(f.flag) && i.Op != Group {
			s.WriteString("." + f.name)
		}
	}
	none := None.String()
	arg := func(format string, args ...any) { fmt.Fprintf(&s, " "+format, args...) }
	second := func() {
		if i.Has(UseImm) {
			arg("%s", hex(i.Imm))
		} else if b != none {
			arg("%s", b)
		}
	}
	if dst != none && i.writes() {
		arg("%s =", dst)
	}
	switch i.Op {
	case Nop, Entry, Step, Host, Fence, Pause, Ecall, TrapReturn, ReadTime:
	case Const, FConst:
		arg("%s", hex(i.Imm))
	case Page:
		arg("page%s", signed(i.Imm))
	case Move:
		arg("%s", a)
	case ShiftAdd, ShiftAddU:
		arg("%s<<%d %s", a, i.Imm, b)
	case ShlU:
		arg("%s %d", a, i.Imm)
	case Load, FLoad:
		arg("[%s%s]", a, signed(i.Imm))
	case Search:
		arg("[%s%s] %v %s", a, signed(i.Imm), i.Cond, b)
	case Skip:
		arg("%s %s*%d", a, b, i.Imm)
	case Retire:
		arg("%d*%s", i.Raw, a)
	case Store, FStore:
		arg("[%s%s] = %s", a, signed(i.Imm), b)
	case Group:
		access := "read"
		if i.Has(Signed) {
			access = "write"
		}
		arg("[%s%s] %d bytes, %s", a, signed(i.Imm), i.Raw, access)
	case LoadReserved, ZeroBlock:
		arg("[%s]", a)
	case StoreConditional, AtomicSwap, AtomicAdd, AtomicXor, AtomicAnd, AtomicOr, AtomicMinS, AtomicMaxS, AtomicMinU, AtomicMaxU, CompareSwap:
		arg("[%s] %s", a, b)
	case Branch:
		arg("%s %v %s to %s", a, i.Cond, b, signed(i.Imm))
	case Jump:
		arg("to %s", signed(i.Imm))
	case JumpReg:
		arg("to %s%s", a, signed(i.Imm))
	case GuardNext:
		arg("%s", hex(i.Imm))
	case ReadCSR:
		arg("csr %s", hex(i.Imm))
	case WriteCSR, SetCSR, ClearCSR:
		arg("csr %s", hex(i.Imm))
		if i.Has(UseImm) {
			arg("%d", uint8(i.C))
		} else {
			arg("%s", a)
		}
	default:
		arg("%s", a)
		second()
		if c != none && i.Op >= FMulAdd && i.Op <= FNegMulSub {
			arg("%s", c)
		}
	}
	return s.String()
}

// sized says that Width is worth a word: for memory always, else where it is not that of a register.
func (i *Inst) sized() bool {
	switch {
	case i.Op >= Load && i.Op <= FStore, i.Op == Search, i.Op >= LoadReserved && i.Op <= CompareSwap:
		return true
	case i.Op >= Add && i.Op <= ClMulR, i.Op == FToInt, i.Op == FFromInt:
		return i.Width != W64
	}
	return false
}

// writes says that Dst means something.
func (i *Inst) writes() bool {
	switch i.Op {
	case Nop, Entry, Retire, ZeroBlock, Store, FStore, Group, Fence, Pause, Branch, Step, Host, FenceVMA, GuardNext, Ecall, TrapReturn:
		return false
	case Jump, JumpReg:
		return i.Has(Call)
	}
	return true
}

func hex(n int64) string {
	if n < 0 {
		return fmt.Sprintf("-%#x", -uint64(n))
	}
	return fmt.Sprintf("%#x", n)
}

// signed is an offset behind a name.
func signed(n int64) string {
	if n < 0 {
		return hex(n)
	}
	return "+" + hex(n)
}
