package pci

// Configuration space of one function: the type 0 header, BARs and the capability list, as bytes with a mask of the bits
// that a guest may change.

import "encoding/binary"

// Registers of the type 0 header (PCI Local Bus 3.0 §6.1).
const (
	regVendor     = 0x00
	regDevice     = 0x02
	regCommand    = 0x04
	regStatus     = 0x06
	regRevision   = 0x08
	regClass      = 0x09
	regCacheLine  = 0x0C
	regBAR        = 0x10
	regSubVendor  = 0x2C
	regSubDevice  = 0x2E
	regCapPointer = 0x34
	regIntLine    = 0x3C
	regIntPin     = 0x3D
	capStart      = 0x40 // where capabilities begin here
	spaceSize     = 0x100

	commandMemory      = 1 << 1
	commandINTxDisable = 1 << 10
	// What a guest may set: memory, bus master, parity response, SERR#, interrupt disable. Bus mastering is not enforced:
	// firmware that forgets it is more common than a guest that counts on its absence.
	commandWritable = commandMemory | 1<<2 | 1<<6 | 1<<8 | commandINTxDisable

	statusInterrupt    = 1 << 3
	statusCapabilities = 1 << 4

	barPrefetchable = 1 << 3
	barWide         = 2 << 1
	barTypeBits     = 0xF
)

// config is one function's configuration space. Guarded by Host.mu.
type config struct {
	fn      Function
	header  Header
	pin     *pin // nil where the function has none
	space   [spaceSize]byte
	mask    [spaceSize]byte // writable bits
	initial [spaceSize]byte // space at power-on
	caps    []capRange
}

// capRange is where a capability with hooks has its data.
type capRange struct {
	off, end int
	cap      *Capability
}

func newConfig(fn Function, h Header) *config {
	c := &config{fn: fn, header: h}
	le := binary.LittleEndian
	s, m := c.space[:], c.mask[:]
	le.PutUint16(s[regVendor:], h.Vendor)
	le.PutUint16(s[regDevice:], h.Device)
	le.PutUint16(m[regCommand:], commandWritable)
	le.PutUint32(s[regRevision:], uint32(h.Revision)|h.Class<<8)
	m[regCacheLine] = 0xFF
	le.PutUint16(s[regSubVendor:], h.SubsystemVendor)
	le.PutUint16(s[regSubDevice:], h.SubsystemDevice)
	s[regIntPin] = h.Pin
	if h.Pin != 0 {
		m[regIntLine] = 0xFF
	}
	for i, b := range h.BARs {
		if b.Size == 0 {
			continue
		}
		var kind uint32
		if b.Prefetchable {
			kind |= barPrefetchable
		}
		addr := ^(b.Size - 1)
		if b.Wide {
			kind |= barWide
			le.PutUint32(m[regBAR+4*i+4:], uint32(addr>>32))
		}
		le.PutUint32(s[regBAR+4*i:], kind)
		le.PutUint32(m[regBAR+4*i:], uint32(addr)&^barTypeBits)
	}
	c.addCapabilities()
	c.initial = c.space
	return c
}

func (c *config) addCapabilities() {
	link, at := regCapPointer, capStart
	for i := range c.header.Capabilities {
		k := &c.header.Capabilities[i]
		c.space[regStatus] |= statusCapabilities
		c.space[link] = byte(at)
		c.space[at] = k.ID
		copy(c.space[at+2:], k.Data)
		copy(c.mask[at+2:], k.Writable)
		end := at + 2 + len(k.Data)
		if k.Load != nil || k.Store != nil {
			c.caps = append(c.caps, capRange{at + 2, end, k})
		}
		link, at = at+1, (end+3)&^3
	}
}

// load reads n bytes (1, 2 or 4) at off, which is aligned. Extended configuration space is empty.
func (c *config) load(off, n int) uint32 {
	if off+n > spaceSize {
		return 0
	}
	for i := range c.caps {
		if r := &c.caps[i]; r.cap.Load != nil && off < r.end && off+n > r.off {
			lo, hi := max(off, r.off), min(off+n, r.end)
			r.cap.Load(c.space[r.off:r.end], lo-r.off, hi-lo)
		}
	}
	var v uint32
	for i := n - 1; i >= 0; i-- {
		v = v<<8 | uint32(c.space[off+i])
	}
	if off <= regStatus && off+n > regStatus && c.pin.asserted() {
		v |= statusInterrupt << (8 * (regStatus - off))
	}
	return v
}

// store writes n bytes at off, which is aligned. It says whether what the function decodes may have changed.
func (c *config) store(off, n int, v uint32) (decode bool) {
	if off+n > spaceSize {
		return false
	}
	for i := range n {
		m := c.mask[off+i]
		c.space[off+i] = c.space[off+i]&^m | byte(v>>(8*i))&m
	}
	if off <= regCommand+1 && off+n > regCommand {
		c.pin.disable(c.command()&commandINTxDisable != 0)
		decode = true
	}
	for i := range c.caps {
		if r := &c.caps[i]; r.cap.Store != nil && off < r.end && off+n > r.off {
			lo, hi := max(off, r.off), min(off+n, r.end)
			r.cap.Store(c.space[r.off:r.end], lo-r.off, hi-lo)
		}
	}
	return decode || off >= regBAR && off < regBAR+4*len(c.header.BARs)
}

func (c *config) command() uint16 { return binary.LittleEndian.Uint16(c.space[regCommand:]) }

// barBase is the address BAR i has been given.
func (c *config) barBase(i int) uint64 {
	at := regBAR + 4*i
	base := uint64(binary.LittleEndian.Uint32(c.space[at:]) &^ barTypeBits)
	if c.header.BARs[i].Wide {
		base |= uint64(binary.LittleEndian.Uint32(c.space[at+4:])) << 32
	}
	return base
}

func (c *config) reset() {
	c.fn.Reset()
	c.space = c.initial
	c.pin.disable(false)
}
