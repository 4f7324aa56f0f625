package plan

// What a sector holds. It says itself by whom it was written and where it belongs, and has a checksum, so that of one that is found anywhere it can be told which write it is
// of, or that it is torn.

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// Content is what is in a sector or file: a version, or one of the constants.
type Content uint64

// Contents that are no operation's.
const (
	Nothing  Content = 0         // zeros; no file
	Anything Content = 1<<64 - 1 // of what was discarded: nobody may rely on it
	Torn     Content = 1<<64 - 2 // no content that the plan ever makes there
	Base     Content = 1         // what was there before batch 1
)

// opBits is how many bits of a version are the number of the operation in its batch: mostOps has room in them.
const opBits = 4

// Version is the content that operation i of batch b writes.
func Version(b uint64, i int) Content { return Content(b<<opBits | uint64(i)) }

// Batch is the batch that a version is of; 0 of one that is none.
func (c Content) Batch() uint64 {
	if c >= Torn {
		return 0
	}
	return uint64(c) >> opBits
}

func (c Content) String() string {
	switch c {
	case Nothing:
		return "nothing"
	case Anything:
		return "anything"
	case Torn:
		return "something torn or foreign"
	case Base:
		return "what it held at first"
	}
	return fmt.Sprintf("write %d of batch %d", c&(1<<opBits-1), c.Batch())
}

// A sector, little-endian:
//
//	 0  magic       8 bytes
//	 8  seed        8
//	16  version     8
//	24  position    8   the number of the sector on the disk, or in its file
//	32  noise           so that a piece of another sector is recognised
//	-4  CRC-32 (IEEE) of what is before it
const (
	magic     = 0x0068_7361_7263_6d76 // "vmcrash\0"
	headerLen = 32
	sumLen    = 4
)

// Fill writes the sector that holds version c at a position. len(b) is the size of a sector, a multiple of 8.
func (p Plan) Fill(b []byte, c Content, position int64) {
	le := binary.LittleEndian
	le.PutUint64(b, magic)
	le.PutUint64(b[8:], p.Seed)
	le.PutUint64(b[16:], uint64(c))
	le.PutUint64(b[24:], uint64(position))
	x := mix(p.Seed ^ mix(uint64(c)^mix(uint64(position))))
	for i := headerLen; i < len(b); i += 8 {
		x = x*0x5851_f42d_4c95_7f2d + 0x1405_7b7e_f767_814f // Knuth's MMIX multiplier is enough for noise
		le.PutUint64(b[i:], x)
	}
	body := b[:len(b)-sumLen]
	le.PutUint32(b[len(body):], crc32.ChecksumIEEE(body))
}

// Read says what a sector at a position holds.
func (p Plan) Read(b []byte, position int64) Content {
	le := binary.LittleEndian
	if le.Uint64(b) != magic {
		for _, v := range b {
			if v != 0 {
				return Torn
			}
		}
		return Nothing
	}
	body := b[:len(b)-sumLen]
	if le.Uint64(b[8:]) != p.Seed || le.Uint64(b[24:]) != uint64(position) || le.Uint32(b[len(body):]) != crc32.ChecksumIEEE(body) {
		return Torn
	}
	return Content(le.Uint64(b[16:]))
}

// FileName is what file number slot is called.
func FileName(slot int64) string { return fmt.Sprintf("slot-%02d", slot) }

// FileSectors is the length of the file that holds version c, in sectors.
func (p Plan) FileSectors(c Content) int64 { return 1 + int64(mix(p.Seed^uint64(c))%400) }

// mix makes of two numbers that differ little two that differ much (MurmurHash3's finalizer).
func mix(x uint64) uint64 {
	x = (x ^ x>>33) * 0xff51_afd7_ed55_8ccd
	x = (x ^ x>>33) * 0xc4ce_b9fe_1a85_ec53
	return x ^ x>>33
}
