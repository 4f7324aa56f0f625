package storage

// New image files. Each is made beside its path under another name, and gets the path whole and durable, or not at all.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmproject/vm/internal/storage/qcow2"
)

// CreateOptions are what a new image file is like.
type CreateOptions struct {
	Path    string
	Format  string // FormatRaw or FormatQcow2; "" goes by the path
	Size    int64  // of the disk, bytes; 0 takes the backing file's
	Sector  int    // logical sector in bytes to record; 0 means DefaultSector
	Replace bool   // a file that is there makes way

	// Of qcow2 alone.
	Version       int   // 2 or 3; 0 means 3
	ClusterSize   int64 // bytes; 0 means 64 KiB
	Compression   qcow2.Compression
	Backing       string // path of the backing file, relative to the image
	BackingFormat string // its format; "" goes by the path
}

// DefaultSector is the logical sector of new images, bytes: what disks and file systems of today work in.
const DefaultSector = 4096

// Create makes an empty image. recorded is false where the file has no place for the sector, which then has to be said each time.
func Create(o CreateOptions) (recorded bool, err error) {
	if o.Format == "" {
		o.Format = FormatOf(o.Path)
	}
	if o.Sector == 0 {
		o.Sector = DefaultSector
	}
	if err := o.complete(); err != nil {
		return false, fmt.Errorf("disk %s: %w", o.Path, err)
	}
	d, err := newDraft(o.Path, o.Replace)
	if err != nil {
		return false, err
	}
	defer d.discard()
	if recorded, err = d.format(o); err != nil {
		return false, fmt.Errorf("disk %s: %w", o.Path, err)
	}
	return recorded, d.publish()
}

// complete checks what needs no file of its own, and takes from the backing file what is its to say.
func (o *CreateOptions) complete() error {
	if o.Sector != 512 && o.Sector != 4096 {
		return fmt.Errorf("a sector of %d bytes is not possible: use 512 or 4096", o.Sector)
	}
	if o.Format != FormatQcow2 {
		if o.Format != FormatRaw {
			return fmt.Errorf("format %q cannot be made: raw and qcow2 can", o.Format)
		}
		if o.Backing != "" || o.Version != 0 || o.ClusterSize != 0 || o.Compression != qcow2.Deflate {
			return errors.New("a raw image has no backing file, version, clusters or compression: use -f qcow2")
		}
	}
	if o.Backing != "" {
		if o.BackingFormat == "" {
			o.BackingFormat = FormatOf(o.Backing)
		}
		img, err := openImage(Options{Path: BackingPath(o.Path, o.Backing), Format: o.BackingFormat, ReadOnly: true}, nil)
		if err != nil {
			return fmt.Errorf("its backing file %s: %w", o.Backing, err)
		}
		if o.Size == 0 {
			o.Size = img.Size()
		}
		if s, ok := img.(sectored); ok { // a partition table counts in the base's sectors
			o.Sector = 512
			if s.Sector() != 0 {
				o.Sector = s.Sector()
			}
		}
		if err := img.Close(); err != nil {
			return err
		}
	}
	if o.Size <= 0 {
		return errors.New("a disk of no bytes: give it a size, as in 10G")
	}
	if o.Size%int64(o.Sector) != 0 {
		return fmt.Errorf("%d bytes are not a multiple of the %d-byte sector: round the size up, or use --sector 512", o.Size, o.Sector)
	}
	return nil
}

// draft is a file that has no path yet.
type draft struct {
	f       *os.File
	path    string
	replace bool
}

func newDraft(path string, replace bool) (*draft, error) {
	if st, err := os.Lstat(path); err == nil && (!replace || !st.Mode().IsRegular()) {
		return nil, fmt.Errorf("disk %s: is there already: choose another name, or remove it first", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return nil, fmt.Errorf("disk %s: making it: %w", path, reason(err))
	}
	return &draft{f, path, replace}, nil
}

// format makes the draft an empty image.
func (d *draft) format(o CreateOptions) (recorded bool, err error) {
	if o.Format == FormatRaw {
		if err := d.f.Truncate(o.Size); err != nil {
			return false, reason(err)
		}
		err := recordSector(d.f, o.Sector)
		if errors.Is(err, errors.ErrUnsupported) {
			return o.Sector == 512, nil
		}
		return err == nil, err
	}
	return true, qcow2.Create(container{newFile(d.f, 0, false)}, qcow2.CreateOptions{
		Size: o.Size, Version: o.Version, ClusterSize: o.ClusterSize, Compression: o.Compression,
		Backing: o.Backing, BackingFormat: o.BackingFormat, Sector: o.Sector,
	})
}

// publish gives the draft its path, durably.
func (d *draft) publish() error {
	mode := fs.FileMode(0o666)
	if st, err := os.Stat(d.path); err == nil && d.replace {
		mode = st.Mode().Perm()
	} else {
		mode &^= umask()
	}
	if err := errors.Join(d.f.Chmod(mode), d.f.Sync()); err != nil {
		return fmt.Errorf("disk %s: %w", d.path, reason(err))
	}
	var err error
	if d.replace {
		err = os.Rename(d.f.Name(), d.path)
	} else if err = os.Link(d.f.Name(), d.path); errors.Is(err, fs.ErrExist) { // a rename would replace what came meanwhile
		return fmt.Errorf("disk %s: is there already: choose another name, or remove it first", d.path)
	} else if err != nil { // a file system without links
		err = os.Rename(d.f.Name(), d.path)
	}
	if err != nil {
		return fmt.Errorf("disk %s: %w", d.path, reason(err))
	}
	dir, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return fmt.Errorf("disk %s: %w", d.path, reason(err))
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrInvalid) {
		return fmt.Errorf("disk %s: making its name durable: %w", d.path, reason(err))
	}
	return nil
}

// discard ends the draft; nothing is left of it but what was published.
func (d *draft) discard() {
	_ = os.Remove(d.f.Name()) // it is gone when it was renamed
	d.f.Close()
}
