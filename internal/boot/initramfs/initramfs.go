// Package initramfs builds the file systems that a kernel unpacks into memory at its start: cpio archives in the "newc"
// format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst).
//
// An [Archive] is filled first and written last, straight into guest memory: the contents of host files are read only then.
// The same entries always give the same bytes: everything belongs to root, nothing has a date, and entries are sorted.
package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// File types in a mode, as in stat(2).
const (
	modeFile    = 0o100000
	modeDir     = 0o040000
	modeSymlink = 0o120000
	modeChar    = 0o020000
	modePerm    = 0o7777
)

// MaxFile is the largest file in bytes: newc has eight hexadecimal digits for a size.
const MaxFile = 1<<32 - 1

// maxEntries bounds what AddHost takes in, so that a mistaken --file / ends with an error.
const maxEntries = 1 << 18

// Archive is a file system under construction. It is not safe for concurrent use.
type Archive struct {
	entries map[string]*entry // by path without leading slash
}

type entry struct {
	mode         uint32
	major, minor uint32 // of a device
	size         uint64 // of the body
	open         func() (io.ReadCloser, error)
}

// New returns an empty archive.
func New() *Archive { return &Archive{entries: make(map[string]*entry)} }

// Dir adds a directory with the permission bits of perm. One that is there already gets them.
func (a *Archive) Dir(name string, perm uint32) error {
	return a.add(name, &entry{mode: modeDir | perm&modePerm})
}

// File adds a file with the contents data, which must not change before the archive is written. It replaces an earlier file.
func (a *Archive) File(name string, perm uint32, data []byte) error {
	return a.add(name, fileEntry(perm, data))
}

func fileEntry(perm uint32, data []byte) *entry {
	return &entry{mode: modeFile | perm&modePerm, size: uint64(len(data)), open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}

// Symlink adds a symbolic link that points to target.
func (a *Archive) Symlink(name, target string) error {
	e := fileEntry(0o777, []byte(target))
	e.mode = modeSymlink | 0o777
	return a.add(name, e)
}

// Device adds a character device.
func (a *Archive) Device(name string, perm, major, minor uint32) error {
	return a.add(name, &entry{mode: modeChar | perm&modePerm, major: major, minor: minor})
}

// HostFile adds one file of the host at the guest path name, read when the archive is written; a symbolic link is followed.
func (a *Archive) HostFile(host, name string, perm uint32) error {
	st, err := os.Stat(host)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", host)
	}
	return a.add(name, hostEntry(host, st, perm))
}

func hostEntry(host string, st fs.FileInfo, perm uint32) *entry {
	return &entry{mode: modeFile | perm&modePerm, size: uint64(st.Size()), open: func() (io.ReadCloser, error) {
		return os.Open(host)
	}}
}

// AddHost adds a file or a folder of the host, with all that is in it, at the guest path name. Modes and symbolic links
// are kept; owner and dates are not. host itself may be a link and is followed. A socket, pipe or device inside is an error,
// because the guest would not get what the user meant.
func (a *Archive) AddHost(host, name string) error {
	root, err := filepath.EvalSymlinks(host)
	if err != nil {
		return fmt.Errorf("adding %s: %w", host, err)
	}
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		return a.addHostEntry(p, path.Join("/", name, filepath.ToSlash(rel)), d)
	})
	if err != nil {
		return fmt.Errorf("adding %s: %w", host, err)
	}
	return nil
}

func (a *Archive) addHostEntry(host, name string, d fs.DirEntry) error {
	st, err := d.Info()
	if err != nil {
		return err
	}
	switch perm := permissions(st.Mode()); st.Mode().Type() {
	case 0:
		// Better now than half way through the boot.
		f, err := os.Open(host)
		if err != nil {
			return err
		}
		f.Close()
		return a.add(name, hostEntry(host, st, perm))
	case fs.ModeDir:
		if path.Clean("/"+name) == "/" {
			return nil
		}
		return a.Dir(name, perm)
	case fs.ModeSymlink:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		return a.Symlink(name, target)
	default:
		return fmt.Errorf("%s is %s: only files, folders and symbolic links can be put into the guest", host, kindName(st.Mode()))
	}
}

