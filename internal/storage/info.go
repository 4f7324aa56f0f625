package storage

// What a person asks of an image.

import (
	"fmt"
	"os"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// Info is what is known of an image file.
type Info struct {
	Path     string      `json:"filename"`
	Format   string      `json:"format"`
	Size     int64       `json:"virtual-size"` // of the disk, bytes
	HostSize int64       `json:"actual-size"`  // what the file occupies on the host, bytes
	Sector   int         `json:"logical-sector"`
	Qcow2    *qcow2.Info `json:"qcow2,omitempty"`
}

// Inspect tells what an image is. Its backing file need not be there.
func Inspect(o Options) (*Info, error) {
	o.ReadOnly = true
	if o.Format == "" {
		o.Format = FormatOf(o.Path)
		if o.Format == FormatRaw {
			o.Format = "" // so that what looks like something else is not told to be raw
		}
	}
	n := &Info{Path: o.Path, Format: o.Format, Sector: 512}
	if o.Format == FormatQcow2 {
		img, err := OpenQcow2(o, true)
		if err != nil {
			return nil, err
		}
		defer img.Close()
		q := img.Info()
		n.Size, n.Qcow2, n.Sector = q.Size, &q, SectorOf(img, 0)
	} else {
		img, err := openImage(o, nil)
		if err != nil {
			return nil, fmt.Errorf("disk %s: %w", o.Path, err)
		}
		defer img.Close()
		n.Format, n.Size, n.Sector = FormatRaw, img.Size(), SectorOf(img, 0)
	}
	st, err := os.Stat(o.Path)
	if err != nil {
		return nil, fmt.Errorf("disk %s: %w", o.Path, reason(err))
	}
	n.HostSize = occupied(st)
	return n, nil
}
