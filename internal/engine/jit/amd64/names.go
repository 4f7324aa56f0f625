package amd64

// Names for --stats and --dump-code.

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
)

var kindNames = [NumKinds]string{
	KindPoll:      "budget or attention",
	KindStep:      "instructions to interpret",
	KindFind:      "look-up misses",
	KindLink:      "jumps to complete",
	KindCheck:     "interrupt checks",
	KindMissLoad:  "TLB misses, loads",
	KindMissStore: "TLB misses, stores",
	KindHost:      "instructions done in Go",
	KindFault:     "faults of mirrors",
}

func (k Kind) String() string {
	if k < NumKinds && kindNames[k] != "" {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint64(k))
}

// Pinned says which guest registers live in host registers: "x2=rbx x8=r12".
func Pinned() string {
	var list []string
	for i, r := range pins[:ir.NumInt] {
		if r != unpinned {
			list = append(list, fmt.Sprintf("%v=%v", ir.X(uint8(i)), asm.Reg(r)))
		}
	}
	for i, r := range floatPins[:ir.NumFloat] {
		if r != unpinned {
			list = append(list, fmt.Sprintf("%v=%v", ir.F(uint8(i)), asm.XMM(r)))
		}
	}
	return strings.Join(list, " ")
}

// Kept says where a value of a region is: "rsi", "rsi [x12]", "[spill 3]", or nothing.
func Kept(v *opt.Value) string {
	var list []string
	switch {
	case v.Reg < 0:
	case v.Float():
		list = append(list, asm.XMM(v.Reg).String())
	default:
		list = append(list, asm.Reg(v.Reg).String())
	}
	switch {
	case v.Home < 0:
	case v.Home < int(ir.NumVars):
		list = append(list, fmt.Sprintf("[%v]", ir.Var(v.Home)))
	default:
		list = append(list, fmt.Sprintf("[spill %d]", v.Home-int(ir.NumVars)))
	}
	return strings.Join(list, " ")
}

// Features is what the compiler uses of the host.
func (c *Compiler) Features() asm.Feature { return c.has }

// Name is the routine that begins at an address, or says that none does.
func (r *Routines) Name(at uintptr) string {
	v := reflect.ValueOf(r).Elem()
	for i := range v.NumField() {
		if v.Field(i).Uint() == uint64(at) {
			return v.Type().Field(i).Name
		}
	}
	return "another block"
}
