package qcow2

// The header, the first cluster's first bytes ("Header" and "Header extensions" of the format's specification), both versions of it. Everything
// read here is hostile: each number is judged before it sizes anything.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	magic       = "QFI\xfb"
	headerLenV2 = 72  // bytes
	headerLenV3 = 104 // without the compression type
	headerLen   = 112 // what is written here

	minClusterBits = 9
	maxClusterBits = 21

	// Bounds of what a header may ask memory for; those of the other implementations, so that they refuse the same images.
	maxL1Bytes      = 32 << 20
	maxRefTable     = 8 << 20
	maxSnapshots    = 65536
	maxSnapshotsLen = 16 << 20
	maxBackingName  = 1023
)

// Incompatible features: who does not know one must not open the image.
const (
	incompatDirty       = uint64(1) << 0 // refcounts may be wrong
	incompatCorrupt     = uint64(1) << 1 // found to be damaged
	incompatDataFile    = uint64(1) << 2
	incompatCompression = uint64(1) << 3 // the header has a compression type
	incompatExtendedL2  = uint64(1) << 4

	incompatKnown = incompatDirty | incompatCorrupt | incompatCompression

	compatLazyRefcounts = uint64(1) << 0
)

// featureNames are of incompatible bits that other programs know.
var featureNames = map[int]string{2: "external data file", 4: "extended L2 entries"}

// Types of header extensions.
const (
	extEnd           = 0
	extBackingFormat = 0xe2792aca
	extFeatureNames  = 0x6803f857
	// extSector is ours: the logical sector in bytes that the disk was made for, 32 bits. Others keep what they do not know.
	extSector = 0x564d5342
)

// Compression is how compressed clusters are.
type Compression uint8

// The kinds of compression.
const (
	Deflate Compression = 0
	Zstd    Compression = 1
)

func (c Compression) String() string {
	switch c {
	case Deflate:
		return "zlib"
	case Zstd:
		return "zstd"
	}
	return fmt.Sprintf("compression type %d", uint8(c))
}

type extension struct {
	kind uint32
	data []byte
}

// header is the header, decoded. Offsets in bytes.
type header struct {
	version         uint32
	clusterBits     uint32
	size            int64 // of the disk
	l1Size          int64 // entries
	l1Offset        int64
	refTableOffset  int64
	refTableCluster int64 // clusters
	snapshots       int64
	snapshotsOffset int64
	incompat        uint64
	compat          uint64
	autoclear       uint64
	refcountOrder   uint32
	length          uint32
	compression     Compression

	backing       string
	backingFormat string
	sector        int // 0 where the image does not say
	other         []extension
}

// ErrFormat is wrapped by Open when the file is no qcow2 image.
var ErrFormat = errors.New("is not a qcow2 image")

// corruptError is damage: what, and what to do about it.
type corruptError struct{ what string }

func (e corruptError) Error() string {
	return "is damaged: " + e.what + ": see vm disk check"
}

func corrupt(format string, args ...any) error { return corruptError{fmt.Sprintf(format, args...)} }

