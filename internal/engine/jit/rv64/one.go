package rv64

import (
	"encoding/binary"

	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// One lowers the instruction at an offset of a page by itself, for the optimizing tier, which finds out by itself where control goes. What it
// is made of is appended to insts, all with N 0. ok is false at an instruction that reaches into the next page, and size is 0 past the end.
func One(insts []ir.Inst, page []byte, off int) (out []ir.Inst, size int, ok bool) {
	if off < 0 || off > memory.PageSize-2 {
		return insts, 0, false
	}
	raw := uint32(binary.LittleEndian.Uint16(page[off:]))
	if raw&3 == 3 {
		if off == memory.PageSize-2 {
			return insts, 4, false
		}
		raw |= uint32(binary.LittleEndian.Uint16(page[off+2:])) << 16
	}
	b := ir.Block{Start: uint16(off), Plain: true, Insts: insts}
	f := builder{Block: &b, code: &Code{Bytes: page}, off: off}
	i := &f.inst
	riscv.DecodeExpand(i, raw)
	if i.Len == 2 {
		raw &= 0xffff
	}
	f.lower(i, raw)
	return b.Insts, int(i.Len), true
}
