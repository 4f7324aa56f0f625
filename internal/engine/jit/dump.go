package jit

// Listings of translations, for --dump-code: guest instructions, intermediate form and host code side by side. What is here is of the first tier,
// and what the tiers have in common.

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/amd64/asm"
	"github.com/vmproject/vm/internal/engine/jit/ir"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
)

// Dump says which translations are listed when they are made.
type Dump struct {
	At  []uint64  // the ones with an instruction at one of these guest addresses, virtual or physical
	All bool      // every one
	To  io.Writer // each listing is one Write; errors are of no consequence
}

// maxListings bounds the listings of a machine: what is more nobody reads.
const maxListings = 1000

// dumper is the Dump of a machine. Used under its lock.
type dumper struct {
	Dump
	symbol func(va uint64) (string, bool) // may be nil
	done   int
}

// open says that there may be listings. Nil: nobody wants any.
func (d *dumper) open() bool { return d != nil && d.done < maxListings }

// listing is one translation on its way through the compiler: a block, or a region (dump_region.go).
type listing struct {
	d       *dumper
	c       *amd64.Compiler
	va, gpa uint64 // of the page
	guest   []guestInst
	host    []hostInst

	b *ir.Block
	r *opt.Region
}

type guestInst struct {
	off  int // in the page
	inst riscv.Inst
}

type hostInst struct {
	at   int
	inst asm.Inst
}

// begin prepares the listing of a block that is about to be compiled, whose first instruction is at va for the hart that asked, and whose page
// has some bytes. It is nil if nobody wants it.
func (d *dumper) begin(c *amd64.Compiler, b *ir.Block, va uint64, page []byte) *listing {
	if !d.open() {
		return nil
	}
	l := &listing{d: d, c: c, va: va &^ memory.PageMask, gpa: b.Page, guest: guestOf(b, page), b: b}
	return l.wanted()
}

// wanted lets the compiler tell what it emits, if somebody wants the listing; else it is nil.
func (l *listing) wanted() *listing {
	if d := l.d; !d.All && !slices.ContainsFunc(d.At, l.contains) {
		return nil
	}
	l.c.Marking = true
	l.c.Trace = func(at int, i asm.Inst) { l.host = append(l.host, hostInst{at, i}) }
	return l
}

func (l *listing) contains(addr uint64) bool {
	for _, g := range l.guest {
		off := uint64(g.off)
		if addr-(l.va+off) < uint64(g.inst.Len) || addr-(l.gpa+off) < uint64(g.inst.Len) {
			return true
		}
	}
	return false
}

// guestOf are the guest instructions of a block. The encodings are those that the block was made of, where it still knows them; others, such
// as of hints, are read from the page once more.
func guestOf(b *ir.Block, page []byte) []guestInst {
	raws := map[int]uint32{}
	for i := range b.Insts {
		if in := &b.Insts[i]; in.Len != 0 && in.Op != ir.Group && in.Op != ir.GuardNext {
			raws[int(in.Off)] = in.Raw
		}
	}
	n := b.Guest
	if last := len(b.Insts) - 1; last >= 0 && b.Insts[last].Len != 0 {
		n++ // what ends a block is not among those that always retire
	}
	var list []guestInst
	for off := int(b.Start); len(list) < n && off < memory.PageSize; {
		raw, ok := raws[off]
		if !ok {
			raw = rawAt(page, off)
		}
		i := riscv.Decode(raw)
		list = append(list, guestInst{off, i})
		off += int(i.Len)
	}
	return list
}

// rawAt is the encoding at an offset of a page.
func rawAt(page []byte, off int) uint32 {
	raw := uint32(binary.LittleEndian.Uint16(page[off:]))
	if raw&3 == 3 && off+4 <= memory.PageSize {
		raw = binary.LittleEndian.Uint32(page[off:])
	}
	return raw
}

