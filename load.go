package vm

// What is put into guest memory before each boot: kernel or firmware, initial RAM disk, device tree.

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"github.com/vmproject/vm/internal/board"
	"github.com/vmproject/vm/internal/boot"
	"github.com/vmproject/vm/internal/boot/fdt"
	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/boot/kernel"
	"github.com/vmproject/vm/internal/memory"
)

// payload is everything a boot loads. It is opened once, so that a mistake shows before anything runs, and read at each boot.
type payload struct {
	bios    *kernel.File // nil: the built-in SBI
	kernel  *kernel.File // nil: firmware alone
	initrd  initramfs.Initrd
	cmdline string
	dtb     []byte // the user's; nil: generated
	dump    string // write the device tree here at the first boot
}

// openPayload opens what cfg names. The default guest's parts have been filled into cfg.
func openPayload(cfg *Config) (_ *payload, err error) {
	p := &payload{cmdline: commandLine(cfg), dump: cfg.DumpDTB}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if cfg.Bios != "" {
		if p.bios, err = kernel.OpenFirmware(cfg.Bios, cfg.Memory); err != nil {
			return nil, err
		}
	}
	if cfg.Kernel != "" {
		if p.kernel, err = kernel.Open(cfg.Kernel, cfg.Memory); err != nil {
			return nil, err
		}
	}
	if p.bios == nil && p.kernel == nil {
		return nil, errors.New("nothing to boot: name a kernel with --kernel or firmware with --bios, or obtain the default guest with: vm image pull")
	}
	if cfg.Initrd != "" {
		if err := p.initrd.AddFile(cfg.Initrd); err != nil {
			return nil, err
		}
	}
	user, err := userArchive(cfg)
	if err != nil {
		return nil, err
	}
	if user != nil {
		p.initrd.AddArchive(user)
	}
	if cfg.DTB != "" {
		if p.dtb, err = readDTB(cfg.DTB); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// maxDTB bounds a device tree file in bytes; real ones are a hundredth of it.
const maxDTB = 16 << 20

func readDTB(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("opening the device tree: %w", err)
	}
	if !st.Mode().IsRegular() || st.Size() > maxDTB {
		return nil, fmt.Errorf("device tree %s: not a regular file of at most %d MiB", path, maxDTB>>20)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the device tree: %w", err)
	}
	if _, err := fdt.Parse(b); err != nil {
		return nil, fmt.Errorf("device tree %s: %w", path, err)
	}
	return b, nil
}

// Close closes the files.
func (p *payload) Close() error {
	var errs []error
	for _, f := range []*kernel.File{p.bios, p.kernel} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// place decides where everything goes in ram; dtbSize is the length of the device tree in bytes.
func (p *payload) place(base memory.GPA, size, dtbSize uint64) (*boot.Layout, error) {
	q := boot.Request{
		RAM:        boot.Range{Start: base, End: base + memory.GPA(size)},
		InitrdSize: p.initrd.Size(),
		DTBSize:    dtbSize,
	}
	if p.bios != nil {
		q.Firmware = p.bios
	}
	if p.kernel != nil {
		q.Kernel = p.kernel
	}
	return boot.Place(q)
}

// load puts everything into the board's RAM and says how to begin.
func (p *payload) load(b *board.Board) (board.Entry, error) {
	tree, err := p.tree(b)
	if err != nil {
		return board.Entry{}, err
	}
	seed := make([]byte, 32)
	rand.Read(seed)
	chosen := fdt.Chosen{Bootargs: p.cmdline, KeepBootargs: p.dtb != nil, RNGSeed: seed}
	// Where things go depends on how long the tree is, and what it says on where they go: addresses are added afterwards,
	// into a little room kept for them.
	const addresses = 512
	size := uint64(len(tree.Marshal())+len(p.cmdline)+len(seed)) + addresses
	lay, err := p.place(b.RAM.Base(), b.RAM.Size(), size)
	if err != nil {
		return board.Entry{}, err
	}
	if p.initrd.Size() > 0 {
		chosen.InitrdStart, chosen.InitrdEnd = uint64(lay.Initrd.Start), uint64(lay.Initrd.End)
		if err := p.initrd.Load(b.RAM, lay.Initrd.Start); err != nil {
			return board.Entry{}, err
		}
	}
	entry := board.Entry{DTB: lay.DTB.Start}
	var next memory.GPA
	if p.kernel != nil {
		k, err := p.kernel.Load(b.RAM, lay.Kernel.Start)
		if err != nil {
			return board.Entry{}, err
		}
		next, entry.PC = k.Entry, k.Entry
		if err := p.htif(b, k); err != nil {
			return board.Entry{}, err
		}
	}
	if p.bios != nil {
		f, err := p.bios.Load(b.RAM, lay.Firmware.Start)
		if err != nil {
			return board.Entry{}, err
		}
		entry.PC, entry.Firmware, entry.A2, entry.Handoff = f.Entry, true, lay.DynamicInfo(), next
		if err := p.htif(b, f); err != nil {
			return board.Entry{}, err
		}
		if err := lay.WriteHandoff(b.RAM, next, board.Doorbell); err != nil {
			return board.Entry{}, err
		}
		if p.kernel != nil && p.kernel.Kind == kernel.Image {
			at := lay.UBootImage()
			chosen.KernelStart, chosen.KernelEnd = uint64(at.Start), uint64(at.End)
		}
		entry.HandoffPage = lay.Handoff.Start
	}
	tree.SetChosen(chosen)
	blob := tree.Marshal()
	if p.dump != "" {
		if err := os.WriteFile(p.dump, blob, 0o644); err != nil {
			return board.Entry{}, fmt.Errorf("writing the device tree: %w", err)
		}
		p.dump = ""
	}
	return entry, b.RAM.Write(lay.DTB.Start, blob)
}

// tree is the device tree before /chosen is filled in.
func (p *payload) tree(b *board.Board) (*fdt.Tree, error) {
	if p.dtb == nil {
		return b.DeviceTree(), nil
	}
	tree, err := fdt.Parse(p.dtb)
	if err != nil {
		return nil, err
	}
	return tree, tree.SetMemory(uint64(b.RAM.Base()), b.RAM.Size())
}

// htif connects the host-target interface if the program has its symbols.
func (p *payload) htif(b *board.Board, l *kernel.Loaded) error {
	tohost, ok := l.Symbols["tohost"]
	if !ok {
		return nil
	}
	return b.HTIF(tohost, l.Symbols["fromhost"])
}
