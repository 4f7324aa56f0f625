package hart

// CSR accesses: who may, and what a read-modify-write is. The registers themselves are rows of the table in csrtable.go.

import "github.com/vmproject/vm/internal/engine/riscv"

// CSRKind is how a CSR instruction combines its source with the old value.
type CSRKind uint8

const (
	CSRWrite CSRKind = iota // CSRRW
	CSRSet                  // CSRRS
	CSRClear                // CSRRC
)

// Fields of menvcfg and senvcfg (Privileged 1.13 §3.1.18, §12.1.10; the last three are menvcfg's only).
const (
	EnvcfgFIOM  = 1 << 0
	EnvcfgCBIE  = 3 << 4
	EnvcfgCBCFE = 1 << 6
	EnvcfgCBZE  = 1 << 7
	EnvcfgADUE  = 1 << 61
	EnvcfgPBMTE = 1 << 62
	EnvcfgSTCE  = 1 << 63

	envcfgS = EnvcfgFIOM | EnvcfgCBIE | EnvcfgCBCFE | EnvcfgCBZE
	envcfgM = envcfgS | EnvcfgADUE | EnvcfgPBMTE | EnvcfgSTCE
)

// registers are the CSRs that only CSR instructions touch. The hot ones are in State.
type registers struct {
	mcounteren, scounteren uint64
	mcountinhibit          uint64
	menvcfg, senvcfg       uint64
	seip                   uint64 // the software-writable half of mip.SEIP, in place
	cycle, instret         counter
}

// counter is State.Instret as seen through a CSR that software may set and stop. A cycle is an instruction here: the
// counters depend on nothing but the program.
type counter struct {
	offset  uint64 // value minus Instret while it counts
	held    uint64 // value while it does not
	stopped bool
}

func (c *counter) read(now uint64) uint64 {
	if c.stopped {
		return c.held
	}
	return now + c.offset
}

// write sets the value that the next instruction reads. now is Instret before the writing one.
func (c *counter) write(now, v uint64) {
	c.held = v
	c.offset = v - (now + 1)
}

// stop follows a bit of mcountinhibit.
func (c *counter) stop(now uint64, stopped bool) {
	if stopped != c.stopped {
		v := c.read(now + 1)
		c.stopped = stopped
		c.write(now, v)
	}
}

// csr is one row of the table.
type csr struct {
	num uint16
	// read gives the value an instruction sees.
	read func(h *Hart, num uint16) uint64
	// write stores the legal part of v, which was derived from base; nil in read-only registers.
	write func(h *Hart, num uint16, base, v uint64)
	// base is what CSRRS and CSRRC modify where that is not what they read; else nil.
	base func(h *Hart) uint64
	// gate says whether the register exists for the present privilege, beyond what its number says; nil for always.
	gate func(h *Hart, num uint16) bool
}

// csrByNumber finds rows; nil where there is no register.
var csrByNumber = func() (t [1 << 12]*csr) {
	for i := range csrTable {
		r := &csrTable[i]
		if t[r.num] != nil {
			panic("hart: two CSRs with number " + riscv.CSRName(r.num))
		}
		t[r.num] = r
	}
	return t
}()

// The number of a CSR says what may be done with it (Privileged 1.13 §2.1).
func csrPrivilege(num uint16) uint64 { return uint64(num) >> 8 & 3 }
func csrReadOnly(num uint16) bool    { return num>>10 == 3 }

// CSR is CSRRW, CSRRS and CSRRC. write is false for CSRRS and CSRRC with x0 or a zero immediate as source, which do not
// count as writes. When ok is false, the illegal-instruction exception has been taken.
func (h *Hart) CSR(kind CSRKind, num uint16, src uint64, write bool) (old uint64, ok bool) {
	num &= 1<<12 - 1
	r := csrByNumber[num]
	if r == nil || csrPrivilege(num) > h.Priv || write && csrReadOnly(num) || r.gate != nil && !r.gate(h, num) {
		h.illegal()
		return 0, false
	}
	old = r.read(h, num)
	if write {
		base := old
		if r.base != nil {
			base = r.base(h)
		}
		switch kind {
		case CSRSet:
			src |= base
		case CSRClear:
			src = base &^ src
		}
		r.write(h, num, base, src)
	}
	return old, true
}

// ReadCSR reads a register for the firmware or a debugger: no privilege counts. ok is false when there is no such register.
func (h *Hart) ReadCSR(num uint16) (v uint64, ok bool) {
	r := csrByNumber[num&(1<<12-1)]
	if r == nil {
		return 0, false
	}
	return r.read(h, r.num), true
}

// WriteCSR writes a register for the firmware or a debugger; the legal values are those of the guest. It returns false when there
// is no such register or it is read-only.
func (h *Hart) WriteCSR(num uint16, v uint64) bool {
	r := csrByNumber[num&(1<<12-1)]
	if r == nil || r.write == nil {
		return false
	}
	base := r.read(h, r.num)
	if r.base != nil {
		base = r.base(h)
	}
	h.prepare(func() { r.write(h, r.num, base, v) })
	return true
}