// end writes the listing.
func (l *listing) end(out amd64.Code, routines *amd64.Routines, at uintptr) {
	if l == nil {
		return
	}
	l.c.Marking, l.c.Trace = false, nil
	if out.Bytes == nil {
		return // it did not fit
	}
	var t bytes.Buffer
	if l.r != nil {
		l.region(&t, out, routines, at)
	} else {
		l.block(&t, out, routines, at)
	}
	t.WriteByte('\n')
	if l.d.done++; l.d.done == maxListings {
		fmt.Fprintf(&t, "%d translations are listed: no more will be\n", maxListings)
	}
	_, _ = l.d.To.Write(t.Bytes())
}

// start says where a translation begins: "0x80000000 main, physical 0x80000000".
func (l *listing) start(off uint16) string {
	va, name := l.va+uint64(off), ""
	if l.d.symbol != nil {
		if s, ok := l.d.symbol(va); ok {
			name = " " + s
		}
	}
	return fmt.Sprintf("%#x%s, physical %#x", va, name, l.gpa+uint64(off))
}

// block is a row for each host instruction. What it was made of stands in the first row of each.
func (l *listing) block(t *bytes.Buffer, out amd64.Code, routines *amd64.Routines, at uintptr) {
	kind := ""
	if l.b.Plain {
		kind = ", without groups"
	}
	fmt.Fprintf(t, "block at %s%s: %d guest instructions, %d bytes of code at %#x, inner entry +%#x\n",
		l.start(l.b.Start), kind, len(l.guest), len(out.Bytes), at, out.Inner)
	fmt.Fprintf(t, "registers: %s\n", amd64.Pinned())
	rows := l.table(t, 46, routines)
	guest := l.guest
	next := func() string {
		g := guest[0]
		guest = guest[1:]
		return l.guestText(g)
	}
	if len(out.Marks) > 0 {
		rows("", "(entry)", out.Marks[0].At)
	}
	for k, m := range out.Marks {
		end := out.End(k)
		if m.Inst >= len(l.b.Insts) {
			rows("", "(out of line)", end)
			continue
		}
		in := &l.b.Insts[m.Inst]
		for len(guest) > 0 && guest[0].off < int(in.Off) {
			rows(next(), "", 0) // it became nothing
		}
		g := ""
		if len(guest) > 0 && guest[0].off == int(in.Off) {
			g = next()
		}
		rows(g, in.String(), end)
	}
	for len(guest) > 0 {
		rows(next(), "", 0)
	}
}

// table begins a table, whose second column has a width. What it returns writes the rows of the host instructions up to an offset, or one without any.
func (l *listing) table(t *bytes.Buffer, width int, routines *amd64.Routines) func(guest, inst string, end int) {
	row := func(guest, inst, host string) {
		t.WriteString(strings.TrimRight(fmt.Sprintf("  %-50s %-*s %s", guest, width, inst, host), " ") + "\n")
	}
	row("guest", "intermediate form", "host")
	host := l.host
	return func(guest, inst string, end int) {
		for first := true; first || len(host) > 0 && host[0].at < end; first = false {
			text := ""
			if len(host) > 0 && host[0].at < end {
				text = fmt.Sprintf("+%03x  %s", host[0].at, l.text(host[0].inst, routines))
				host = host[1:]
			}
			row(guest, inst, text)
			guest, inst = "", ""
		}
	}
}

func (l *listing) guestText(g guestInst) string {
	va := l.va + uint64(g.off)
	return fmt.Sprintf("%x  %s", va, riscv.Disassemble(g.inst, va))
}

var (
	labelForm   = regexp.MustCompile(`\bL(\d+)\b`)
	addressForm = regexp.MustCompile(`^(?:j\w+|call) 0x([0-9a-f]+)$`)
)

// text is a host instruction with labels as offsets in the code, and the names of the routines it goes to.
func (l *listing) text(i asm.Inst, routines *amd64.Routines) string {
	s := labelForm.ReplaceAllStringFunc(i.String(), func(label string) string {
		n, err := strconv.Atoi(label[1:])
		if err != nil {
			return label
		}
		if off, ok := l.c.Offset(asm.Label(n)); ok {
			return fmt.Sprintf("+%#03x", off)
		}
		return label
	})
	if m := addressForm.FindStringSubmatch(s); m != nil {
		if to, err := strconv.ParseUint(m[1], 16, 64); err == nil {
			s += "  ; " + routines.Name(uintptr(to))
		}
	}
	return s
}
