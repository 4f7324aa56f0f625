package qcow2

// Snapshots inside an image: a copy of the L1 table, whose L2 tables and data have one user more ("Snapshots"). Taking one, going back to
// one and deleting one all end in one write of the header; a crash before it leaves what was, and leaks.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Snapshot is one of an image's.
type Snapshot struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Taken   time.Time `json:"taken"`
	Size    int64     `json:"virtual-size"`  // of the disk then, bytes
	VMState int64     `json:"vm-state-size"` // of a machine that was saved with it, bytes; kept and not used

	l1Offset, l1Size int64
	clock            uint64
	extra            []byte // as in the file
}

const (
	snapshotLen = 40 // bytes, without what follows
	// maxSnapshotL1 is how many entries the L1 tables of all snapshots may have: what a check has to read.
	maxSnapshotL1 = 1 << 30 / 8
)

// ErrNoSnapshot is wrapped when there is no snapshot of that name.
var ErrNoSnapshot = errors.New("no such snapshot")

// readSnapshots reads the table of them.
func (g *Image) readSnapshots() ([]Snapshot, error) {
	var list []Snapshot
	at := g.h.snapshotsOffset
	read := func(n int64) ([]byte, error) {
		if at+n > g.end.Load() || at+n-g.h.snapshotsOffset > maxSnapshotsLen {
			return nil, corrupt("the table of snapshots at %d is cut off", g.h.snapshotsOffset)
		}
		b := make([]byte, n)
		err := g.f.ReadvAt([][]byte{b}, at)
		at += n
		return b, err
	}
	entries := int64(0)
	for range g.h.snapshots {
		b, err := read(snapshotLen)
		if err != nil {
			return nil, err
		}
		be := binary.BigEndian
		s := Snapshot{
			l1Offset: int64(be.Uint64(b)), l1Size: int64(be.Uint32(b[8:])), Size: g.h.size, clock: be.Uint64(b[24:]),
			Taken: time.Unix(int64(be.Uint32(b[16:])), int64(be.Uint32(b[20:]))), VMState: int64(be.Uint32(b[32:])),
		}
		extra, id, name := int64(be.Uint32(b[36:])), int64(be.Uint16(b[12:])), int64(be.Uint16(b[14:]))
		entries += s.l1Size
		if s.l1Offset <= 0 || s.l1Offset > g.end.Load()-s.l1Size*8 || entries > maxSnapshotL1 || s.l1Offset&(g.cs-1) != 0 || s.l1Size*8 > maxL1Bytes || extra > 1024 {
			return nil, corrupt("an entry of the table of snapshots")
		}
		if b, err = read((extra + id + name + 7) &^ 7); err != nil {
			return nil, err
		}
		s.extra, s.ID, s.Name = b[:extra], string(b[extra:extra+id]), string(b[extra+id:extra+id+name])
		if extra >= 8 {
			s.VMState = int64(be.Uint64(s.extra))
		}
		if extra >= 16 {
			s.Size = int64(be.Uint64(s.extra[8:]))
		}
		list = append(list, s)
	}
	return list, nil
}

func encodeSnapshots(list []Snapshot) []byte {
	be := binary.BigEndian
	var b []byte
	for _, s := range list {
		b = be.AppendUint64(b, uint64(s.l1Offset))
		b = be.AppendUint32(b, uint32(s.l1Size))
		b = be.AppendUint16(b, uint16(len(s.ID)))
		b = be.AppendUint16(b, uint16(len(s.Name)))
		b = be.AppendUint32(b, uint32(s.Taken.Unix()))
		b = be.AppendUint32(b, uint32(s.Taken.Nanosecond()))
		b = be.AppendUint64(b, s.clock)
		state := uint32(0)
		if s.VMState < 1<<32 {
			state = uint32(s.VMState)
		}
		b = be.AppendUint32(b, state)
		b = be.AppendUint32(b, uint32(len(s.extra)))
		b = append(append(append(b, s.extra...), s.ID...), s.Name...)
		b = append(b, make([]byte, -len(b)&7)...)
	}
	return b
}

// snapshotsLen is the length of the table in bytes.
func (g *Image) snapshotsLen() int64 {
	n := int64(0)
	for _, s := range g.snaps {
		n += snapshotLen + int64(len(s.extra)+len(s.ID)+len(s.Name)+7)&^7
	}
	return n
}

// Snapshots are those of the image, the oldest first.
func (g *Image) Snapshots() []Snapshot { return g.Info().Snapshots }

