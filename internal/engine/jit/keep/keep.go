// Package keep keeps what a translator has made from one run to the next: a machine that boots the same kernel and runs the same programs again finds the code of
// them on disk, in a tenth of the time that translating takes.
//
//	keep.go     what is kept, and how it is found
//	folder.go   the folder: whose it is, and how much there may be
//	segment.go  files: one for each run that had something new
//	identity.go which program they are for
//
// It knows neither guest nor host code. What is kept belongs to the contents of a guest page, all 4096 bytes of them, and is compared with them, so that
// it is as good as new whatever machine has the page, at whatever address. Everything else that the code depends on (the program that made it, the host's features, settings)
// is in the identity of the files: what has another one is not found.
//
// # Bounds and trust
//
// Files are their user's alone, and so is the folder: who can write them can write the program, too. They hold guest code, and what else is in pages with code, in the
// clear. What a run adds and, between runs, what the folder holds is limited; the files that were not used for longest go first. A guest decides what it adds, but what is found has the very contents of the page that is
// looked for, and no more than its limit. What a guest can do to others of its user is to have them find less, or what they do not need, and to learn by the time that it takes whether a page of some contents was ever executed. Damage is found by checksums, and is as if
// nothing was there. Programs that run at the same time do not meet: each writes a file of its own, which gets its name when it is complete.
package keep

import (
	"errors"
	"hash/crc32"
	"os"
	"slices"
)

// PageSize is the length of a page in bytes.
const PageSize = 4096

// What is kept at most.
const (
	maxAdded = 96 << 20  // bytes that a run adds
	maxTotal = 512 << 20 // bytes in the folder
	maxFiles = 16        // of one identity that are looked into
	maxPage  = 256 << 10 // bytes of the pieces of a page, in a file and as they are found
	maxPages = 16384     // that a run adds to
	maxAlike = 8         // pages with the same checksum: a guest can make any number of them
	// A run that has little new against what there is adds nothing: each file costs every run that follows something.
	minAdded    = 64 << 10
	minFraction = 16 // of the bytes that are there
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Kind tells apart what is kept of the same contents. Its meaning is the owner's.
type Kind uint8

// Store is the files of one identity. Its methods are called one at a time.
type Store struct {
	folder   *os.Root
	id       Identity
	segments []*segment
	present  int64 // bytes of them

	added map[uint32][]*Page // by the checksum of their contents
	last  *Page              // that was asked for
	is    [PageSize]byte     // its contents
	pages int                // of them
	out   *writer            // pieces in the order in which they come, in a file without a name; nil until there is one
	full  bool               // nothing can be added any more
}

// Open opens the store of an identity in a folder, which is made if it is not there.
func Open(dir string, id Identity) (*Store, error) {
	if dir == "" || id == (Identity{}) {
		return nil, errors.New("keeping translations takes a folder and an identity")
	}
	folder, err := openFolder(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{folder: folder, id: id, added: map[uint32][]*Page{}}
	s.openSegments()
	return s, nil
}

// Find calls f with each piece that is kept of a page with these contents, up to a limit. What f is given is valid until it returns.
func (s *Store) Find(contents *[PageSize]byte, kind Kind, f func(off uint16, piece []byte)) {
	crc := crc32.Checksum(contents[:], castagnoli)
	room := maxPage
	for _, g := range s.segments {
		g.find(crc, kind, contents, func(off uint16, piece []byte) {
			if room -= len(piece); room >= 0 {
				f(off, piece)
			}
		})
	}
}

// Page is a page that this run has new pieces of.
type Page struct {
	kind   Kind
	at     int64   // of the contents in Store.out
	size   int     // of the pieces
	pieces []place // in Store.out
}

// Page is the page with these contents, for pieces to be added to; nil if there can be none.
func (s *Store) Page(contents *[PageSize]byte, kind Kind) *Page {
	if s.full {
		return nil
	}
	if s.last == nil || s.last.kind != kind || s.is != *contents {
		if s.last = s.page(contents, kind); s.last != nil {
			s.is = *contents
		}
	}
	return s.last
}

func (s *Store) page(contents *[PageSize]byte, kind Kind) *Page {
	crc := crc32.Checksum(contents[:], castagnoli)
	alike := s.added[crc]
	for _, p := range alike {
		if p.kind == kind && s.out.has(p.at, contents) {
			return p
		}
	}
	if len(alike) == maxAlike {
		return nil
	}
	if s.full = s.pages == maxPages || !s.begin(); s.full {
		return nil
	}
	p := &Page{kind: kind, at: s.out.write(contents[:])}
	s.added[crc] = append(alike, p)
	s.pages++
	return p
}

// Full says that nothing can be added any more.
func (s *Store) Full() bool { return s.full }

// begin makes the file that pieces are written to.
func (s *Store) begin() bool {
	if s.out != nil {
		return true
	}
	w, name, err := newWriter(s.folder, s.id)
	if err != nil {
		return false
	}
	s.out = w
	return s.folder.Remove(name+temporary) == nil // it is gone with the process, however that ends
}

// Add keeps a piece that belongs to an offset of a page, unless this run has added one there.
func (s *Store) Add(p *Page, off uint16, piece []byte) {
	if s.full || p.size+pieceHeader+len(piece) > maxPage || slices.ContainsFunc(p.pieces, func(q place) bool { return q.off == off }) {
		return
	}
	p.pieces = append(p.pieces, s.out.piece(off, piece))
	p.size += pieceHeader + len(piece)
	s.full = s.out.err != nil || s.out.at >= maxAdded
}

// Close ends the run: if what is new is worth it, it becomes a file. The error is of no consequence but that nothing was added.
func (s *Store) Close() error {
	for _, g := range s.segments {
		g.close()
	}
	err := s.complete()
	s.segments, s.added, s.full = nil, nil, true
	return errors.Join(err, prune(s.folder), s.folder.Close())
}

func (s *Store) complete() error {
	if s.out == nil {
		return nil
	}
	defer s.out.file.Close()
	if s.out.at < minAdded || s.out.at < s.present/minFraction {
		return nil
	}
	w, name, err := newWriter(s.folder, s.id)
	if err != nil {
		return err
	}
	defer w.file.Close()
	if err = w.arrange(s.out, s.added, s.id); err == nil {
		err = s.folder.Rename(name+temporary, name+suffix)
	}
	if err != nil {
		return errors.Join(err, s.folder.Remove(name+temporary))
	}
	return nil
}
