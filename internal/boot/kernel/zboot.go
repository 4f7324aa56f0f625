package kernel

// EFI zboot: a PE program that holds a compressed Image and unpacks it under EFI. A loader that is not EFI takes the Image
// out by the fields that the kernel's build leaves behind the "MZ" (Linux, drivers/firmware/efi/libstub/zboot-header.S).

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/vmproject/vm/internal/boot/unpack"
)

// Offsets in the file; the fields are little-endian.
const (
	zbootMagic      = 0x04 // "zimg"
	zbootOffset     = 0x08 // u32: where the payload begins
	zbootSize       = 0x0c // u32: its length
	zbootType       = 0x18 // NUL-terminated name of the compression
	zbootTypeEnd    = 0x38
	zbootHeaderSize = 0x40
)

// zbootTypes are the names that the kernel's build gives to compressions, by their beginning.
var zbootTypes = []struct {
	prefix string
	format unpack.Format
}{
	{"gzip", unpack.Gzip}, {"zstd", unpack.Zstd}, {"xz", unpack.XZ}, {"lzma", unpack.LZMA},
	{"bzip2", unpack.Bzip2}, {"lz4", unpack.LZ4}, {"lzo", unpack.LZO},
}

func isZboot(head []byte) bool {
	return len(head) >= zbootHeaderSize && string(head[:2]) == "MZ" && string(head[zbootMagic:zbootMagic+4]) == "zimg"
}

// openZboot finds the compressed Image inside size bytes at r that begin with head.
func openZboot(head []byte, r io.ReaderAt, size int64) (*io.SectionReader, unpack.Format, error) {
	le := binary.LittleEndian
	if pe := peHeader(head); pe == nil {
		return nil, 0, errors.New("it is an EFI zboot file without a PE header")
	} else if m := le.Uint16(pe[peMachine:]); m != peRISCV64 {
		return nil, 0, foreignMachine(peMachines[m], fmt.Sprintf("an EFI zboot kernel for PE machine %#x", m))
	}
	off, n := int64(le.Uint32(head[zbootOffset:])), int64(le.Uint32(head[zbootSize:]))
	if off < zbootHeaderSize || n == 0 {
		return nil, 0, fmt.Errorf("it is an EFI zboot file whose payload of %d bytes at %d makes no sense", n, off)
	}
	if off+n > size {
		return nil, 0, fmt.Errorf("%w: it is %d bytes long and its payload ends at %d", ErrTruncated, size, off+n)
	}
	name, _, _ := bytes.Cut(head[zbootType:zbootTypeEnd], []byte{0})
	for _, t := range zbootTypes {
		if strings.HasPrefix(string(name), t.prefix) {
			return io.NewSectionReader(r, off, n), t.format, nil
		}
	}
	return nil, 0, fmt.Errorf("it is an EFI zboot file with unknown compression %q", name)
}
