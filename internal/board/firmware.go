package board

// The built-in SBI on this board: its console is the UART's, its resets end the boot, its stopped harts wait here.

import (
	"bytes"

	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/sbi"
)

func (b *Board) assembleSBI() (err error) {
	var harts []*hart.Hart
	for _, c := range b.cpus {
		harts = append(harts, c.Hart)
	}
	b.sbi, err = sbi.New(sbi.Config{Harts: harts, RAM: b.RAM, Console: sbiConsole{console{b}}, Reset: b.sbiReset})
	return err
}

func (b *Board) sbiReset(kind sbi.ResetKind, _ sbi.ResetReason) {
	if kind == sbi.Shutdown {
		b.End(Outcome{Kind: PoweredOff})
	} else {
		b.End(Outcome{Kind: Rebooted})
	}
}

// reset puts every hart where the boot begins. No hart runs.
func (b *Board) reset() {
	b.RAM.Code().Note(b.RAM.Base(), b.RAM.Size()) // what was loaded for this boot went by no hart
	if !b.entry.Firmware {
		b.enterSBI(b.cpus[0], b.entry.PC, b.entry.DTB)
		return
	}
	for _, c := range b.cpus {
		c.Reset(uint64(b.entry.PC))
		c.Firmware = false
		c.X[asm.A0], c.X[asm.A1], c.X[asm.A2] = c.ID, uint64(b.entry.DTB), uint64(b.entry.A2)
	}
	b.underSBI = false
}

// enterSBI makes the host the firmware: the boot hart enters in S-mode, the others are stopped. No hart runs.
func (b *Board) enterSBI(boot *cpu, entry, dtb memory.GPA) {
	b.sbi.Reset()
	b.sbi.Start(int(boot.ID), entry, uint64(dtb))
	b.underSBI = true
}

// started says whether a hart may run; it waits for a hart that HSM keeps stopped, until the boot is over.
func (b *Board) started(c *cpu) bool {
	return !b.underSBI || b.sbi.AwaitStart(c.Hart, b.ended)
}

// console is where the SBI's debug console and the host-target interface print: the same terminal as the UART's, by the same
// FIFOs, as it is with OpenSBI. A hart waits for a slow reader of it, but never beyond the end of the boot.
type console struct{ b *Board }

func (c console) Write(p []byte) (int, error) { return c.b.uart.Print(p, c.b.ended), nil }

// TryRead implements sbi.Console.
func (c console) TryRead(p []byte) int { return c.b.uart.TryRead(p) }

// sbiConsole ends lines as a terminal in raw mode needs it, and as OpenSBI does: the supervisor sends bare line feeds.
type sbiConsole struct{ console }

func (c sbiConsole) Write(p []byte) (n int, err error) {
	for n < len(p) {
		i := bytes.IndexByte(p[n:], '\n')
		if i < 0 {
			return n + c.b.uart.Print(p[n:], c.b.ended), nil
		}
		if took := c.b.uart.Print(p[n:n+i], c.b.ended); took < i || c.b.uart.Print([]byte("\r\n"), c.b.ended) < 2 {
			return n + took, nil
		}
		n += i + 1
	}
	return n, nil
}
