package initramfs

// The initrd: what a kernel is given is one or more archives, one behind the other, each at a multiple of 4 bytes, so that
// later ones add to and replace what is in earlier ones. A user's own comes first, compressed or not, as it is.

import (
	"fmt"
	"io"
	"os"

	"github.com/vmproject/vm/internal/memory"
)

// Initrd is a sequence of archives.
type Initrd struct {
	parts []part
	size  uint64
}

type part struct {
	at, size uint64
	write    func(io.Writer) error
}

// Size is its length in bytes.
func (d *Initrd) Size() uint64 { return d.size }

// AddArchive appends an archive, which must not get more entries afterwards.
func (d *Initrd) AddArchive(a *Archive) {
	d.add(a.Size(), func(w io.Writer) error {
		_, err := a.WriteTo(w)
		return err
	})
}

// AddFile appends a file of the host as it is.
func (d *Initrd) AddFile(host string) error {
	st, err := os.Stat(host)
	if err != nil {
		return fmt.Errorf("opening the initrd: %w", err)
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("the initrd %s is not a regular file", host)
	}
	if st.Size() == 0 {
		return fmt.Errorf("the initrd %s is empty", host)
	}
	d.add(uint64(st.Size()), func(w io.Writer) error {
		f, err := os.Open(host)
		if err != nil {
			return fmt.Errorf("opening the initrd: %w", err)
		}
		defer f.Close()
		if _, err := io.CopyN(w, f, st.Size()); err != nil {
			return fmt.Errorf("reading the initrd %s: %w", host, err)
		}
		return nil
	})
	return nil
}

func (d *Initrd) add(size uint64, write func(io.Writer) error) {
	at := align4(d.size)
	d.parts = append(d.parts, part{at, size, write})
	d.size = at + size
}

// Load writes the initrd into ram at the address.
func (d *Initrd) Load(ram *memory.RAM, at memory.GPA) error {
	dst, err := ram.Slice(at, d.size)
	if err != nil {
		return fmt.Errorf("loading the initrd: %w", err)
	}
	for _, p := range d.parts {
		w := sliceWriter(dst[p.at : p.at+p.size])
		if err := p.write(&w); err != nil {
			return err
		}
	}
	// The gaps are zeros whatever was in memory before: that is how a kernel finds the next archive.
	for i := 1; i < len(d.parts); i++ {
		clear(dst[d.parts[i-1].at+d.parts[i-1].size : d.parts[i].at])
	}
	return nil
}

// sliceWriter fills a slice from its front.
type sliceWriter []byte

func (w *sliceWriter) Write(p []byte) (int, error) {
	n := copy(*w, p)
	*w = (*w)[n:]
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}
