// Package board is the machine: it places RAM, harts, interrupt controllers and devices as QEMU's virt board does, describes
// them in a device tree, and starts, restarts and stops the whole.
//
// It knows no file formats and no policy: what to load is a function the caller supplies, and how the guest ended is an
// [Outcome] the caller interprets.
package board

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/htif"
	"github.com/vmproject/vm/internal/device/irqchip"
	"github.com/vmproject/vm/internal/device/pci"
	"github.com/vmproject/vm/internal/device/rtc"
	"github.com/vmproject/vm/internal/device/syscon"
	"github.com/vmproject/vm/internal/device/uart"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/balloon"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/sbi"
	"github.com/vmproject/vm/internal/timebase"
)

// RAMBase is where RAM begins.
const RAMBase = ramBase

// Config says what is on a board.
type Config struct {
	Memory uint64 // bytes of RAM, a multiple of 4096
	Harts  int    // 1 to MaxHarts
	// Place is where on the host RAM lies.
	Place memory.Placement
	// Nodes are the guest's memory nodes, and Distance how far one is from another (10 is itself; nil: 20). None: it knows of no nodes.
	Nodes    []Node
	Distance func(from, to int) int
	// Engine makes the engine of one hart.
	Engine func(*hart.Hart) engine.Engine
	// Serial receives what the guest writes to the UART, the SBI console and the host-target interface.
	Serial io.Writer
	// PCI devices take slots 1, 2, ... in order; MMIO devices take virtio-mmio slots 0, 1, ...
	PCI, MMIO []virtio.Device
	// Balloon adds a balloon in the PCI slot behind those.
	Balloon bool
	// Load puts the guest's first code into RAM. It is called before each boot, with RAM as the last boot left it.
	Load func(*Board) (Entry, error)
	// NoReboot makes a request to reboot end the machine.
	NoReboot bool
	// BadBoots is how many boots in a row may end badly (stuck, or a reset after a kernel panic) before the machine gives up;
	// at least 1.
	BadBoots int
	// PanicResets makes a kernel that stops for good after a panic reset the machine, as one that was told to would do itself.
	PanicResets bool
	Log         *slog.Logger

	// Clock is the machine's; nil: one that follows the host's.
	Clock *timebase.Clock
	// Wire makes the wire to a bit of a hart's mip; nil: it sets the bit.
	Wire func(h *hart.Hart, irq uint) device.Line
}

// Adapt, where set, is called with each Config before its board is made. It is for tests that get at the board of a whole machine of
// package vm: set before the first, by a program that makes no others.
var Adapt func(*Config)

