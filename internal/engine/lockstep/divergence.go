package lockstep

// What a difference looks like to whoever has to find its cause.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/mmu"
)

// Divergence is the error of two engines that do not agree.
type Divergence struct {
	Why string
	// Asked is how many instructions the engine under test was asked for in the step that differs; 0 when only memory does.
	Asked uint64
	// Before is the state at the start of the step, after the events that preceded it; Got and Want are those at its end, of the
	// engine under test and of the reference.
	Before, Got, Want State
	// Memory is a line for each difference in RAM, the first few.
	Memory []string
	// Code is what the reference executed last, disassembled, with the step's first instruction, unless that is too long ago, marked
	// ">", and "=" where it is.
	Code string
	// Again says how to have it again. It is for whoever made the program to fill in.
	Again string
}

// First names the first difference: the field of the state, "memory ...", or else Why.
func (d *Divergence) First() string {
	if s := Diff(&d.Got, &d.Want); s != "" {
		return strings.SplitN(s, "\n", 2)[0]
	}
	if len(d.Memory) > 0 {
		return d.Memory[0]
	}
	return d.Why
}

func (d *Divergence) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "engines differ: %s (%d instructions in, asked for %d)\n", d.Why, d.Before.Instret, d.Asked)
	b.WriteString(indent(Diff(&d.Got, &d.Want)))
	for _, m := range d.Memory {
		fmt.Fprintf(&b, "\t%s\n", m)
	}
	fmt.Fprintf(&b, "the reference executed last (the step begins at \">\"):\n%s", d.Code)
	fmt.Fprintf(&b, "before the step:\n%s", indent(d.Before.String()))
	fmt.Fprintf(&b, "engine under test:\n%s", indent(d.Got.String()))
	fmt.Fprintf(&b, "reference:\n%s", indent(d.Want.String()))
	if d.Again != "" {
		fmt.Fprintf(&b, "again: %s\n", d.Again)
	}
	return b.String()
}

func indent(s string) string {
	if s == "" {
		return ""
	}
	return "\t" + strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n\t") + "\n"
}

// AsDivergence finds the divergence in an error.
func AsDivergence(err error) (*Divergence, bool) {
	var d *Divergence
	ok := errors.As(err, &d)
	return d, ok
}

// diverge makes the error from what the sides captured last.
func (p *Pair) diverge(asked uint64, why string) error {
	d := &Divergence{Why: why, Asked: asked, Before: p.agreed, Got: p.tested, Want: p.ref}
	d.Memory = p.memoryDifferences()
	d.Code = p.history.listing(p.Reference.Hart)
	return d
}

// memoryDifferences are the first words of RAM that differ.
func (p *Pair) memoryDifferences() (lines []string) {
	const most = 8
	a, b := p.ram(&p.Tested), p.ram(&p.Reference)
	base := p.Tested.Hart.RAM.Base()
	more := 0
	for off := 0; off < len(a); off += 8 {
		got, want := binary.LittleEndian.Uint64(a[off:]), binary.LittleEndian.Uint64(b[off:])
		if got == want {
			continue
		}
		if len(lines) == most {
			more++
			continue
		}
		lines = append(lines, fmt.Sprintf("memory at %#x = %#x, want %#x", uint64(base)+uint64(off), got, want))
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("memory differs in %d more words", more))
	}
	return lines
}

// history is what the reference executed last.
type history struct {
	ring  [64]view
	count uint64 // of all that were noted
	start uint64 // count at the start of the step
}

func (h *history) begin() { h.start = h.count }

// skip forgets everything: what comes next is not noted, the start of the step with it.
func (h *history) skip() { h.count, h.start = 0, ^uint64(0) }

func (h *history) note(ref *hart.Hart) {
	h.ring[h.count%uint64(len(h.ring))] = viewOf(ref)
	h.count++
}

// listing disassembles the history, and the instruction that ref is at. Code is what memory holds now: where the program has
// written it meanwhile, the lines are of the new code.
func (h *history) listing(ref *hart.Hart) string {
	var b strings.Builder
	line := func(mark string, v view) {
		raw, ok := codeAt(ref.RAM, v)
		text := "(cannot be fetched)"
		if ok {
			text = riscv.Disassemble(riscv.Decode(raw), v.pc)
		}
		fmt.Fprintf(&b, "%s %8d %s %#x: %s\n", mark, v.instret, privName(v.priv), v.pc, text)
	}
	first := h.count - min(h.count, uint64(len(h.ring)))
	for i := first; i < h.count; i++ {
		mark := "\t "
		if i == h.start {
			mark = "\t>"
		}
		line(mark, h.ring[i%uint64(len(h.ring))])
	}
	if h.start == h.count {
		line("\t>", viewOf(ref)) // the reference has not moved
	} else {
		line("\t=", viewOf(ref))
	}
	return b.String()
}

// codeAt reads the instruction that a hart with a view executes, without a trace in any state.
func codeAt(ram *memory.RAM, v view) (raw uint32, ok bool) {
	for i := range uint64(2) {
		a := memory.GPA(v.pc + 2*i)
		if v.priv != riscv.PrivM && mmu.Mode(v.satp) != mmu.ModeBare {
			r := mmu.Regime{Satp: v.satp, User: v.priv == riscv.PrivU, ADUE: true, PBMTE: true}
			leaf, fault := mmu.Walk(peeker{ram}, &r, uint64(a), mmu.Fetch)
			if fault != mmu.NoFault {
				return 0, false
			}
			a = leaf.GPA
		}
		half, err := ram.Load16(a)
		if err != nil {
			return 0, false
		}
		raw |= uint32(half) << (16 * i)
		if raw&3 != 3 {
			break
		}
	}
	return raw, true
}

// peeker walks page tables without setting the accessed bit.
type peeker struct{ ram *memory.RAM }

func (p peeker) LoadPTE(a memory.GPA) (uint64, bool) {
	v, err := p.ram.Load64(a)
	return v, err == nil
}

func (p peeker) CompareAndSwapPTE(memory.GPA, uint64, uint64) (swapped, ok bool) { return true, true }