// parseHeader decodes b, the file's first bytes, all of them up to a cluster.
func parseHeader(b []byte) (*header, error) {
	be := binary.BigEndian
	if len(b) < 8 || string(b[:4]) != magic {
		return nil, ErrFormat
	}
	h := &header{version: be.Uint32(b[4:]), refcountOrder: 4, length: headerLenV2}
	if h.version != 2 && h.version != 3 {
		return nil, fmt.Errorf("is qcow2 version %d: only 2 and 3 are known", h.version)
	}
	if len(b) < headerLenV2 || h.version == 3 && len(b) < headerLenV3 {
		return nil, corrupt("the file ends inside the header")
	}
	nameOffset, nameLen := be.Uint64(b[8:]), be.Uint32(b[16:])
	h.clusterBits = be.Uint32(b[20:])
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits {
		return nil, corrupt("clusters of 2^%d bytes", h.clusterBits)
	}
	if h.version == 3 {
		h.incompat, h.compat, h.autoclear = be.Uint64(b[72:]), be.Uint64(b[80:]), be.Uint64(b[88:])
		h.refcountOrder, h.length = be.Uint32(b[96:]), be.Uint32(b[100:])
		if h.length < headerLenV3 || h.length&7 != 0 || int64(h.length) > int64(len(b)) || h.length > 1<<h.clusterBits {
			return nil, corrupt("a header of %d bytes", h.length)
		}
		if h.length > headerLenV3 {
			h.compression = Compression(b[104])
		}
	}
	extErr := h.parseExtensions(b, nameOffset)
	if unknown := h.incompat &^ incompatKnown; unknown != 0 { // named by the image itself, so the extensions come first
		return nil, fmt.Errorf("needs what is not supported here: %s: convert it with qemu-img convert -O qcow2", h.nameBits(unknown))
	}
	if extErr != nil {
		return nil, extErr
	}
	if crypt := be.Uint32(b[32:]); crypt != 0 {
		return nil, errors.New("is encrypted, which is not supported: convert it with qemu-img convert -O qcow2")
	}
	if h.compression > Zstd {
		return nil, fmt.Errorf("has clusters of %s, which is not supported: convert it with qemu-img convert -O qcow2", h.compression)
	}
	if (h.compression != Deflate) != (h.incompat&incompatCompression != 0) {
		return nil, corrupt("the compression type and its feature bit do not agree")
	}
	if h.refcountOrder > 6 {
		return nil, corrupt("refcounts of 2^%d bits", h.refcountOrder)
	}
	if nameOffset != 0 {
		if nameLen > maxBackingName || nameOffset < uint64(h.length) || nameOffset+uint64(nameLen) > uint64(min(len(b), 1<<h.clusterBits)) {
			return nil, corrupt("the name of its backing file is %d bytes at %d", nameLen, nameOffset)
		}
		h.backing = string(b[nameOffset : nameOffset+uint64(nameLen)])
	}
	return h, h.parsePlaces(b)
}

// parsePlaces decodes where the tables are, and how large.
func (h *header) parsePlaces(b []byte) error {
	be := binary.BigEndian
	cs := int64(1) << h.clusterBits
	size, l1Size := be.Uint64(b[24:]), int64(be.Uint32(b[36:]))
	if size > 1<<62 {
		return corrupt("a disk of %d bytes", size)
	}
	h.size = int64(size)
	perL1 := cs << (h.clusterBits - 3) // bytes of the disk for each entry
	if l1Size*8 > maxL1Bytes || (h.size+perL1-1)/perL1 > l1Size {
		return corrupt("an L1 table of %d entries for %d bytes", l1Size, h.size)
	}
	h.l1Size = l1Size
	h.refTableCluster, h.snapshots = int64(be.Uint32(b[56:])), int64(be.Uint32(b[60:]))
	if h.refTableCluster == 0 || h.refTableCluster<<h.clusterBits > max(maxRefTable, cs) {
		return corrupt("a refcount table of %d clusters", h.refTableCluster)
	}
	if h.snapshots > maxSnapshots {
		return corrupt("%d snapshots", h.snapshots)
	}
	for _, p := range []struct {
		at   int
		to   *int64
		what string
		need bool
	}{
		{40, &h.l1Offset, "L1 table", l1Size > 0},
		{48, &h.refTableOffset, "refcount table", true},
		{64, &h.snapshotsOffset, "table of snapshots", h.snapshots > 0},
	} {
		v := be.Uint64(b[p.at:])
		if p.need && (v == 0 || v&uint64(cs-1) != 0 || v > 1<<56) {
			return corrupt("the %s is at %d", p.what, v)
		}
		if p.need {
			*p.to = int64(v)
		}
	}
	return nil
}

