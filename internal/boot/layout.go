// Package boot decides where the pieces of a boot go in guest memory, and writes what one stage leaves for the next. The
// pieces themselves are read by its sub-packages: kernel, initramfs, fdt.
//
//	base            firmware (--bios), or nothing: the host's SBI takes no guest memory
//	base + 2 MiB    the kernel, and where FW_JUMP jumps to
//	base + 34 MiB   where FW_JUMP copies the device tree to; kept free when there is firmware
//	top             downwards: the device tree, the handoff page, the initrd; below 4 GiB, and below what U-Boot moves to
//
// A kernel that would reach over base + 34 MiB while there is firmware goes behind it instead, and a jump to it to base + 2 MiB.
package boot

import (
	"fmt"

	"github.com/vmproject/vm/internal/boot/kernel"
	"github.com/vmproject/vm/internal/memory"
)

// What the generic platform of OpenSBI is built with, as distances from the start of RAM. Debian's fw_jump.elf returns
// these as fw_next_addr and fw_next_arg1.
const (
	jumpOffset    = 2 << 20
	jumpFDTOffset = 34 << 20
)

// dtbSlack is room behind the device tree: OpenSBI adds nodes to it where it lies.
const dtbSlack = 64 << 10

// lowEnd is the first address that a 32-bit pointer cannot reach; U-Boot does not look beyond for memory.
const lowEnd = memory.GPA(1) << 32

// Range is guest physical memory [Start, End).
type Range struct {
	Start, End memory.GPA
}

// Size is the length in bytes.
func (r Range) Size() uint64 { return uint64(r.End - r.Start) }

func (r Range) overlaps(o Range) bool { return r.Start < o.End && o.Start < r.End }

// Payload is what Place has to know of a kernel or firmware: a *[kernel.File].
type Payload interface {
	// Span is the memory it occupies when it is loaded at an address.
	Span(at memory.GPA) (start, end memory.GPA)
	// TextOffset is how far from the start of RAM it wants to be, at least.
	TextOffset() uint64
	// Fixed says that it has its own address.
	Fixed() bool
}

var _ Payload = (*kernel.File)(nil)

// Request says what has to find a place.
type Request struct {
	RAM        Range
	Firmware   Payload // nil: the host is the firmware
	Kernel     Payload // nil: firmware alone
	InitrdSize uint64  // bytes; 0: none
	DTBSize    uint64  // bytes
}

// Layout says where it went. A Range of what was not requested is empty.
type Layout struct {
	Firmware Range
	Kernel   Range
	Initrd   Range
	DTB      Range // longer than DTBSize
	Handoff  Range // what the stages leave for each other; empty without firmware
	// Jump is where FW_JUMP enters the next stage, when the kernel is somewhere else; 0 otherwise.
	Jump memory.GPA
}

// Place lays out a boot. An error says in one line what does not fit, and what to do.
func Place(q Request) (*Layout, error) {
	p := placer{ram: q.RAM, top: min(q.RAM.End, lowEnd)}
	l := &Layout{}
	if q.Firmware != nil {
		start, end := q.Firmware.Span(q.RAM.Start)
		l.Firmware = Range{start, end}
		if err := p.fixed("the firmware", l.Firmware); err != nil {
			return nil, err
		}
		// U-Boot moves itself, its heap and its stack to the end of memory.
		p.top -= memory.GPA(min(64<<20, q.RAM.Size()/4)) &^ memory.PageMask
	}
	if q.Kernel != nil {
		if err := p.kernel(l, q); err != nil {
			return nil, err
		}
	}
	var ok bool
	if l.DTB, ok = p.high(q.DTBSize + dtbSlack); !ok {
		return nil, noRoom("the device tree", q.DTBSize, q.RAM)
	}
	if q.Firmware != nil {
		if l.Handoff, ok = p.high(memory.PageSize); !ok {
			return nil, noRoom("the handoff page", memory.PageSize, q.RAM)
		}
	}
	if q.InitrdSize > 0 {
		if l.Initrd, ok = p.high(q.InitrdSize); !ok {
			what := "initrd"
			if q.InitrdSize <= q.RAM.Size() {
				what = "beside the kernel, the initrd" // it is not its size alone
			}
			return nil, noRoom(what, q.InitrdSize, q.RAM)
		}
		l.Initrd.End = l.Initrd.Start + memory.GPA(q.InitrdSize) // the kernel must not see the padding
	}
	return l, nil
}

