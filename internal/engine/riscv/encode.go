package riscv

// The encoder: the table read the other way. It puts the operands where the format says and then decodes the result, so
// that an operand that does not fit, and an encoding that is reserved or means another operation, cannot get out.

import "fmt"

// An OperandError says why an Inst has no encoding.
type OperandError struct {
	Inst    Inst
	Operand string // the field of Inst that is wrong
	Value   int32  // what that field holds
	Means   Inst   // what the encoding with the operands cut to size means
}

func (e *OperandError) Error() string {
	switch {
	case e.Inst.Op == ILLEGAL || int(e.Inst.Op) >= NumOps:
		return fmt.Sprintf("riscv: operation %d has no encoding", e.Inst.Op)
	case e.Means.Op == ILLEGAL:
		return fmt.Sprintf("riscv: %s: the encoding of these operands is reserved (%s)", e.Inst.Op, e.Inst)
	case e.Means.Op != e.Inst.Op:
		return fmt.Sprintf("riscv: %s: the encoding of these operands means %s", e.Inst.Op, e.Means)
	}
	return fmt.Sprintf("riscv: %s: %s %d does not fit", e.Inst.Op, e.Operand, e.Value)
}

// Encode returns the encoding of i, 16 bits of it for a compressed operation. Len is ignored: the operation says what it
// is. Fields that the operation does not use must be 0, and those that are implied must hold what Decode puts there.
// Encode(Decode(x)) is x for every legal x. The error is an *OperandError.
func Encode(i Inst) (uint32, error) {
	if i.Op == ILLEGAL || int(i.Op) >= NumOps {
		return 0, &OperandError{Inst: i}
	}
	s := i.Op.Spec()
	f := &formats[s.Format]
	raw := s.Match | f.rd.put(i.Rd) | f.rs1.put(i.Rs1) | f.rs2.put(i.Rs2) | f.rs3.put(i.Rs3) |
		rmFields[f.rm].put(i.Rm) | f.imm.put(i.Imm)

	d := Decode(raw)
	if d.Op == i.Op && d.Rd == i.Rd && d.Rs1 == i.Rs1 && d.Rs2 == i.Rs2 && d.Rs3 == i.Rs3 && d.Rm == i.Rm && d.Imm == i.Imm {
		return raw, nil
	}
	e := &OperandError{Inst: i, Means: d}
	for _, o := range [...]struct {
		name      string
		have, got int32
	}{
		{"Rd", int32(i.Rd), int32(d.Rd)}, {"Rs1", int32(i.Rs1), int32(d.Rs1)}, {"Rs2", int32(i.Rs2), int32(d.Rs2)},
		{"Rs3", int32(i.Rs3), int32(d.Rs3)}, {"Rm", int32(i.Rm), int32(d.Rm)}, {"Imm", i.Imm, d.Imm},
	} {
		if o.have != o.got {
			e.Operand, e.Value = o.name, o.have
			break
		}
	}
	return 0, e
}
