package vm

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/blk"
	"github.com/vmproject/vm/internal/device/virtio/console"
	"github.com/vmproject/vm/internal/device/virtio/rng"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/engine/jit/code"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/memory/numa"
	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/userland"
)

const (
	defaultMemory = 512 << 20
	minMemory     = 4 << 20
	// drainTime bounds the wait, at the end, for a reader of the guest's output that has stopped reading.
	drainTime = 2 * time.Second
)

// Machine is one virtual machine. Its methods may be called from any goroutine; Run only once.
type Machine struct {
	cfg      Config
	log      *slog.Logger
	payload  *payload
	board    *board.Board
	disks    []storage.Image
	blocks   []*blk.Device    // of the disks
	terminal *console.Console // the resizable one; nil without the interactive user space
	ports    *console.Console // between the guest's init and the host; nil without user space
	input    *input           // of the console; nil with a command
	engine   string
	ran      time.Duration
	perf     *code.PerfMap // nil unless Config asks for it

	used    atomic.Bool         // Run or Close has been called
	verdict atomic.Pointer[int] // the exit status that init reported; nil before
	closing sync.Once
}

// Status says how a guest ended.
type Status struct {
	// ExitCode is the guest's own, 0 to 255: of the command, the shell, or the test program; 0 when the guest switched the
	// machine off.
	ExitCode int
}

// New builds a machine and opens everything it needs. Nothing runs yet, and no disk is written. Each error is one line that
// says what is wrong and what to do.
func New(cfg Config) (_ *Machine, err error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	var dump DumpCode // the caller's stays as it is
	if cfg.DumpCode != nil {
		dump = *cfg.DumpCode
	}
	cfg.DumpCode = &dump
	makeExclusive(&cfg.Stdout, &cfg.Stderr, &cfg.KernelLog, &dump.To)
	eng, err := engines.Lookup(cfg.Engine)
	if err != nil {
		return nil, err
	}
	m := &Machine{cfg: cfg, log: cfg.Log, engine: eng.Name}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if m.payload, err = openPayload(&cfg); err != nil {
		return nil, err
	}
	// A first placement, with a device tree of a usual size: what does not fit is said before anything starts.
	if _, err := m.payload.place(board.RAMBase, cfg.Memory, max(16<<10, uint64(len(m.payload.dtb)))); err != nil {
		return nil, err
	}
	jo, err := m.inspect(&cfg)
	if err != nil {
		return nil, err
	}
	host, err := numa.Host()
	if err != nil {
		return nil, err
	}
	bc := board.Config{
		Memory: cfg.Memory, Harts: cfg.CPUs, Engine: eng.Make(engines.Options{Harts: cfg.CPUs, Log: cfg.Log, JIT: jo}),
		Serial: cfg.KernelLog, Load: m.payload.load, NoReboot: cfg.NoReboot, Log: cfg.Log,
		BadBoots: 3, PanicResets: cfg.usesUserland(), Balloon: cfg.Balloon,
	}
	if err := cfg.place(&bc, host); err != nil {
		return nil, err
	}
	m.cfg.Prefault = cfg.Prefault
	if len(cfg.Command) > 0 {
		bc.BadBoots = 1 // who waits for a command wants to know, not to wait for it again
	} else {
		bc.Serial = cfg.Stdout
		m.input = newInput(cfg.Stdin, cfg.terminalOnly())
	}
	if err := m.addConsoles(&bc); err != nil {
		return nil, err
	}
	if err := m.addDisks(&bc); err != nil {
		return nil, err
	}
	bc.PCI = append(bc.PCI, rng.New())
	if m.board, err = board.New(bc); err != nil {
		return nil, err
	}
	return m, nil
}