// find is the index of the snapshot of that name or, when none has it, that ID, and its L1 table.
func (g *Image) find(name string) (i int, l1 []uint64, err error) {
	i = slices.IndexFunc(g.snaps, func(s Snapshot) bool { return s.Name == name })
	if i < 0 {
		i = slices.IndexFunc(g.snaps, func(s Snapshot) bool { return s.ID == name })
	}
	if i < 0 {
		return 0, nil, fmt.Errorf("%w: %q", ErrNoSnapshot, name)
	}
	l1, err = g.readEntries(g.snaps[i].l1Offset, g.snaps[i].l1Size, "L1 table of the snapshot")
	return i, l1, err
}

// exclusively runs do with the image flushed and nobody else in it, and flushes after it.
func (g *Image) exclusively(do func() error) error {
	if g.readOnly {
		return ErrReadOnly
	}
	g.io.Lock()
	defer g.io.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.flushAll(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return g.flushAll()
}

// TakeSnapshot keeps what the disk holds now under a name.
func (g *Image) TakeSnapshot(name string) error {
	if name == "" || len(name) > 255 {
		return errors.New("a snapshot's name has 1 to 255 bytes")
	}
	return g.exclusively(func() error {
		id := 1
		for _, s := range g.snaps {
			if s.Name == name {
				return fmt.Errorf("there is a snapshot %q already: delete it first, or choose another name", name)
			}
			if n, err := strconv.Atoi(s.ID); err == nil && n >= id {
				id = n + 1
			}
		}
		if err := g.room(g.l1, 1); err != nil {
			return err
		}
		// What is shared must not be written in place, so the flags go before the refcounts rise.
		if err := g.clearCopied(); err != nil {
			return err
		}
		if err := g.walk(g.l1, func(c, n int64) error { return g.changeRun(c, n, 1) }); err != nil {
			return err
		}
		at, err := g.storeEntries(g.l1)
		if err != nil {
			return err
		}
		s := Snapshot{ID: strconv.Itoa(id), Name: name, Taken: time.Now(), Size: g.h.size, l1Offset: at, l1Size: int64(len(g.l1))}
		s.extra = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 0), uint64(g.h.size))
		h := g.h
		return g.replaceSnapshots(&h, append(slices.Clone(g.snaps), s))
	})
}

// DeleteSnapshot forgets a snapshot, by name or ID.
func (g *Image) DeleteSnapshot(name string) error {
	return g.exclusively(func() error {
		i, l1, err := g.find(name)
		if err != nil {
			return err
		}
		s := g.snaps[i]
		h := g.h
		if err := g.replaceSnapshots(&h, slices.Delete(slices.Clone(g.snaps), i, i+1)); err != nil {
			return err
		}
		if err := g.walk(l1, func(c, n int64) error { g.giveUp(c, n); return nil }); err != nil {
			return err
		}
		g.giveUp(s.l1Offset>>g.bits, g.clusters(s.l1Size*8))
		return g.setCopied()
	})
}

// ApplySnapshot makes the disk what it was; what it is now is lost unless another snapshot has it.
func (g *Image) ApplySnapshot(name string) error {
	return g.exclusively(func() error {
		i, l1, err := g.find(name)
		if err != nil {
			return err
		}
		s := g.snaps[i]
		need, err := l1SizeFor(max(s.Size, 1), g.h.clusterBits)
		if err != nil {
			return err
		}
		for k := range l1 {
			l1[k] &^= flagCopied
		}
		l1 = append(l1, make([]uint64, max(need-s.l1Size, 0))...)
		if err := g.room(l1, 1); err != nil {
			return err
		}
		if err := g.walk(l1, func(c, n int64) error { return g.changeRun(c, n, 1) }); err != nil {
			return err
		}
		h := g.h
		h.size = s.Size
		return g.replaceL1(&h, l1, true)
	})
}

// room fails when delta more users do not fit the refcount of something that an L1 table leads to.
func (g *Image) room(l1 []uint64, delta uint64) error {
	return g.walk(l1, func(first, n int64) error {
		for c := first; c < first+n; c++ {
			if have, err := g.refcount(c); err != nil {
				return err
			} else if have > g.maxRef()-delta {
				return fmt.Errorf("refcounts of %d bits count to %d: delete a snapshot, or convert the image to one with larger refcounts",
					1<<g.refBits, g.maxRef())
			}
		}
		return nil
	})
}

// changeRun adds delta to the refcounts of n clusters.
func (g *Image) changeRun(c, n, delta int64) error {
	for k := range n {
		if _, err := g.change(c+k, delta); err != nil {
			return err
		}
	}
	return nil
}

