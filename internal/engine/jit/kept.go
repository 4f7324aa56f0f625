package jit

// What is kept of translations from one run to the next (package keep): blocks of the first tier, as they are before anything is patched in them. The first time that a
// page is to be translated, all that earlier runs had of a page with these contents is put in its place, which takes a tenth of the time, and its jumps are completed at once.
//
// A page is looked up as it is when it is watched already: what is written to it from then on is noted, and its translations are dropped by the next FENCE.I, these as any
// others. So they may be of what was there before, which is what RISC-V allows until then (Unprivileged, Zifencei).
//
// Not kept are blocks that go on in another page, blocks without groups, which are rare, and regions, which this run's samples decide on.

import (
	"encoding/binary"
	"reflect"
	"slices"

	"github.com/vmproject/vm/internal/engine/jit/amd64"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/engine/jit/keep"
	"github.com/vmproject/vm/internal/memory"
)

var _ [keep.PageSize - memory.PageSize]struct{}
var _ [memory.PageSize - keep.PageSize]struct{}

// kept is what a machine has of a store. Guarded by Machine.mu.
type kept struct {
	store    *keep.Store           // nil: nothing is kept
	contents [memory.PageSize]byte // of the page that is translated now, copied: others may write to it
	piece    []byte
	faults   []amd64.Fault
	links    []completion
}

// completion is a jump of a piece that can be completed: where its displacement is, and the offset that it leads to.
type completion struct {
	site   uint32
	target uint16
}

// openKept opens the store in a folder. Whatever keeps it from being used is no reason not to run.
func (m *Machine) openKept(dir string, settings ...any) {
	base := uintptr(m.arena.Base())
	var layout []uintptr // of the routines: code calls them by their distance
	for r, i := reflect.ValueOf(m.routines), 0; i < r.NumField(); i++ {
		layout = append(layout, uintptr(r.Field(i).Uint())-base)
	}
	m.kept.store, _ = keep.Open(dir, keep.IdentityOf(append(settings, layout)...))
}

// closeKept ends the run of the store.
func (m *Machine) closeKept() {
	if m.kept.store != nil {
		_ = m.kept.store.Close() // what could not be kept is translated again
		m.kept.store = nil
	}
}

// A piece is what is to be known of a block, in little-endian numbers of two bytes, and its code:
//
//	offsets of its outer and inner entry; how many follow of each: other entries, displacements of jumps to routines, jumps to complete, places that may fault
//	entries: offset in the page, outer, inner
//	displacements, which count as if the block were first in code memory
//	jumps: displacement, offset in the page that it leads to
//	places: where, and the four bytes of an amd64.Place
const pieceHeader = 6

// keepBlock adds a block that was just translated of kept.contents to the store.
func (m *Machine) keepBlock(p *page, off uint16, start uint32, out *amd64.Code) {
	k := &m.kept
	if len(out.Bytes) > 1<<16-1 {
		return
	}
	if p.keeps == nil || !p.keeps.Is(&k.contents) {
		if p.keeps = k.store.Page(&k.contents, keep.Kind(p.mode)); p.keeps == nil {
			return
		}
	}
	b := k.piece[:0]
	put := func(vs ...int) {
		for _, v := range vs {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
	}
	links := slices.DeleteFunc(slices.Clone(out.Links), func(l amd64.Unlinked) bool { return l.Plain }) // those to blocks that are not kept are completed when they are taken
	put(out.Outer, out.Inner, len(out.Entries), len(out.Away), len(links), len(out.Faults))
	for _, e := range out.Entries {
		put(int(e.Off), e.Outer, e.Inner)
	}
	for _, at := range out.Away {
		put(int(at))
	}
	for _, l := range links {
		put(l.Site, int(l.Target))
	}
	for _, f := range out.Faults {
		put(f.At, int(f.Place&0xffff), int(f.Place>>16))
	}
	n := len(b)
	b = append(b, out.Bytes...)
	move(b[n:], out.Away, start)
	k.piece = b
	k.store.Add(p.keeps, off, b)
}

// move adds a distance to displacements of code, at the places that a list has.
func move[T uint16 | int32](b []byte, at []T, distance uint32) {
	for _, a := range at {
		d := b[int(a):]
		binary.LittleEndian.PutUint32(d, binary.LittleEndian.Uint32(d)+distance)
	}
}

// takeKept puts what is kept of a page in its place. kept.contents are the page's.
func (m *Machine) takeKept(p *page, va uint64) {
	k := &m.kept
	k.links = k.links[:0]
	k.store.Find(&k.contents, keep.Kind(p.mode), func(off uint16, piece []byte) {
		if off < memory.PageSize && off%2 == 0 && p.table[off/2] == 0 {
			m.takePiece(p, off, va, piece)
		}
	})
	for _, l := range k.links {
		if in := p.inner.get(l.target); in != 0 {
			m.arena.Patch(m.arena.Base()+code.Addr(l.site), in-(l.site+4))
		}
	}
}

// takePiece puts a piece in its place, unless code memory is full. Offsets in it were checked by its sum, and come from this program.
func (m *Machine) takePiece(p *page, off uint16, va uint64, piece []byte) {
	next := func() int {
		v := binary.LittleEndian.Uint16(piece)
		piece = piece[2:]
		return int(v)
	}
	var h [pieceHeader]int
	for i := range h {
		h[i] = next()
	}
	entries, away, links, faults := h[2], h[3], h[4], h[5]
	bytes := piece[6*entries+2*away+4*links+6*faults:]
	if !m.openRegion() {
		return
	}
	mem, _ := m.region.Alloc(len(bytes))
	copy(mem.Bytes, bytes)
	start := uint32(mem.Addr - m.arena.Base())
	p.inner.put(off, start+uint32(h[1]))
	table := []entry{{off, start + uint32(h[0])}}
	for range entries {
		at, outer, inner := uint16(next()), uint32(next()), uint32(next())
		if p.table[at/2] == 0 && at != off {
			p.inner.put(at, start+inner)
			table = append(table, entry{at, start + outer})
		}
	}
	for range away {
		at := next()
		d := mem.Bytes[at:]
		binary.LittleEndian.PutUint32(d, binary.LittleEndian.Uint32(d)-start)
	}
	for range links {
		m.kept.links = append(m.kept.links, completion{start + uint32(next()), uint16(next())})
	}
	list := m.kept.faults[:0]
	for range faults {
		at := next()
		list = append(list, amd64.Fault{At: at, Place: amd64.Place(next()) | amd64.Place(next())<<16})
	}
	m.kept.faults = list
	m.inRegion[m.region].add(p, start, list)
	for _, e := range table { // the code is complete
		p.table[e.off/2] = e.at
	}
	m.stats.Kept++
	m.stats.KeptBytes += uint64(len(bytes))
	m.nameBlock(va+uint64(off), p.gpa+uint64(off), mem.Addr, len(bytes))
}

// entry is an outer entry of a piece.
type entry struct {
	off uint16
	at  uint32
}
