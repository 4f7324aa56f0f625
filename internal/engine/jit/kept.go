package jit

// What is kept of translations from one run to the next (package keep): blocks of the first tier and regions of the second, as they are before anything is patched in them. The
// first time that a page is to be translated, all that earlier runs had of a page with these contents is put in its place, which takes a tenth of the time, and its jumps are
// completed at once.
//
// A page is looked up as it is when it is watched already: what is written to it from then on is noted, and its translations are dropped by the next FENCE.I, these as any
// others. So they may be of what was there before, which is what RISC-V allows until then (Unprivileged, Zifencei).
//
// Not kept are blocks that go on in another page, blocks that a group has failed in (ir.Block.Plain), which are rare, and code of pages that change all the time, which is
// a program's that makes it. Code is moved to addresses that are the same modulo code.Align alone: what is padded in it depends on that.

import (
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/keep"
	"github.com/vmproject/vm/internal/engine/jit/opt"
	"github.com/vmproject/vm/internal/memory"
)

var _ [keep.PageSize - memory.PageSize]struct{}
var _ [memory.PageSize - keep.PageSize]struct{}

// kept is what a machine has of a store. Guarded by Machine.mu.
type kept struct {
	store    *keep.Store           // nil: nothing is kept
	err      error                 // why not, although it should be
	contents [memory.PageSize]byte // of the page that is translated now, copied: others may write to it

	// Memory that is used again.
	piece      []byte
	away, back []int32
	completes  []amd64.Unlinked
	entries    []amd64.Entry
	faults     []amd64.Fault
	links      []completion // of the pieces of a page
}

// completion is a jump of a piece that can be completed: where its displacement is, and the offset that it leads to.
type completion struct {
	site   uint32
	target uint16
}

// openKept opens the store in a folder. Whatever keeps it from being used is no reason not to run.
func (m *Machine) openKept(dir string) {
	base := uintptr(m.arena.Base())
	var layout []uintptr // of the routines: code calls them by their distance
	for r, i := reflect.ValueOf(m.routines), 0; i < r.NumField(); i++ {
		layout = append(layout, uintptr(r.Field(i).Uint())-base)
	}
	m.kept.store, m.kept.err = keep.Open(dir, keep.IdentityOf(layout, m.compiler.Features(), m.compiler.Patchable, m.compiler.Counting, m.maxGuest, m.tier.mode, m.tier.set))
}

// describe says whether translations are kept.
func (k *kept) describe() string {
	switch {
	case k.err != nil:
		return "no: " + k.err.Error()
	case k.store == nil:
		return "no"
	}
	return "yes"
}

// closeKept ends the run of the store.
func (m *Machine) closeKept() {
	if m.kept.store != nil {
		_ = m.kept.store.Close() // what could not be kept is translated again
		m.kept.store = nil
	}
}

// A piece is what is to be known of a block or a region, in little-endian numbers of two bytes, and its code:
//
//	offsets of its outer and inner entry; how many follow of each of these
//	entries of a block: offset in the page, outer, inner
//	displacements of jumps to routines, which count as if the code were first in code memory
//	displacements of jumps of a region to what it has taken over from
//	jumps to complete: displacement, offset in the page that it leads to
//	places that may fault: where, and the four bytes of an amd64.Place; or in a region where to go on, and nothing
//	a region's opt.Extent
//
// That of a region belongs to the offset of its head, plus 1.
const (
	pieceHeader = 7
	regionBit   = 1
)

// mayChange is how often a guest may have changed a page for its code to be kept: pages of RAM have other contents from time to time.
const mayChange = 8

// keepCode adds code of a page with some contents to the store: a block, or a region of some extent that has taken over from the code at a distance from the start of code memory.
func (m *Machine) keepCode(p *page, contents *[memory.PageSize]byte, off uint16, start uint32, out *amd64.Code, from uint32, extent *opt.Extent) {
	k := &m.kept
	if len(out.Bytes) > 1<<16-1 || p.changes > mayChange {
		return
	}
	keeps := k.store.Page(contents, keep.Kind(p.mode))
	if keeps == nil {
		return
	}
	// Jumps to blocks without groups are completed when they are taken, as those blocks are not kept.
	k.completes = slices.DeleteFunc(append(k.completes[:0], out.Links...), func(l amd64.Unlinked) bool { return l.Plain })
	k.away, k.back = k.away[:0], k.back[:0]
	for _, at := range out.Away {
		to := start + uint32(at) + 4 + binary.LittleEndian.Uint32(out.Bytes[at:])
		if extent != nil && to == from {
			k.back = append(k.back, at)
		} else {
			k.away = append(k.away, at)
		}
	}
	b := k.piece[:0]
	put := func(vs ...int) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
	}
	put(out.Outer, out.Inner, len(out.Entries), len(k.away), len(k.back), len(k.completes), len(out.Faults))
	for _, e := range out.Entries {
		put(int(e.Off), e.Outer, e.Inner)
	}
	for _, list := range [...][]int32{k.away, k.back} {
		for _, at := range list {
			put(int(at))
		}
	}
	for _, l := range k.completes {
		put(l.Site, int(l.Target))
	}
	for _, f := range out.Faults {
		if extent != nil {
			put(f.At, f.To, 0)
		} else {
			put(f.At, int(f.Place&0xffff), int(f.Place>>16))
		}
	}
	if extent != nil {
		off |= regionBit
		for _, w := range extent {
			b = binary.LittleEndian.AppendUint64(b, w)
		}
	}
	n := len(b)
	b = append(b, out.Bytes...)
	for _, at := range k.away {
		shift(b[n+int(at):], start)
	}
	k.piece = b
	k.store.Add(keeps, off, b)
}

