package jit

// Listings of regions (package opt): the blocks in the order of their code, and in each the values, with the guest instructions that they are for and
// their host code.

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// beginRegion is begin for a region, made of a source, in whose page va is for the hart that asked.
func (d *dumper) beginRegion(c *amd64.Compiler, r *opt.Region, s *opt.Source, va uint64) *listing {
	if !d.open() {
		return nil
	}
	l := &listing{d: d, c: c, va: va &^ memory.PageMask, gpa: r.Page, r: r}
	for _, b := range r.Blocks {
		off := b.Off
		for range b.Guest {
			i := riscv.Decode(rawAt(s.Bytes, off))
			l.guest = append(l.guest, guestInst{off, i})
			off += int(i.Len)
		}
	}
	return l.wanted()
}

// region is the table of a region. The code of phis is that of the edges that lead to them.
func (l *listing) region(t *bytes.Buffer, out amd64.Code, routines *amd64.Routines, at uintptr) {
	mirrored := "not mirrored"
	if l.c.Mirrored {
		mirrored = "mirrored"
	}
	fmt.Fprintf(t, "region of the optimizing tier, %s, head at %s: block %d of %d, %d guest instructions, %d bytes of code at %#x, inner entry +%#x\n",
		mirrored, l.start(uint16(l.r.Head.Off)), slices.Index(l.r.Blocks, l.r.Head), len(l.r.Blocks)-1, l.r.Guest, len(out.Bytes), at, out.Inner)
	fmt.Fprintf(t, "registers outside of it: %s\n", amd64.Pinned())
	rows := l.table(t, 60, routines)
	k, guest, texts := 0, l.guest, map[int]string{}
	for i, lines := range l.r.Lines(amd64.Kept) {
		n := l.r.Blocks[i].Guest
		for _, line := range l.beside(lines, guest[:n]) {
			end := 0
			if k < len(out.Marks) && out.Marks[k].Inst == line.Pos {
				end = out.End(k)
				texts[line.Pos] = line.Text
				k++
			}
			rows(line.guest, line.Text, end)
		}
		guest = guest[n:]
	}
	for ; k < len(out.Marks); k++ {
		of, _, _ := strings.Cut(texts[out.Marks[k].Inst], " ->")
		rows("", "(out of line) "+of, out.End(k))
	}
}

// guestLine is a line of a region with the guest instruction that stands beside it.
type guestLine struct {
	guest string
	opt.Line
}

// beside puts the guest instructions of a block beside its lines: each where it is first spoken of, or alone if it became nothing.
func (l *listing) beside(lines []opt.Line, guest []guestInst) (list []guestLine) {
	text, spoken := map[int]string{}, map[int]bool{}
	for _, g := range guest {
		text[g.off] = l.guestText(g)
	}
	for _, line := range lines {
		spoken[line.Off] = true
	}
	for i, line := range lines {
		for len(guest) > 0 && (guest[0].off < line.Off || i == len(lines)-1) {
			if off := guest[0].off; !spoken[off] {
				list = append(list, guestLine{text[off], opt.Line{Off: off, Pos: -1}})
			}
			guest = guest[1:]
		}
		list = append(list, guestLine{text[line.Off], line})
		delete(text, line.Off)
	}
	return list
}
