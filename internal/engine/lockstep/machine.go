package lockstep

// The bare machine that programs run on: RAM, one hart, one device. It serves many programs, one after another, as a machine is
// reset: an engine keeps what it has translated, and has to notice that it is stale.

import (
	"errors"
	"fmt"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// machine is one side's hardware.
type machine struct {
	side Side
	ram  *memory.RAM
	dev  *probe
}

// newMachine makes one with size bytes of RAM at base.
func newMachine(base memory.GPA, size uint64, clock *timebase.Clock, newEngine func(*hart.Hart) Engine) (*machine, error) {
	ram, err := memory.NewRAM(base, size)
	if err != nil {
		return nil, err
	}
	bus, dev := new(device.Bus), new(probe)
	if err := bus.Map(deviceBase, deviceSize, "probe", dev); err != nil {
		return nil, errors.Join(err, ram.Close())
	}
	h, err := hart.New(hart.Config{RAM: ram, Bus: bus, Clock: clock, PMP: hart.MaxPMP})
	if err != nil {
		return nil, errors.Join(err, ram.Close())
	}
	return &machine{side: Side{Hart: h, Engine: newEngine(h), Outside: dev.sum}, ram: ram, dev: dev}, nil
}

func (m *machine) close() error {
	type closer interface{ Close() error }
	var err error
	if c, ok := m.side.Engine.(closer); ok {
		err = c.Close() // a translator has a code cache to give back
	}
	return errors.Join(err, m.side.Hart.Close(), m.ram.Close())
}

// load puts a program into RAM and the hart into the state that the program starts from.
func (m *machine) load(p *Program) error {
	mem, err := m.ram.Slice(m.ram.Base(), m.ram.Size())
	if err != nil {
		return err
	}
	if len(p.Image) > len(mem) {
		return fmt.Errorf("program of seed %d: %d bytes do not fit", p.Seed, len(p.Image))
	}
	clear(mem[copy(mem, p.Image):])
	h := m.side.Hart
	for bit := range uint(16) {
		h.SetPending(bit, false)
	}
	*m.dev = probe{}
	h.Reset(p.Entry)
	if r, ok := m.side.Engine.(Resetter); ok {
		r.Reset()
	}
	copy(h.X[1:32], p.X[1:])
	h.F = p.F
	h.Mstatus |= hart.MstatusFS
	return nil
}

// Where the device of every machine is.
const (
	deviceBase = 0x1000_0000
	deviceSize = 0x1000
)

// probe is a device whose every answer depends on all that was asked of it before: an access too many, too few or out of order
// shows.
type probe struct{ digest uint64 }

func (d *probe) mix(v uint64) {
	d.digest = (d.digest ^ v) * 0x9e37_79b9_7f4a_7c15
	d.digest ^= d.digest >> 29
}

func (d *probe) Load(off uint64, size int) uint64 {
	d.mix(off<<8 | uint64(size))
	return d.digest
}

func (d *probe) Store(off uint64, size int, v uint64) {
	if size < 8 {
		v &= 1<<(8*size) - 1
	}
	d.mix(off<<8 | 0x80 | uint64(size))
	d.mix(v)
}

func (d *probe) sum() uint64 { return d.digest }