// complete fills in defaults and checks what needs no file.
func (cfg *Config) complete() error {
	if cfg.Memory == 0 {
		cfg.Memory = defaultMemory
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.MMU == "" {
		cfg.MMU = "sv39"
	}
	if cfg.Kernel == "" && cfg.Bios == "" && cfg.Guest != nil || cfg.Kernel == "" && cfg.Guest != nil && len(cfg.Command) > 0 {
		cfg.Kernel = cfg.Guest.Kernel
	}
	switch {
	case cfg.Memory < minMemory || cfg.Memory%memory.PageSize != 0:
		return fmt.Errorf("%d bytes of memory: a machine needs at least %d MiB, in multiples of %d bytes", cfg.Memory, minMemory>>20, memory.PageSize)
	case cfg.CPUs < 1 || cfg.CPUs > board.MaxHarts:
		return fmt.Errorf("%d harts: a machine has 1 to %d", cfg.CPUs, board.MaxHarts)
	case cfg.Balloon && cfg.HugePages != 0:
		return errors.New("a balloon with memory in huge pages of the host's pool, which stay with the machine: leave out --balloon or --hugepages")
	case !slices.Contains(mmuModes, cfg.MMU):
		return fmt.Errorf("paging mode %q: use %s", cfg.MMU, strings.Join(mmuModes, ", "))
	case len(cfg.Command) > 0 && cfg.Guest == nil:
		return errors.New("a command needs a guest to run in: obtain the default one with: vm image pull")
	case cfg.usesUserland() && cfg.Guest.Busybox == "":
		return fmt.Errorf("image %s has no busybox to run a shell or a command with: import it again with one", cfg.Guest.Name)
	}
	if err := cfg.completeNUMA(); err != nil {
		return err
	}
	if total := memory.HostTotal(); total != 0 && cfg.Memory > total {
		return fmt.Errorf("%d MiB of guest memory: this host has %d MiB; give the machine less with --memory", cfg.Memory>>20, total>>20)
	}
	return nil
}

// addConsoles connects the guest's user space: a terminal or a command's streams, and the port that its end is told on.
func (m *Machine) addConsoles(bc *board.Config) (err error) {
	if !m.cfg.usesUserland() {
		return nil
	}
	ports := []console.Port{{Name: userland.PortControl, Out: &control{m: m}}}
	if len(m.cfg.Command) > 0 {
		ports = append(ports,
			console.Port{Name: userland.PortStdout, Out: m.cfg.Stdout},
			console.Port{Name: userland.PortStderr, Out: m.cfg.Stderr})
		if m.cfg.Stdin != nil {
			ports = append(ports, console.Port{Name: userland.PortStdin, In: m.cfg.Stdin})
		}
	} else {
		if m.terminal, err = console.New([]console.Port{{Console: true, In: m.input, Out: m.cfg.Stdout}}); err != nil {
			return err
		}
		bc.PCI = append(bc.PCI, m.terminal)
	}
	if m.ports, err = console.New(ports); err != nil {
		return err
	}
	bc.PCI = append(bc.PCI, m.ports)
	return nil
}

func (m *Machine) addDisks(bc *board.Config) error {
	for i, d := range m.cfg.Disks {
		img, err := storage.Open(storage.Options{
			Path: d.Path, Format: d.Format, ReadOnly: d.ReadOnly, Snapshot: d.Snapshot, Sector: d.Sector, Cache: d.Cache, Size: d.Size,
		})
		if err != nil {
			return err
		}
		m.disks = append(m.disks, img)
		dev, err := blk.New(img, blk.Options{Sector: storage.SectorOf(img, d.Sector), Queues: cmp.Or(d.Queues, m.cfg.CPUs), Limits: d.Limits.device(), ID: fmt.Sprintf("disk%d", i), Log: m.log})
		if err != nil {
			return fmt.Errorf("disk %s: %w", d.Path, err)
		}
		m.blocks = append(m.blocks, dev)
		if d.MMIO {
			bc.MMIO = append(bc.MMIO, dev)
		} else {
			bc.PCI = append(bc.PCI, dev)
		}
	}
	return nil
}

// Run boots the machine and waits for its guest to end: by itself, or because ctx did, which is ctx's error. What the guest
// wrote before it ended has reached Stdout and Stderr when Run returns.
func (m *Machine) Run(ctx context.Context) (Status, error) {
	if m.used.Swap(true) {
		return Status{}, errors.New("this machine has run or is closed: make another one with vm.New")
	}
	feed, stop := context.WithCancel(ctx)
	defer stop()
	if m.input != nil {
		m.input.start(feed, m.board, func(err error) { m.log.Warn("reading the console's input", "error", err) })
	}
	if err := m.prefault(ctx); err != nil {
		return Status{}, err
	}
	began := time.Now()
	out, err := m.board.Run(ctx)
	m.ran = time.Since(began)
	if err != nil {
		return Status{}, err
	}
	m.drain()
	switch out.Kind {
	case board.Exited:
		return Status{ExitCode: min(out.Code, 255)}, nil
	case board.Stopped:
		return Status{}, context.Cause(ctx)
	case board.Stuck:
		return Status{}, errors.New(out.Reason)
	case board.PoweredOff:
		// Init reports and then switches the machine off, and Linux does not wait for a port to take what is written to it: the
		// report may come second.
		if code := m.verdict.Load(); code != nil {
			return Status{ExitCode: *code}, nil
		}
	}
	return Status{}, nil
}

// drain waits until what the guest wrote has been taken.
func (m *Machine) drain() {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	for _, c := range []*console.Console{m.terminal, m.ports} {
		if c == nil {
			continue
		}
		if err := c.Drain(ctx); err != nil {
			m.log.Warn("the last output of the guest is lost", "error", err)
		}
	}
}

// Resize tells the guest that the terminal has a new size, in characters.
func (m *Machine) Resize(cols, rows int) {
	if m.terminal != nil {
		m.terminal.Resize(uint16(min(max(cols, 0), 0xffff)), uint16(min(max(rows, 0), 0xffff)))
	}
}

// Close releases everything; disks are flushed. Run must have returned, or never been called. Closing again does nothing.
func (m *Machine) Close() (err error) {
	m.closing.Do(func() { err = m.close() })
	return err
}

func (m *Machine) close() error {
	m.used.Store(true)
	if m.input != nil {
		m.input.close()
	}
	var errs []error
	for _, c := range []*console.Console{m.terminal, m.ports} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	if m.board != nil {
		errs = append(errs, m.board.Close())
	}
	for _, img := range m.disks {
		errs = append(errs, img.Close())
	}
	if m.payload != nil {
		errs = append(errs, m.payload.Close())
	}
	if m.perf != nil {
		errs = append(errs, m.perf.Close())
	}
	return errors.Join(errs...)
}

// control receives what the guest's init says on its control port.
type control struct {
	m     *Machine
	line  []byte
	noise bool // something that is no message was logged
}

// Write implements io.Writer: it takes lines. The guest is not trusted; what is no message is logged and dropped.
func (c *control) Write(p []byte) (int, error) {
	const longest = 256
	for rest := p; len(rest) > 0; {
		i := slices.Index(rest, '\n')
		if i < 0 {
			c.line = append(c.line, rest[:min(len(rest), longest-min(len(c.line), longest))]...)
			break
		}
		line := append(c.line, rest[:i]...)
		c.line, rest = c.line[:0], rest[i+1:]
		message := string(bytes.TrimSpace(line))
		if message == userland.TerminalOpen && c.m.input != nil {
			c.m.input.toTerminal()
			continue
		}
		code, err := userland.ParseExit(message)
		if err != nil {
			if !c.noise { // a guest can send any number
				c.m.log.Warn("control port; further errors are not shown", "error", err)
			}
			c.noise = true
			continue
		}
		c.m.verdict.Store(&code)
		c.m.board.End(board.Outcome{Kind: board.Exited, Code: code})
	}
	return len(p), nil
}

var _ io.Writer = (*control)(nil)
var _ virtio.Device = (*console.Console)(nil)