func (h *header) parseExtensions(b []byte, nameOffset uint64) error {
	be := binary.BigEndian
	end := uint64(min(len(b), 1<<h.clusterBits))
	if nameOffset != 0 {
		end = min(end, nameOffset)
	}
	for at := uint64(h.length); at+8 <= end; {
		kind, n := be.Uint32(b[at:]), uint64(be.Uint32(b[at+4:]))
		at += 8
		if kind == extEnd {
			return nil
		}
		if n > end-at {
			return corrupt("a header extension of %d bytes", n)
		}
		data := b[at : at+n]
		switch {
		case kind == extBackingFormat:
			h.backingFormat = string(data)
		case kind == extSector && n == 4 && (be.Uint32(data) == 512 || be.Uint32(data) == 4096):
			h.sector = int(be.Uint32(data))
		default:
			h.other = append(h.other, extension{kind, append([]byte(nil), data...)})
		}
		at += (n + 7) &^ 7
	}
	return nil
}

// nameBits names incompatible features: as the image does, or as they are known.
func (h *header) nameBits(bits uint64) string {
	const entry = 48 // kind, bit, name
	var names []string
	for bit := range 64 {
		if bits>>bit&1 == 0 {
			continue
		}
		name := featureNames[bit]
		for _, x := range h.other {
			for t := x.data; x.kind == extFeatureNames && name == "" && len(t) >= entry; t = t[entry:] {
				if t[0] == 0 && int(t[1]) == bit {
					name = strings.TrimRight(string(t[2:entry]), "\x00")
				}
			}
		}
		if name == "" {
			name = fmt.Sprintf("incompatible feature %d", bit)
		}
		names = append(names, fmt.Sprintf("%q", name))
	}
	return strings.Join(names, ", ")
}

// encode is the header as bytes, extensions and the backing file's name included. It fails when they do not fit the first cluster.
func (h *header) encode() ([]byte, error) {
	be := binary.BigEndian
	b := make([]byte, headerLenV2, 512)
	copy(b, magic)
	be.PutUint32(b[4:], h.version)
	be.PutUint32(b[20:], h.clusterBits)
	be.PutUint64(b[24:], uint64(h.size))
	be.PutUint32(b[36:], uint32(h.l1Size))
	be.PutUint64(b[40:], uint64(h.l1Offset))
	be.PutUint64(b[48:], uint64(h.refTableOffset))
	be.PutUint32(b[56:], uint32(h.refTableCluster))
	be.PutUint32(b[60:], uint32(h.snapshots))
	be.PutUint64(b[64:], uint64(h.snapshotsOffset))
	if h.version == 3 {
		b = be.AppendUint64(b, h.incompat)
		b = be.AppendUint64(b, h.compat)
		b = be.AppendUint64(b, h.autoclear)
		b = be.AppendUint32(b, h.refcountOrder)
		b = be.AppendUint32(b, headerLen)
		b = append(b, byte(h.compression), 0, 0, 0, 0, 0, 0, 0)
	}
	ext := func(kind uint32, data []byte) {
		b = be.AppendUint32(b, kind)
		b = be.AppendUint32(b, uint32(len(data)))
		b = append(b, data...)
		b = append(b, make([]byte, -len(data)&7)...)
	}
	if h.backingFormat != "" {
		ext(extBackingFormat, []byte(h.backingFormat))
	}
	if h.sector != 0 {
		ext(extSector, be.AppendUint32(nil, uint32(h.sector)))
	}
	for _, x := range h.other {
		ext(x.kind, x.data)
	}
	ext(extEnd, nil)
	if h.backing != "" {
		be.PutUint64(b[8:], uint64(len(b)))
		be.PutUint32(b[16:], uint32(len(h.backing)))
		b = append(b, h.backing...)
	}
	if len(b) > 1<<h.clusterBits {
		return nil, fmt.Errorf("a header of %d bytes does not fit a cluster of %d: use larger clusters", len(b), 1<<h.clusterBits)
	}
	return b, nil
}