func noRoom(what string, size uint64, ram Range) error {
	return fmt.Errorf("%s of %s does not fit into %s of memory: give the machine more with --memory", what, kernel.MiB(size), kernel.MiB(ram.Size()))
}

// placer hands out memory that nothing else has.
type placer struct {
	ram  Range
	top  memory.GPA
	used []Range
}

// fixed takes a range that cannot be elsewhere.
func (p *placer) fixed(what string, r Range) error {
	switch {
	case r.Start < p.ram.Start:
		return fmt.Errorf("%s occupies %#x-%#x, and memory is %#x-%#x: it is made for another machine, or is a program for Linux",
			what, uint64(r.Start), uint64(r.End), uint64(p.ram.Start), uint64(p.ram.End))
	case r.Start >= p.ram.End && r.Size() <= p.ram.Size():
		return fmt.Errorf("%s occupies %#x-%#x, and memory is %#x-%#x: give the machine more with --memory",
			what, uint64(r.Start), uint64(r.End), uint64(p.ram.Start), uint64(p.ram.End))
	case r.End < r.Start || r.End > p.ram.End:
		return noRoom(what, r.Size(), p.ram)
	}
	for _, u := range p.used {
		if u.overlaps(r) {
			return fmt.Errorf("%s occupies %#x-%#x, where the firmware is (%#x-%#x)", what, uint64(r.Start), uint64(r.End), uint64(u.Start), uint64(u.End))
		}
	}
	p.used = append(p.used, r)
	return nil
}

// high takes size bytes, whole pages, as far up as there is room.
func (p *placer) high(size uint64) (Range, bool) {
	size = (size + memory.PageMask) &^ memory.PageMask
	end := p.top
	for {
		if end < p.ram.Start || uint64(end-p.ram.Start) < size {
			return Range{}, false
		}
		r := Range{end - memory.GPA(size), end}
		clash := false
		for _, u := range p.used {
			if u.overlaps(r) {
				end, clash = u.Start&^memory.PageMask, true
			}
		}
		if !clash {
			p.used = append(p.used, r)
			return r, true
		}
	}
}

// kernel places the kernel, and around it what firmware writes to on its own.
func (p *placer) kernel(l *Layout, q Request) error {
	jump := q.RAM.Start + jumpOffset
	at := jump
	if q.Kernel.TextOffset() > jumpOffset {
		at = q.RAM.Start + memory.GPA(q.Kernel.TextOffset())
	}
	if q.Firmware != nil {
		at = max(at, alignUp(l.Firmware.End))
	}
	start, end := q.Kernel.Span(at)
	l.Kernel = Range{start, end}
	if q.Firmware == nil {
		return p.fixed("the kernel", l.Kernel)
	}
	fdt := Range{q.RAM.Start + jumpFDTOffset, q.RAM.Start + jumpFDTOffset}
	fdt.End += memory.GPA(q.DTBSize + dtbSlack)
	if !q.Kernel.Fixed() && l.Kernel.overlaps(fdt) {
		start, end = q.Kernel.Span(alignUp(fdt.End))
		l.Kernel = Range{start, end}
	}
	if err := p.fixed("the kernel", l.Kernel); err != nil {
		return err
	}
	p.used = append(p.used, fdt)
	code := Range{jump, jump + trampolineSize}
	if code.End <= q.RAM.End && !code.overlaps(l.Kernel) && !code.overlaps(l.Firmware) {
		l.Jump = jump
		p.used = append(p.used, code)
	}
	return nil
}

func alignUp(a memory.GPA) memory.GPA { return (a + kernel.Align - 1) &^ (kernel.Align - 1) }
