package keep

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

var id = Identity{1, 2, 3}

// page is a page's contents that are like no other number's.
func page(n int) *[PageSize]byte {
	p := new([PageSize]byte)
	copy(p[:], fmt.Sprintf("page %d", n))
	return p
}

func open(t *testing.T, dir string, id Identity) *Store {
	t.Helper()
	s, err := Open(dir, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// found is all that is kept of a page.
func found(s *Store, contents *[PageSize]byte, kind Kind) map[uint16]string {
	out := map[uint16]string{}
	s.Find(contents, kind, func(off uint16, piece []byte) { out[off] = string(piece) })
	return out
}

// add adds pieces of random lengths and returns what they are, by page and kind.
func add(s *Store, rng *rand.Rand, pages, pieces int) map[int][2]map[uint16]string {
	out := map[int][2]map[uint16]string{}
	for range pieces {
		n, kind, off := rng.IntN(pages), Kind(rng.IntN(2)), uint16(rng.IntN(64)*2)
		if _, ok := out[n]; !ok {
			out[n] = [2]map[uint16]string{{}, {}}
		}
		piece := bytes.Repeat([]byte{byte(rng.Uint32())}, rng.IntN(3000))
		if _, ok := out[n][kind][off]; !ok {
			out[n][kind][off] = string(piece)
		}
		s.Add(s.Page(page(n), kind), off, piece)
	}
	return out
}

func TestWhatIsAddedIsFoundByTheNextRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "of", "vm")
	rng := rand.New(rand.NewPCG(1, 2))
	s := open(t, dir, id)
	want := add(s, rng, 50, 2000)
	if got := found(s, page(1), 0); len(got) != 0 {
		t.Errorf("%d pieces are found before the run has ended", len(got))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, id)
	defer s.Close()
	for n, kinds := range want {
		for kind, pieces := range kinds {
			if got := found(s, page(n), Kind(kind)); !maps.Equal(got, pieces) {
				t.Fatalf("page %d, kind %d: %d pieces, want %d", n, kind, len(got), len(pieces))
			}
		}
	}
	if got := found(s, page(51), 0); len(got) != 0 {
		t.Errorf("%d pieces of a page that there was never", len(got))
	}
	other := open(t, dir, Identity{1, 2, 3, 4})
	defer other.Close()
	if got := found(other, page(1), 0); len(got) != 0 {
		t.Errorf("%d pieces of another identity with the same name", len(got))
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Errorf("%d files are left, not 1", len(files))
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v: %v", f.Name(), info.Mode(), err)
		}
	}
}

// Runs that end at the same time keep what each has. A run that has little new keeps nothing.
func TestRunsAreKeptBesideEachOther(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, id), open(t, dir, id)
	piece := bytes.Repeat([]byte{7}, 100<<10)
	a.Add(a.Page(page(1), 0), 2, piece)
	b.Add(b.Page(page(1), 0), 4, piece)
	for _, s := range []*Store{a, b} {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, dir, id)
	if got := found(c, page(1), 0); len(got) != 2 {
		t.Errorf("%d pieces, not 2", len(got))
	}
	c.Add(c.Page(page(2), 0), 4, piece[:minAdded/2])
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 2 {
		t.Errorf("%d files, not 2", len(files))
	}
}

func TestWhatARunAddsIsLimited(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, id)
	piece := make([]byte, 60<<10)
	one := s.Page(page(0), 0)
	for off := range uint16(100) {
		s.Add(one, 2*off, piece)
	}
	for n := 1; n < 10_000; n++ {
		p := s.Page(page(n), 0)
		if p == nil {
			break
		}
		s.Add(p, 0, piece)
		s.Add(p, 2, piece)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 {
		t.Fatalf("%d files", len(files))
	}
	if info, _ := files[0].Info(); info.Size() < maxAdded/2 || info.Size() > maxAdded+maxAdded/4 {
		t.Errorf("a file of %d bytes", info.Size())
	}
	s = open(t, dir, id)
	defer s.Close()
	size := 0
	for _, p := range found(s, page(0), 0) {
		size += len(p)
	}
	if size == 0 || size > maxPage {
		t.Errorf("%d bytes of one page", size)
	}
}

// Whatever byte of a file is another, and wherever it ends: what is found is what was added, or nothing.
func TestDamageIsFound(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 4))
	s := open(t, dir, id)
	want := add(s, rng, 8, 80)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	path := filepath.Join(dir, files[0].Name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 600 {
		b := bytes.Clone(whole)
		switch at := rng.IntN(len(b)); {
		case i%3 == 0:
			b = b[:at]
		case i%3 == 1:
			b[at] ^= 1 << rng.IntN(8)
		default: // near the end, where the index is
			b[len(b)-1-rng.IntN(400)] ^= byte(1 + rng.IntN(255))
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir, id)
		for n, kinds := range want {
			for kind, pieces := range kinds {
				if got := found(s, page(n), Kind(kind)); len(got) != 0 && !maps.Equal(got, pieces) {
					t.Fatalf("change %d: page %d has pieces that were not added", i, n)
				}
			}
		}
		s.Close()
	}
}

