// Package keep keeps what a translator has made from one run to the next: a machine that boots the same kernel and runs the same programs again finds the code of
// them on disk, in a quarter of the time that translating takes.
//
//	keep.go     what is kept, and how it is found
//	segment.go  files: one for each run that had something new
//	identity.go which program they are for
//
// It knows neither guest nor host code. What is kept belongs to the contents of a guest page, all 4096 bytes of them, and is compared with them, so that
// it is as good as new whatever machine has the page, at whatever address. Everything else that the code depends on (the program that made it, the host's features, settings)
// is in the name of the files: what has another identity is not found.
//
// # Bounds and trust
//
// Files are of their user alone (mode 0600 in a folder 0700): who can write them can write the program, too. They hold guest code, and what else is in pages with code. A guest decides
// what is in them, but not under what it is found. What a run adds, and what the folder holds, is limited; the files that were not used for longest go first. Damage is found by
// checksums, and is as if nothing was there. Programs that run at the same time do not meet: each writes a file of its own, which gets its name when it is complete.
package keep

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
)

// PageSize is the length of a page in bytes.
const PageSize = 4096

// What is kept at most.
const (
	maxAdded = 96 << 20  // bytes that a run adds
	maxTotal = 512 << 20 // bytes in the folder
	maxFiles = 16        // of one identity that are looked into
	maxPage  = 256 << 10 // bytes of the pieces of a page in a file
	// A run that has little new against what there is adds nothing: each file costs every run that follows something.
	minAdded    = 64 << 10
	minFraction = 16 // of the bytes that are there
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind tells apart what is kept of the same contents. Its meaning is the owner's.
type Kind uint8

// Store is the files of one identity. Its methods belong to one goroutine.
type Store struct {
	dir      string
	id       Identity
	segments []*segment
	present  int64 // bytes of them

	added map[uint32][]*Page // by the checksum of their contents
	out   *writer            // nil until there is something
	full  bool               // nothing can be added any more
}

// Open opens the store of an identity in a folder, which is made if it is not there.
func Open(dir string, id Identity) (*Store, error) {
	if dir == "" || id == (Identity{}) {
		return nil, errors.New("keeping translations takes a folder and an identity")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := private(dir); err != nil {
		return nil, err
	}
	s := &Store{dir: dir, id: id, added: map[uint32][]*Page{}}
	s.openSegments()
	return s, nil
}

// private says why a folder is not this user's alone: code from it would be somebody else's, who may have fewer rights.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(owner.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a folder that only the present user can write to", dir)
	}
	return nil
}

// Find calls f with each piece that is kept of a page with these contents. What f is given is valid until it returns.
func (s *Store) Find(contents *[PageSize]byte, kind Kind, f func(off uint16, piece []byte)) {
	crc := crc32.Checksum(contents[:], castagnoli)
	for _, g := range s.segments {
		g.find(crc, kind, contents, f)
	}
}

// Page is a page that this run has new pieces of.
type Page struct {
	contents [PageSize]byte
	kind     Kind
	size     int              // of the pieces
	pieces   map[uint16]place // by offset, where they are in Store.out
}

// Is says that the page has these contents.
func (p *Page) Is(contents *[PageSize]byte) bool { return p.contents == *contents }

// Page is the page with these contents, for pieces to be added to; nil if nothing can be added any more.
func (s *Store) Page(contents *[PageSize]byte, kind Kind) *Page {
	if s.full {
		return nil
	}
	if s.out == nil {
		var err error
		if s.out, err = newWriter(s.dir); err != nil {
			s.full = true // there is no room for anything
			return nil
		}
	}
	crc := crc32.Checksum(contents[:], castagnoli)
	for _, p := range s.added[crc] {
		if p.kind == kind && p.Is(contents) {
			return p
		}
	}
	p := &Page{contents: *contents, kind: kind, pieces: map[uint16]place{}}
	s.added[crc] = append(s.added[crc], p)
	return p
}

// Add keeps a piece that belongs to an offset of a page, unless this run has added one there.
func (s *Store) Add(p *Page, off uint16, piece []byte) {
	if _, ok := p.pieces[off]; ok || s.full || p.size+pieceHeader+len(piece) > maxPage {
		return
	}
	at := s.out.piece(off, piece)
	p.pieces[off], p.size = at, p.size+at.n
	s.full = s.out.err != nil || s.out.at >= maxAdded
}

// Close ends the run: if what is new is worth it, it becomes a file. The error is of no consequence but that nothing was added.
func (s *Store) Close() error {
	for _, g := range s.segments {
		g.close()
	}
	s.segments = nil
	out := s.out
	pages := s.added
	s.out, s.full, s.added = nil, true, nil
	if out == nil {
		return nil
	}
	defer func() { _ = out.abandon() }()
	if out.at < minAdded || out.at < s.present/minFraction {
		return nil
	}
	w, err := newWriter(s.dir)
	if err != nil {
		return err
	}
	if err := w.arrange(out, pages, s.id); err != nil {
		return errors.Join(err, w.abandon())
	}
	if err := w.complete(filepath.Join(s.dir, s.id.fileName())); err != nil {
		return errors.Join(err, w.abandon())
	}
	return s.prune()
}