// walk calls do for each use of clusters of the file by what an L1 table leads to: its L2 tables, and all they have. Nothing of it is dirty.
func (g *Image) walk(l1 []uint64, do func(c, n int64) error) error {
	for _, e := range l1 {
		off := entryOffset(e)
		if off == 0 {
			continue
		}
		t, err := g.readTable(off)
		if err != nil {
			return err
		}
		if err := do(off>>g.bits, 1); err != nil {
			return err
		}
		for _, e := range t.e {
			c, n := g.uses(e)
			if n == 0 {
				continue
			}
			if err := do(c, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// uses are the clusters of the file that an L2 entry has.
func (g *Image) uses(e uint64) (first, n int64) {
	if e&flagCompressed != 0 {
		off, n := g.compressedAt(e)
		return off >> g.bits, (off+n-1)>>g.bits - off>>g.bits + 1
	}
	if off := entryOffset(e); off != 0 {
		return off >> g.bits, 1
	}
	return 0, 0
}

// clearCopied takes the flag for one user from everything, durably.
func (g *Image) clearCopied() error {
	for i, e := range g.l1 {
		if entryOffset(e) == 0 {
			continue
		}
		t, err := g.load(int64(i))
		if err != nil {
			return err
		}
		for j, e := range t.e {
			if e&flagCopied != 0 {
				g.set(t, int64(j), e&^flagCopied)
			}
		}
		if e&flagCopied != 0 {
			g.setL1(int64(i), e&^flagCopied)
		}
	}
	return g.flushTables()
}

// setCopied gives the flag for one user to whatever has only one, and takes it from what has more.
func (g *Image) setCopied() error {
	if err := g.flushAll(); err != nil { // what was given up counts no more
		return err
	}
	flag := func(c int64) (uint64, error) {
		n, err := g.refcount(c)
		if n == 1 {
			return flagCopied, err
		}
		return 0, err
	}
	for i, e := range g.l1 {
		off := entryOffset(e)
		if off == 0 {
			continue
		}
		f, err := flag(off >> g.bits)
		if err != nil {
			return err
		}
		if now := e&^flagCopied | f; now != e {
			g.setL1(int64(i), now)
		}
		t, err := g.load(int64(i))
		if err != nil {
			return err
		}
		for j, e := range t.e {
			if e&flagCompressed != 0 || entryOffset(e) == 0 {
				continue
			}
			f, err := flag(entryOffset(e) >> g.bits)
			if err != nil {
				return err
			}
			if now := e&^flagCopied | f; now != e {
				g.set(t, int64(j), now)
			}
		}
	}
	return nil
}

func (g *Image) clusters(n int64) int64 { return (n + g.cs - 1) >> g.bits }

// storeBytes writes b to new clusters.
func (g *Image) storeBytes(b []byte) (int64, error) {
	n := g.clusters(int64(len(b)))
	at, err := g.allocRun(n)
	if err != nil {
		return 0, err
	}
	if err := g.f.WritevAt([][]byte{b, make([]byte, n<<g.bits-int64(len(b)))}, at); err != nil {
		g.release(at>>g.bits, n)
		return 0, err
	}
	for c := range n {
		g.meta[at>>g.bits+c] = struct{}{}
	}
	return at, nil
}

func (g *Image) storeEntries(e []uint64) (int64, error) { return g.storeBytes(g.encodeEntries(e)) }

// replaceSnapshots makes list the image's snapshots, with h as the header otherwise.
func (g *Image) replaceSnapshots(h *header, list []Snapshot) error {
	if len(list) > maxSnapshots {
		return fmt.Errorf("an image has at most %d snapshots", maxSnapshots)
	}
	old, oldLen := g.h.snapshotsOffset, g.snapshotsLen()
	h.snapshots, h.snapshotsOffset = int64(len(list)), 0
	if len(list) > 0 {
		at, err := g.storeBytes(encodeSnapshots(list))
		if err != nil {
			return err
		}
		h.snapshotsOffset = at
	}
	if err := g.flushRefcounts(); err != nil {
		return err
	}
	if err := g.writeHeader(h); err != nil {
		return err
	}
	g.snaps = list
	if old != 0 {
		g.giveUp(old>>g.bits, g.clusters(oldLen))
	}
	return nil
}

// replaceL1 makes l1 the image's, with h as the header otherwise. tree says that what the old one led to has a user less then.
func (g *Image) replaceL1(h *header, l1 []uint64, tree bool) error {
	at, err := g.storeEntries(l1)
	if err != nil {
		return err
	}
	h.l1Offset, h.l1Size = at, int64(len(l1))
	if err := g.flushRefcounts(); err != nil {
		return err
	}
	old, oldAt := g.l1, g.h.l1Offset
	if err := g.writeHeader(h); err != nil {
		return err
	}
	g.size.Store(h.size)
	g.l1 = l1
	g.forgetAll()
	g.giveUp(oldAt>>g.bits, g.clusters(int64(len(old))*8))
	if !tree {
		return nil
	}
	if err := g.walk(old, func(c, n int64) error { g.giveUp(c, n); return nil }); err != nil {
		return err
	}
	return g.setCopied()
}