// shift adds a distance to the displacement at the start of b.
func shift(b []byte, distance uint32) {
	binary.LittleEndian.PutUint32(b, binary.LittleEndian.Uint32(b)+distance)
}

// takeKept puts what is kept of a page in its place. kept.contents are the page's.
func (m *Machine) takeKept(p *page, va uint64) {
	k := &m.kept
	k.links = k.links[:0]
	regions := false
	k.store.Find(&k.contents, keep.Kind(p.mode), func(off uint16, piece []byte) {
		switch {
		case off >= memory.PageSize:
		case off&regionBit != 0:
			regions = true // once there are the blocks that they take over from
		default:
			m.takePiece(p, off, va, piece)
		}
	})
	if regions {
		k.store.Find(&k.contents, keep.Kind(p.mode), func(off uint16, piece []byte) {
			if off < memory.PageSize && off&regionBit != 0 {
				m.takePiece(p, off, va, piece)
			}
		})
	}
	for _, l := range k.links {
		if in := p.inner.get(l.target); in != 0 {
			m.arena.Patch(m.arena.Base()+code.Addr(l.site), in-(l.site+4))
		}
	}
}

// takePiece puts a piece in its place, unless there is one, code memory is full, or a region has no block to take over from. Offsets in it were checked by its sum, and come from this
// program.
func (m *Machine) takePiece(p *page, off uint16, va uint64, piece []byte) {
	k := &m.kept
	isRegion := off&regionBit != 0
	off &^= regionBit
	from := p.inner.get(off)
	if isRegion && (from == 0 || p.regions[off] != nil) || !isRegion && p.table[off/2] != 0 || !m.openRegion(maxBlock) {
		return
	}
	next := func() int {
		v := binary.LittleEndian.Uint16(piece)
		piece = piece[2:]
		return int(v)
	}
	var h [pieceHeader]int
	for i := range h {
		h[i] = next()
	}
	entries, away, back, links, faults := h[2], h[3], h[4], h[5], h[6]
	size := 2 * (3*entries + away + back + 2*links + 3*faults)
	if isRegion {
		size += int(unsafe.Sizeof(opt.Extent{}))
	}
	bytes := piece[size:]
	mem, _ := m.region.Alloc(len(bytes))
	copy(mem.Bytes, bytes)
	start := uint32(mem.Addr - m.arena.Base())
	outer, inner := start+uint32(h[0]), start+uint32(h[1])
	k.entries = k.entries[:0]
	for range entries {
		k.entries = append(k.entries, amd64.Entry{Off: uint16(next()), Outer: next(), Inner: next()})
	}
	for range away {
		shift(mem.Bytes[next():], -start)
	}
	for range back {
		at := next()
		binary.LittleEndian.PutUint32(mem.Bytes[at:], from+amd64.PatchSize-(start+uint32(at)+4))
	}
	for range links {
		k.links = append(k.links, completion{start + uint32(next()), uint16(next())})
	}
	k.faults = k.faults[:0]
	for range faults {
		f, low, high := amd64.Fault{At: next()}, next(), next()
		if isRegion {
			f.To = low
		} else {
			f.Place = amd64.Place(low | high<<16)
		}
		k.faults = append(k.faults, f)
	}
	m.inRegion[m.region].add(p, start, k.faults)
	if isRegion {
		extent := &opt.Extent{}
		for i := range extent {
			extent[i] = binary.LittleEndian.Uint64(piece[8*i:])
		}
		m.takeOver(p, off, from, outer, inner, extent)
		m.stats.KeptRegions++
		m.name(mem.Addr, len(bytes), fmt.Sprintf("guest region (%x)", p.gpa+uint64(off)))
	} else {
		m.enterBlock(p, off, start, &amd64.Code{Outer: h[0], Inner: h[1], Entries: k.entries})
		m.stats.Kept++
		m.nameBlock(va+uint64(off), p.gpa+uint64(off), mem.Addr, len(bytes))
	}
	m.stats.KeptBytes += uint64(len(bytes))
}