// permissions are the twelve permission bits of a mode.
func permissions(m fs.FileMode) uint32 {
	p := uint32(m.Perm())
	for bit, v := range map[fs.FileMode]uint32{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			p |= v
		}
	}
	return p
}

func kindName(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// add checks a path and puts e there, with the folders above it.
func (a *Archive) add(name string, e *entry) error {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	switch {
	case clean == "":
		return fmt.Errorf("%q is the root of the file system", name)
	case clean == trailer:
		return fmt.Errorf("the name %s means the end of an archive", trailer)
	case strings.ContainsRune(clean, 0):
		return fmt.Errorf("the path %q has a NUL byte", name)
	case len(clean) > 4095:
		return fmt.Errorf("the path %.40q... is longer than 4095 bytes", clean)
	case e.size > MaxFile:
		return fmt.Errorf("/%s has %d bytes; an initramfs takes files below 4 GiB", clean, e.size)
	case len(a.entries) >= maxEntries:
		return fmt.Errorf("there are more than %d files and folders: use a disk image (--disk) for them", maxEntries)
	}
	for dir := path.Dir(clean); dir != "."; dir = path.Dir(dir) {
		switch above := a.entries[dir]; {
		case above == nil:
			a.entries[dir] = &entry{mode: modeDir | 0o755}
		case above.mode&^modePerm != modeDir:
			return fmt.Errorf("/%s cannot be added: /%s is not a folder", clean, dir)
		}
	}
	if old := a.entries[clean]; old != nil && (old.mode^e.mode)&^modePerm != 0 {
		if old.mode&^modePerm == modeDir || e.mode&^modePerm == modeDir {
			return fmt.Errorf("/%s is there already, once as a folder and once not", clean)
		}
	}
	a.entries[clean] = e
	return nil
}

const (
	headerSize = 110
	trailer    = "TRAILER!!!"
)

func align4(n uint64) uint64 { return (n + 3) &^ 3 }

// Size is the length in bytes of what WriteTo writes.
func (a *Archive) Size() uint64 {
	size := align4(headerSize + uint64(len(trailer)) + 1)
	for name, e := range a.entries {
		size += align4(headerSize+uint64(len(name))+1) + align4(e.size)
	}
	return size
}

// WriteTo writes the archive. A host file that has become shorter is an error; one that has grown is cut off.
func (a *Archive) WriteTo(w io.Writer) (int64, error) {
	c := &countingWriter{w: w}
	ino := uint32(1)
	for _, name := range slices.Sorted(maps.Keys(a.entries)) { // a folder sorts before what is in it
		if err := c.entry(name, ino, a.entries[name]); err != nil {
			return c.n, fmt.Errorf("writing /%s to the initramfs: %w", name, err)
		}
		ino++
	}
	return c.n, c.entry(trailer, 0, &entry{})
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// pad writes zeros up to the next multiple of 4.
func (c *countingWriter) pad() error {
	_, err := c.Write([]byte{0, 0, 0}[:-c.n&3])
	return err
}

func (c *countingWriter) entry(name string, ino uint32, e *entry) error {
	links := 1
	if e.mode&^modePerm == modeDir {
		links = 2
	}
	// magic, ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
	_, err := fmt.Fprintf(c, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		ino, e.mode, 0, 0, links, 0, e.size, 0, 0, e.major, e.minor, len(name)+1, 0, name)
	if err != nil {
		return err
	}
	if err := c.pad(); err != nil || e.open == nil {
		return err
	}
	body, err := e.open()
	if err != nil {
		return err
	}
	defer body.Close()
	if _, err := io.CopyN(c, body, int64(e.size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file has become shorter meanwhile")
		}
		return err
	}
	return c.pad()
}
