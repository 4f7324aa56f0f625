// Package unpack reads the compressed files a boot is made of: kernels and kernel modules.
//
// The files are not trusted. What a stream unpacks to is bounded by its reader (a decompression bomb ends with a
// [*LimitError]), and so is the memory a decoder takes for its window: a header that asks for gigabytes is refused
// before anything is allocated.
package unpack

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"
)

// Format is a compressed file format.
type Format uint8

// The formats Detect tells apart. LZ4 and LZO are recognised so that an error can name them; NewReader refuses both.
const (
	Raw Format = iota // not compressed, as far as Detect can tell
	Gzip
	Zstd
	XZ
	LZMA // the .lzma container; it has no magic number, so Detect never returns it
	Bzip2
	LZ4
	LZO
)

// formats is everything this package knows of each format, indexed by Format.
var formats = [...]struct {
	name  string
	magic string // at offset 0
	open  func(io.Reader) (io.ReadCloser, error)
}{
	Raw:   {"uncompressed", "", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(r), nil }},
	Gzip:  {"gzip", "\x1f\x8b\x08", openGzip},
	Zstd:  {"zstd", "\x28\xb5\x2f\xfd", openZstd},
	XZ:    {"xz", "\xfd7zXZ\x00", openXZ},
	LZMA:  {"lzma", "", openLZMA},
	Bzip2: {"bzip2", "BZh", func(r io.Reader) (io.ReadCloser, error) { return io.NopCloser(bzip2.NewReader(r)), nil }},
	LZ4:   {"lz4", "\x02\x21\x4c\x18", nil}, // the legacy frame, which is what the kernel's build makes
	LZO:   {"lzop", "\x89LZO\x00\r\n\x1a\n", nil},
}

func (f Format) String() string {
	if int(f) < len(formats) {
		return formats[f].name
	}
	return fmt.Sprintf("format %d", uint8(f))
}

// maxWindow bounds the dictionary or window a stream may ask for, in bytes: the kernel's build uses at most 128 MiB
// (zstd -22 --ultra), and xz -9 takes 64 MiB.
const maxWindow = 128 << 20

// ErrTruncated reports a stream that ends before its format says it does.
var ErrTruncated = errors.New("the file is truncated")

// LimitError reports a stream that unpacks to more than its reader has room for.
type LimitError struct {
	Limit uint64 // bytes
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("it unpacks to more than %d bytes", e.Limit)
}

// Detect names the format of a file by its first bytes (8 are enough), or Raw.
func Detect(head []byte) Format {
	for f, row := range formats {
		if row.magic != "" && bytes.HasPrefix(head, []byte(row.magic)) {
			return Format(f)
		}
	}
	return Raw
}

// NewReader unpacks one stream of format f from r. Its Read returns [ErrTruncated] when r ends early, and an error that
// names the format for everything else that is wrong; how much is read is the caller's to bound.
func NewReader(f Format, r io.Reader) (io.ReadCloser, error) {
	if int(f) >= len(formats) || formats[f].open == nil {
		return nil, fmt.Errorf("%v compression is not supported: unpack the file first", f)
	}
	if f != Raw {
		r = bufio.NewReaderSize(r, 64<<10)
	}
	rc, err := formats[f].open(r)
	if err != nil {
		return nil, explain(f, err)
	}
	return &reader{f, rc}, nil
}

// ReadAll unpacks all of r into memory. More than limit bytes is a [*LimitError].
func ReadAll(f Format, r io.Reader, limit uint64) ([]byte, error) {
	rc, err := NewReader(f, r)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	n := limit + 1
	if n == 0 || n > 1<<62 {
		n = 1 << 62
	}
	data, err := io.ReadAll(io.LimitReader(rc, int64(n)))
	if err != nil {
		return nil, err
	}
	if uint64(len(data)) > limit {
		return nil, &LimitError{limit}
	}
	return data, nil
}

// Bytes unpacks data, whatever its format, into at most limit bytes; data that is not compressed is returned as it is.
func Bytes(data []byte, limit uint64) ([]byte, error) {
	f := Detect(data)
	if f == Raw {
		if uint64(len(data)) > limit {
			return nil, &LimitError{limit}
		}
		return data, nil
	}
	return ReadAll(f, bytes.NewReader(data), limit)
}

// reader puts this package's errors in place of each library's.
type reader struct {
	format Format
	io.ReadCloser
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = explain(r.format, err)
	}
	return n, err
}

func explain(f Format, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrTruncated
	}
	return fmt.Errorf("damaged %v data: %w", f, err)
}

func openGzip(r io.Reader) (io.ReadCloser, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	z.Multistream(false) // what follows the member is padding of whoever made the file
	return z, nil
}

func openZstd(r io.Reader) (io.ReadCloser, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}

func openXZ(r io.Reader) (io.ReadCloser, error) {
	br := r.(*bufio.Reader) // NewReader made it
	if err := checkXZ(br); err != nil {
		return nil, err
	}
	z, err := xz.NewReader(br)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(z), nil
}

func openLZMA(r io.Reader) (io.ReadCloser, error) {
	z, err := lzma.ReaderConfig{DictCap: maxWindow}.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(z), nil
}

// checkXZ looks at the filters of the first block (xz file format 1.1, §3.1), before the library allocates the
// dictionary that they ask for. The blocks of a file share their filters.
func checkXZ(br *bufio.Reader) error {
	const streamHeader = 12
	head, err := br.Peek(streamHeader + 1)
	if err != nil {
		return err
	}
	size := (int(head[streamHeader]) + 1) * 4
	if head[streamHeader] == 0 {
		return nil // no block: an empty stream
	}
	head, err = br.Peek(streamHeader + size)
	if err != nil {
		return err
	}
	block := xzFields{head[streamHeader+1 : streamHeader+size-4]} // without its size and its CRC
	flags := block.byte()
	for _, present := range []byte{0x40, 0x80} { // compressed and uncompressed size
		if flags&present != 0 {
			block.varint()
		}
	}
	for range flags&3 + 1 {
		id := block.varint()
		n := block.varint()
		props := block.bytes(n)
		switch {
		case id != 0x21: // LZMA2
			return fmt.Errorf("xz filter %#x is not supported: unpack the file first", id)
		case len(props) != 1:
			return errors.New("bad LZMA2 properties")
		}
		dict, err := lzma.DecodeDictCap(props[0])
		if err != nil {
			return err
		}
		if dict > maxWindow {
			return fmt.Errorf("its dictionary of %d MiB is above the limit of %d", dict>>20, maxWindow>>20)
		}
	}
	return nil
}

// xzFields takes fields off the front of a block header. Past the end everything reads as zero.
type xzFields struct{ b []byte }

func (f *xzFields) byte() byte {
	if len(f.b) == 0 {
		return 0
	}
	v := f.b[0]
	f.b = f.b[1:]
	return v
}

func (f *xzFields) varint() uint64 {
	var v uint64
	for shift := 0; shift < 63; shift += 7 {
		b := f.byte()
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			break
		}
	}
	return v
}

func (f *xzFields) bytes(n uint64) []byte {
	n = min(n, uint64(len(f.b)))
	v := f.b[:n]
	f.b = f.b[n:]
	return v
}
