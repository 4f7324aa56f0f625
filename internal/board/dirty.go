package board

import (
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
)

// TrackDirty begins a log of the pages of RAM that are written, by harts and devices and loaders, for who copies memory while the machine runs. It may be
// called, and the log be taken, from any goroutine but a hart's, at any time before Close.
func (b *Board) TrackDirty() (*memory.DirtyLog, error) {
	harts := make([]*hart.Hart, len(b.cpus))
	for i, c := range b.cpus {
		harts[i] = c.Hart
	}
	return b.RAM.TrackDirty(func() { hart.RemoteFence(nil, harts, hart.FenceRequest{UnstoreAll: true}) })
}
