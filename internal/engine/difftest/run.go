package difftest

// Running an image: under qemu-riscv64, and on a bare hart with a Linux of two system calls.

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/timebase"
)

// qemuCPUs turn on what rv64 of QEMU 7.2 has off, as it spells the names and as versions from 8.2 on do.
var qemuCPUs = []string{
	"rv64,zba=true,zbb=true,zbc=true,zbs=true,Zfhmin=true",
	"rv64,zba=true,zbb=true,zbc=true,zbs=true,zfhmin=true",
}

// RunQEMU runs img under the user-mode emulator at path qemu. The results are those of the programs that ended, also with an
// error.
func RunQEMU(ctx context.Context, qemu string, img *Image) ([]*Result, error) {
	dir, err := os.MkdirTemp("", "difftest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "programs")
	if err := os.WriteFile(path, img.ELF(), 0o755); err != nil {
		return nil, err
	}
	for i, cpu := range qemuCPUs {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, qemu, "-cpu", cpu, path)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err = cmd.Run()
		if err != nil && i+1 < len(qemuCPUs) && bytes.Contains(stderr.Bytes(), []byte("Property")) {
			continue
		}
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", qemu, err, bytes.TrimSpace(stderr.Bytes()))
		}
		return Results(stdout.Bytes()), err
	}
	panic("difftest: no spelling of QEMU's CPU is left") // the last one returns
}

// Machine is a hart in U-mode with an image in its memory, and the least of a Linux below it.
// Time stands still in it.
type Machine struct {
	Hart *hart.Hart
	RAM  *memory.RAM

	// Output is what the image has written.
	Output []byte
	img    *Image
}

// NewMachine makes one, ready to run at the entry of img.
func NewMachine(img *Image) (*Machine, error) {
	end := (img.DataBase + uint64(len(img.Data)) + memory.PageMask) &^ memory.PageMask
	ram, err := memory.NewRAM(memory.GPA(img.CodeBase), end-img.CodeBase)
	if err != nil {
		return nil, err
	}
	h, err := hart.New(hart.Config{RAM: ram, Bus: new(device.Bus), Clock: timebase.NewManual(), PMP: 16})
	if err != nil {
		return nil, errors.Join(err, ram.Close())
	}
	m := &Machine{Hart: h, RAM: ram, img: img}
	if err := errors.Join(ram.Write(memory.GPA(img.CodeBase), img.Code), ram.Write(memory.GPA(img.DataBase), img.Data)); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	h.Reset(img.Entry)
	h.Firmware = true
	h.OpenPMP()
	h.Mstatus |= hart.MstatusFS
	h.SetPriv(riscv.PrivU)
	return m, nil
}

// Close releases the machine.
func (m *Machine) Close() error { return errors.Join(m.Hart.Close(), m.RAM.Close()) }

// Run runs the image to its end on an engine of m's hart.
func (m *Machine) Run(e engine.Engine) error {
	for {
		if exit := e.Run(); exit != engine.ExitFirmware {
			return fmt.Errorf("engine %s: exit %v at pc %#x: %s", e.Name(), exit, m.Hart.PC, m.where())
		}
		done, err := m.SystemCall()
		if err != nil {
			return fmt.Errorf("engine %s: %w", e.Name(), err)
		}
		if done {
			return nil
		}
	}
}

// SystemCall answers the trap that an engine left m's hart with, after an exit to the firmware; done is that the image has
// exited.
func (m *Machine) SystemCall() (done bool, err error) {
	h := m.Hart
	if t := h.FirmwareTrap; t.Cause != riscv.CauseEcallU {
		return false, fmt.Errorf("trap %d, tval %#x, at pc %#x: %s", t.Cause, t.Tval, h.PC, m.where())
	}
	switch a0, a1, a2 := h.X[10], h.X[11], h.X[12]; h.X[17] {
	case sysWrite:
		b, err := m.RAM.Slice(memory.GPA(a1), a2)
		if err != nil {
			return false, err
		}
		m.Output = append(m.Output, b...)
		h.X[10] = a2
	case sysExit:
		if a0 != 0 {
			return true, fmt.Errorf("the image exits with %d", a0)
		}
		return true, nil
	default:
		return false, fmt.Errorf("system call %d", h.X[17])
	}
	h.PC += 4
	return false, nil
}

// where says which program the pc is in.
func (m *Machine) where() string {
	for i, start := range m.img.Starts {
		p := m.img.Programs[i]
		if off := m.Hart.PC - start; off < uint64(len(p.Code)) {
			return fmt.Sprintf("program of seed %d, offset %#x: %v", p.Seed, off, riscv.Decode(p.word(int(off))))
		}
	}
	return "in no program"
}

// RunEngine runs img on a new machine and engine. The results are those of the programs that ended, also with an error.
func RunEngine(img *Image, newEngine func(*hart.Hart) engine.Engine) ([]*Result, error) {
	m, err := NewMachine(img)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	e := newEngine(m.Hart)
	if c, ok := e.(io.Closer); ok {
		defer c.Close() // a translator has a code cache to give back
	}
	err = m.Run(e)
	return Results(m.Output), err
}
