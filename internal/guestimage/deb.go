package guestimage

// Debian binary packages, deb(5): an ar archive of debian-binary, control.tar.* and data.tar.*. Read here rather than with
// dpkg-deb, so that a host needs apt-get and nothing else. The packages were verified by apt before they get here; lengths are
// checked all the same.

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	maxZstdMem   = 256 << 20 // bytes that a zstd frame may ask for
	maxControl   = 1 << 20   // bytes of a package's control file
)

var errNotDeb = errors.New("not a Debian package")

// arMember is one file of an ar archive.
type arMember struct {
	name string
	body io.Reader
}

// arReader walks an ar archive in order.
type arReader struct {
	r    *bufio.Reader
	left int64 // of the current member, with its padding
	body *io.LimitedReader
}

func newArReader(r io.Reader) (*arReader, error) {
	a := &arReader{r: bufio.NewReaderSize(r, 64<<10)}
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(a.r, magic); err != nil || string(magic) != arMagic {
		return nil, errNotDeb
	}
	return a, nil
}

// next skips what is left of the member before and returns the one after, or io.EOF.
func (a *arReader) next() (arMember, error) {
	if a.body != nil {
		skip := a.body.N + a.left
		if n, err := io.CopyN(io.Discard, a.r, skip); err != nil && !(n == skip-a.left && errors.Is(err, io.EOF)) {
			return arMember{}, io.ErrUnexpectedEOF // the last member's padding may be missing
		}
	}
	var h [arHeaderSize]byte
	if _, err := io.ReadFull(a.r, h[:]); err != nil {
		return arMember{}, err // io.EOF at the end
	}
	size, err := strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 || string(h[58:]) != "`\n" {
		return arMember{}, fmt.Errorf("%w: bad member header", errNotDeb)
	}
	a.body = &io.LimitedReader{R: a.r, N: size}
	a.left = size & 1
	name := strings.TrimRight(string(h[:16]), " ")
	return arMember{name: strings.TrimSuffix(name, "/"), body: a.body}, nil
}

// decompress opens a stream by its file name's suffix. A name without a known one is taken as it is.
func decompress(name string, r io.Reader) (io.ReadCloser, error) {
	switch path.Ext(name) {
	case ".xz":
		x, err := xz.NewReader(bufio.NewReaderSize(r, 64<<10))
		if err != nil {
			return nil, err
		}
		return io.NopCloser(x), nil
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxZstdMem))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case ".gz":
		return gzip.NewReader(r)
	}
	return io.NopCloser(r), nil
}

// debMember opens the tar called "control" or "data" of a package.
func debMember(r io.Reader, kind string) (io.ReadCloser, error) {
	a, err := newArReader(r)
	if err != nil {
		return nil, err
	}
	for {
		m, err := a.next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%w: it has no whole %s.tar", errNotDeb, kind)
		}
		if err != nil {
			return nil, err
		}
		if m.name == kind+".tar" || strings.HasPrefix(m.name, kind+".tar.") {
			return decompress(m.name, m.body)
		}
	}
}

// debFiles calls visit for each regular file of a package's data, with its path cleaned and relative to the root.
func debFiles(r io.Reader, visit func(name string, size int64, body io.Reader) error) error {
	data, err := debMember(r, "data")
	if err != nil {
		return err
	}
	defer data.Close()
	t := tar.NewReader(data)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: data.tar: %w", errNotDeb, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := visit(strings.TrimPrefix(path.Clean("/"+h.Name), "/"), h.Size, t); err != nil {
			return err
		}
	}
}

// debControl returns the fields of a package's control file, names in lower case, continuation lines joined by newlines.
func debControl(r io.Reader) (map[string]string, error) {
	control, err := debMember(r, "control")
	if err != nil {
		return nil, err
	}
	defer control.Close()
	t := tar.NewReader(control)
	for {
		h, err := t.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: it has no control file", errNotDeb)
		}
		if path.Clean("/"+h.Name) != "/control" {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(t, maxControl))
		if err != nil {
			return nil, fmt.Errorf("%w: control file: %w", errNotDeb, err)
		}
		stanzas := parseDeb822(bytes.NewReader(data))
		if len(stanzas) == 0 {
			return nil, fmt.Errorf("%w: its control file is empty", errNotDeb)
		}
		return stanzas[0], nil
	}
}

// dependencies splits a Depends field into package names; of alternatives it takes the first.
func dependencies(field string) []string {
	var names []string
	for item := range strings.SplitSeq(field, ",") {
		first, _, _ := strings.Cut(item, "|")
		if words := strings.Fields(first); len(words) > 0 {
			name, _, _ := strings.Cut(words[0], ":")
			names = append(names, name)
		}
	}
	return names
}
