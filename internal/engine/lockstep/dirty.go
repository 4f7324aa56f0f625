package lockstep

// Whether a log of written pages (memory.DirtyLog) has every page that was written: of both machines, memory is compared with what it was when the log was
// last taken.

import (
	"bytes"
	"fmt"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
)

// dirtyLog is the log of one machine.
type dirtyLog struct {
	name    string
	side    *Side
	log     *memory.DirtyLog
	written memory.Bitmap
	was     []byte // memory when the log was taken
}

// logDirty begins the logs of both machines.
func (p *Pair) logDirty() error {
	for _, d := range []*dirtyLog{{name: "the engine under test", side: &p.Tested}, {name: "the reference", side: &p.Reference}} {
		h := d.side.Hart
		var err error
		if d.log, err = h.RAM.TrackDirty(func() { hart.RemoteFence(h, []*hart.Hart{h}, hart.FenceRequest{UnstoreAll: true}) }); err != nil {
			return err
		}
		d.was = bytes.Clone(p.ram(d.side))
		p.dirty = append(p.dirty, d)
	}
	return nil
}

// checkDirty takes the logs, and looks for pages that are otherwise and not in them.
func (p *Pair) checkDirty() error {
	for _, d := range p.dirty {
		d.written = d.log.Take(d.written)
		now := p.ram(d.side)
		for i := uint64(0); i < uint64(len(now)); i += memory.PageSize {
			page, old := now[i:i+memory.PageSize], d.was[i:i+memory.PageSize]
			switch {
			case bytes.Equal(page, old):
			case d.written.Has(i >> memory.PageShift):
				copy(old, page)
				p.dirtyPages++
			default:
				return p.diverge(0, fmt.Sprintf("%s has written the page at %#x, and its log does not say so", d.name, uint64(d.side.Hart.RAM.Base())+i))
			}
		}
	}
	return nil
}

// endDirty ends the logs.
func (p *Pair) endDirty() {
	for _, d := range p.dirty {
		d.log.Stop()
	}
	p.dirty = nil
}