// Code is taken from a folder only if nobody else can have written it.
func TestFoldersOfOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []os.FileMode{0o770, 0o707} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, id); err == nil {
			t.Errorf("mode %v was taken", mode)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Identity{}); err == nil {
		t.Error("no identity is one")
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, id); err == nil {
			t.Error("another user's folder was taken")
		}
	}
}

// Files that were not used for longest make room.
func TestTheOldestMakeRoom(t *testing.T) {
	dir := t.TempDir()
	var names []string
	other := filepath.Join(dir, "new-thesis.code")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		name := filepath.Join(dir, id.fileName()+suffix)
		names = append(names, filepath.Base(name))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, maxTotal/2); err != nil { // of holes
			t.Fatal(err)
		}
		at := time.Now().Add(time.Duration(i-9) * time.Hour)
		if err := os.Chtimes(name, at, at); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir, id)
	s.Add(s.Page(page(1), 0), 2, make([]byte, 2*minAdded))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, false, true} {
		if _, err := os.Stat(filepath.Join(dir, names[i])); (err == nil) != want {
			t.Errorf("file %d: %v", i, err)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 3 {
		t.Errorf("left are %v", files)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("a file that is none of the store's:", err)
	}
}

// What is not a file of this user's alone is not opened: not one of another user, not a link, and nothing that waits.
func TestFilesOfOthersAreNotRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, id)
	s.Add(s.Page(page(1), 0), 2, make([]byte, 2*minAdded))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	path := filepath.Join(dir, files[0].Name())
	has := func() bool {
		s := open(t, dir, id)
		defer s.Close()
		return len(found(s, page(1), 0)) != 0
	}
	if !has() {
		t.Fatal("there is nothing")
	}
	if err := os.Chmod(path, 0o622); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("a file that anybody can write to was read")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if has() {
			t.Error("another user's file was read")
		}
		if err := os.Chown(path, 0, -1); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "file")
	if err := os.Rename(path, elsewhere); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("a link was followed")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if has() {
		t.Error("a pipe was read")
	}
}

// A guest that changes its code all the time does not fill memory with its pages.
func TestPagesAreLimited(t *testing.T) {
	s := open(t, t.TempDir(), id)
	n := 0
	for ; n < 2*maxPages; n++ {
		p := s.Page(page(n), 0)
		if p == nil {
			break
		}
		s.Add(p, 2, []byte{1})
	}
	if n != maxPages || !s.Full() {
		t.Errorf("%d pages", n)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// Pages whose checksums are the same, of which a guest can make as many as it wants, are told apart, and only some of them are kept. The last four bytes of each make it so.
func TestPagesWithTheSameChecksum(t *testing.T) {
	alike := func(n int) *[PageSize]byte {
		p := page(n)
		var want uint32 = 0x1234_5678
		// The checksum is linear in the last bytes, over bits: solve for them.
		at := p[PageSize-4:]
		base := crc32.Checksum(p[:], castagnoli) ^ want
		var rows [32][2]uint32 // by the highest bit: what a set of bits changes, and the set
		for bit := range 32 {
			binary.LittleEndian.PutUint32(at, 1<<bit)
			changes, set := crc32.Checksum(p[:], castagnoli)^base^want, uint32(1)<<bit
			for changes != 0 && rows[bits.Len32(changes)-1][0] != 0 {
				r := rows[bits.Len32(changes)-1]
				changes, set = changes^r[0], set^r[1]
			}
			if changes != 0 {
				rows[bits.Len32(changes)-1] = [2]uint32{changes, set}
			}
		}
		solution := uint32(0)
		for base != 0 {
			r := rows[bits.Len32(base)-1]
			base, solution = base^r[0], solution^r[1]
		}
		binary.LittleEndian.PutUint32(at, solution)
		if got := crc32.Checksum(p[:], castagnoli); got != want {
			t.Fatalf("checksum %#x", got)
		}
		return p
	}
	dir := t.TempDir()
	s := open(t, dir, id)
	piece := bytes.Repeat([]byte{9}, 60<<10)
	for n := range 2 * maxAlike {
		if p := s.Page(alike(n), 0); p != nil {
			s.Add(p, uint16(2*n), piece)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, id)
	defer s.Close()
	for n := range 2 * maxAlike {
		got := found(s, alike(n), 0)
		if _, ok := got[uint16(2*n)]; ok != (n < maxAlike) || len(got) > 1 {
			t.Errorf("page %d has %d pieces", n, len(got))
		}
	}
}

func TestIdentitiesDiffer(t *testing.T) {
	a, b := IdentityOf("x", 1), IdentityOf("x", 2)
	if a == (Identity{}) || a == b || a != IdentityOf("x", 1) {
		t.Errorf("%x, %x", a, b)
	}
}