// complete fills in defaults.
func (cfg *Config) complete() {
	if cfg.Clock == nil {
		cfg.Clock = timebase.NewTSC()
	}
	if cfg.Wire == nil {
		cfg.Wire = func(h *hart.Hart, irq uint) device.Line {
			return device.LineFunc(func(level bool) { h.SetPending(irq, level) })
		}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
}

// Entry says how a boot begins.
type Entry struct {
	PC memory.GPA
	// DTB is the address of the device tree blob (a1).
	DTB memory.GPA
	// Firmware: PC is entered in M-mode by every hart, with A2 in a2. Otherwise hart 0 enters in S-mode on the built-in SBI.
	Firmware bool
	A2       memory.GPA
	// Handoff is the kernel's S-mode entry, for firmware that brings no SBI of its own, and HandoffPage the page of guest code
	// that rings the doorbell; see handoff.go. 0: none.
	Handoff, HandoffPage memory.GPA
}

// Board is one machine. Run may be called once.
type Board struct {
	RAM     *memory.RAM
	Clock   *timebase.Clock
	Balloon *balloon.Device // nil without Config.Balloon

	cfg   Config
	log   *slog.Logger
	bus   *device.Bus
	cpus  []*cpu
	sbi   *sbi.SBI
	uart  *uart.UART
	plic  *irqchip.PLIC
	pci   *pci.Host
	tail  *Tail
	entry Entry
	// underSBI: the host is the firmware. Changes only while no hart runs.
	underSBI bool
	// up is closed when the first boot begins: the UART takes no input before, which its reset would lose.
	up      chan struct{}
	powerUp sync.Once

	mu      sync.Mutex // guards what follows
	outcome *Outcome   // how the present boot ends; nil while it runs
	ended   chan struct{}
}

// cpu is a hart, its engine, and the goroutine that runs it.
type cpu struct {
	*hart.Hart
	engine engine.Engine

	retired uint64 // instructions, over all boots
	exits   [engine.NumExits]uint64
}

// New assembles a board. Nothing runs yet.
func New(cfg Config) (*Board, error) {
	if Adapt != nil {
		Adapt(&cfg)
	}
	if cfg.Harts < 1 || cfg.Harts > MaxHarts {
		return nil, fmt.Errorf("a machine has 1 to %d harts, not %d", MaxHarts, cfg.Harts)
	}
	if len(cfg.MMIO) > mmioSlots {
		return nil, fmt.Errorf("%d devices on virtio-mmio: there are %d slots; put some on PCI", len(cfg.MMIO), mmioSlots)
	}
	devices := len(cfg.PCI)
	if cfg.Balloon {
		devices++
	}
	if devices >= pci.Slots {
		return nil, fmt.Errorf("%d PCI devices: there are %d slots", devices, pci.Slots-1)
	}
	if err := cfg.checkNodes(); err != nil {
		return nil, err
	}
	ram, err := memory.NewPlacedRAM(ramBase, cfg.Memory, cfg.Place)
	if err != nil {
		return nil, err
	}
	cfg.complete()
	b := &Board{RAM: ram, Clock: cfg.Clock, cfg: cfg, log: cfg.Log, bus: &device.Bus{}, tail: NewTail(cfg.Serial), up: make(chan struct{})}
	if cfg.PanicResets {
		b.tail.halted = func() { b.End(Outcome{Kind: Rebooted}) }
	}
	if err := b.assemble(); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// assemble makes and wires everything but RAM.
func (b *Board) assemble() error {
	var msip, mtip, external []device.Line
	for i := range b.cfg.Harts {
		h, err := hart.New(hart.Config{ID: uint64(i), RAM: b.RAM, Bus: b.bus, Clock: b.Clock, PMP: hart.MaxPMP})
		if err != nil {
			return err
		}
		b.cpus = append(b.cpus, &cpu{Hart: h, engine: b.cfg.Engine(h)})
		msip = append(msip, b.cfg.Wire(h, riscv.IntMSoftware))
		mtip = append(mtip, b.cfg.Wire(h, riscv.IntMTimer))
		external = append(external, b.cfg.Wire(h, riscv.IntMExternal), b.cfg.Wire(h, riscv.IntSExternal))
	}
	b.plic = irqchip.NewPLIC(external)
	b.uart = uart.New(b.plic.Source(irqUART), b.tail)
	b.pci = pci.NewHost([4]device.Line{
		b.plic.Source(irqPCI), b.plic.Source(irqPCI + 1), b.plic.Source(irqPCI + 2), b.plic.Source(irqPCI + 3),
	})
	pci64 := pci64Base(b.RAM.End())
	for _, d := range []struct {
		base memory.GPA
		size uint64
		name string
		dev  device.Device
	}{
		{sysconBase, sysconSize, "syscon", syscon.New(b.finish)},
		{rtcBase, rtcSize, "rtc", rtc.New(b.plic.Source(irqRTC))},
		{Doorbell, doorbellSize, "doorbell", &doorbell{board: b}},
		{aclintBase, aclintSize, "aclint", irqchip.NewACLINT(b.Clock, msip, mtip)},
		{plicBase, plicSize, "plic", b.plic},
		{uartBase, uartSize, "uart", b.uart},
		{ecamBase, ecamSize, "pci-ecam", b.pci.ECAM()},
		{pciIOBase, pciIOSize, "pci-io", pci.IO()},
		{pci32Base, pci32Size, "pci-mem32", b.pci.Window(pci32Base)},
		{pci64, pci64Size, "pci-mem64", b.pci.Window(pci64)},
	} {
		if err := b.bus.Map(d.base, d.size, d.name, d.dev); err != nil {
			return err
		}
	}
	devices := b.cfg.PCI
	if b.cfg.Balloon {
		b.Balloon = balloon.New(b.RAM, b.log)
		devices = append(slices.Clone(devices), b.Balloon)
	}
	for i, dev := range devices {
		if err := b.pci.Add(i+1, virtio.NewPCI(b.RAM, dev, b.log)); err != nil {
			return err
		}
	}
	for i := range mmioSlots {
		var slot device.Device = virtio.EmptyMMIO{}
		if i < len(b.cfg.MMIO) {
			slot = virtio.NewMMIO(b.RAM, b.cfg.MMIO[i], b.plic.Source(irqMMIO+i), b.log)
		}
		base := mmioBase + memory.GPA(i*mmioStride)
		if err := b.bus.Map(base, virtio.MMIOSize, fmt.Sprintf("virtio-mmio%d", i), slot); err != nil {
			return err
		}
	}
	return b.assembleSBI()
}

// HTIF puts the host-target interface of an ELF test program over the page that holds its tohost symbol. For Load, at the
// first boot; later boots of the same program find it in place.
func (b *Board) HTIF(tohost, fromhost memory.GPA) error {
	dev, err := htif.New(htif.Config{RAM: b.RAM, ToHost: tohost, FromHost: fromhost, Out: console{b},
		Exit: func(code int) { b.End(Outcome{Kind: Exited, Code: code}) }})
	if err != nil {
		return err
	}
	if b.bus.Covers(dev.Base(), memory.PageSize) {
		return nil
	}
	return b.bus.Map(dev.Base(), memory.PageSize, "htif", dev)
}

// Serial feeds the UART's receiver from r until r or ctx ends.
func (b *Board) Serial(ctx context.Context, r io.Reader) error {
	select {
	case <-b.up:
		return b.uart.Feed(ctx, r)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SendSerial hands p to the UART's receiver, at the guest's pace, and returns how much of it was taken: less than
// all only with the error of ctx, when that ended.
func (b *Board) SendSerial(ctx context.Context, p []byte) (int, error) {
	select {
	case <-b.up:
		return b.uart.Send(ctx, p)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Tail is the end of what the guest wrote to its serial console.
func (b *Board) Tail() *Tail { return b.tail }

// resetDevices resets everything on the bus. The interrupt controller once more at the end: a request that the host was working
// on may have raised its interrupt before its device was reset, and a PLIC remembers that.
func (b *Board) resetDevices() {
	b.bus.Reset()
	if b.plic != nil {
		b.plic.Reset()
	}
}

// Close releases everything. Run must have returned.
func (b *Board) Close() error {
	var errs []error
	b.resetDevices() // none may touch guest memory, or raise an interrupt, after this
	if b.uart != nil {
		errs = append(errs, b.uart.Close())
	}
	for _, c := range b.cpus {
		if e, ok := c.engine.(io.Closer); ok {
			errs = append(errs, e.Close())
		}
		errs = append(errs, c.Close())
	}
	return errors.Join(append(errs, b.RAM.Close())...)
}
