package board

// Whole machines that run small programs in M-mode, assembled here: what ends a boot, what a reset clears, how harts and devices
// are wired.

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/engine"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/interp"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
)

const (
	testMemory = 4 << 20
	// Where programs keep what has to outlive a reboot: RAM that no program is loaded to.
	scratch = ramBase + 1<<20
)

// buffer is a writer that several goroutines may use.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// assemble is the program that f writes, for an address.
func assemble(t *testing.T, at memory.GPA, f func(a *asm.Assembler)) []byte {
	t.Helper()
	a := asm.New(uint64(at))
	f(a)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// firmware makes a Load that enters what f writes in M-mode.
func firmware(t *testing.T, f func(a *asm.Assembler)) func(*Board) (Entry, error) {
	t.Helper()
	code := assemble(t, ramBase, f)
	return func(b *Board) (Entry, error) {
		return Entry{PC: ramBase, Firmware: true}, b.RAM.Write(ramBase, code)
	}
}

// supervisor makes a Load that enters what f writes in S-mode, on the built-in SBI.
func supervisor(t *testing.T, f func(a *asm.Assembler)) func(*Board) (Entry, error) {
	load := firmware(t, f)
	return func(b *Board) (Entry, error) {
		e, err := load(b)
		e.Firmware = false
		return e, err
	}
}

// newBoard makes a board; what c leaves out is a small machine of one hart.
func newBoard(t *testing.T, c Config) *Board {
	t.Helper()
	if c.Memory == 0 {
		c.Memory = testMemory
	}
	if c.Harts == 0 {
		c.Harts = 1
	}
	if c.BadBoots == 0 {
		c.BadBoots = 3
	}
	c.Engine = func(h *hart.Hart) engine.Engine { return interp.NewSize(h, 8) }
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if err := b.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
	})
	return b
}

func run(t *testing.T, b *Board) Outcome {
	t.Helper()
	out, err := b.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// store writes code that stores a constant to an address; it uses t0 and t1.
func store(a *asm.Assembler, op riscv.Op, at memory.GPA, v int64) {
	a.Li(asm.T0, int64(at))
	a.Li(asm.T1, v)
	a.Store(op, asm.T1, 0, asm.T0)
}

// finish writes code that ends the boot by the test finisher.
func finish(a *asm.Assembler, v int64) {
	store(a, riscv.SW, sysconBase, v)
	a.Label("end")
	a.J("end")
}

// send writes code that prints the string at a label by the UART; it uses t0 to t2.
func send(a *asm.Assembler, label string) {
	a.La(asm.T2, label)
	a.Li(asm.T0, int64(uartBase))
	a.Label("next")
	a.Load(riscv.LBU, asm.T1, 0, asm.T2)
	a.B(riscv.BEQ, asm.T1, asm.Zero, "sent")
	a.Store(riscv.SB, asm.T1, 0, asm.T0)
	a.I(riscv.ADDI, asm.T2, asm.T2, 1)
	a.J("next")
	a.Label("sent")
}

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		name     string
		program  func(a *asm.Assembler)
		noReboot bool
		want     Outcome // Reason: a part of it
		boots    int
	}{
		{name: "power off", program: func(a *asm.Assembler) { finish(a, 0x5555) }, want: Outcome{Kind: PoweredOff}, boots: 1},
		{name: "exit code", program: func(a *asm.Assembler) { finish(a, 7<<16|0x3333) }, want: Outcome{Kind: Exited, Code: 7}, boots: 1},
		{name: "no reboot", program: func(a *asm.Assembler) { finish(a, 0x7777) }, noReboot: true, want: Outcome{Kind: Rebooted}, boots: 1},
		{
			name:    "a jump into the void, three times",
			program: func(a *asm.Assembler) { a.Li(asm.T0, 0x4000); a.I(riscv.JALR, asm.Zero, asm.T0, 0) },
			want:    Outcome{Kind: Stuck, Reason: "hart 0 faults in a loop: instruction access fault at pc 0x0"}, boots: 3,
		},
		{
			name:     "a jump into the void, once",
			program:  func(a *asm.Assembler) { a.Word(0) },
			noReboot: true,
			want:     Outcome{Kind: Stuck, Reason: "faults in a loop"}, boots: 1,
		},
		{
			name: "a panic, three times",
			program: func(a *asm.Assembler) {
				send(a, "text")
				finish(a, 0x7777)
				a.Label("text")
				a.Asciz("[    1.0] Kernel panic - not syncing: oops\x1b[2J\r\n[    1.1] Rebooting\n")
			},
			want: Outcome{Kind: Stuck, Reason: "the guest's kernel panicked: oops[2J"}, boots: 3,
		},
		{
			name: "two reboots, and then off",
			program: func(a *asm.Assembler) {
				a.Li(asm.T0, int64(scratch))
				a.Load(riscv.LD, asm.T1, 0, asm.T0)
				a.I(riscv.ADDI, asm.T1, asm.T1, 1)
				a.Store(riscv.SD, asm.T1, 0, asm.T0)
				a.Li(asm.T2, 3)
				a.B(riscv.BEQ, asm.T1, asm.T2, "off")
				store(a, riscv.SW, sysconBase, 0x7777)
				a.Label("wait")
				a.J("wait")
				a.Label("off")
				finish(a, 0x5555)
			},
			want: Outcome{Kind: PoweredOff}, boots: 3,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			boots := 0
			load := firmware(t, c.program)
			b := newBoard(t, Config{NoReboot: c.noReboot, Load: func(b *Board) (Entry, error) {
				boots++
				return load(b)
			}})
			out := run(t, b)
			if !strings.Contains(out.Reason, c.want.Reason) || strings.Contains(out.Reason, "\n") {
				t.Errorf("reason %q, want one line with %q", out.Reason, c.want.Reason)
			}
			if out.Reason = c.want.Reason; out != c.want || boots != c.boots {
				t.Errorf("%+v after %d boots, want %+v after %d", out, boots, c.want, c.boots)
			}
		})
	}
}

func TestLoadErrorEndsTheRun(t *testing.T) {
	b := newBoard(t, Config{Load: func(*Board) (Entry, error) { return Entry{}, io.ErrUnexpectedEOF }})
	if out, err := b.Run(t.Context()); err != io.ErrUnexpectedEOF {
		t.Errorf("%v, %v", out, err)
	}
}

func TestContextEndsARunningHart(t *testing.T) {
	for name, wait := range map[string]func(a *asm.Assembler){
		"computing": func(a *asm.Assembler) { a.Nop() },
		"waiting":   func(a *asm.Assembler) { a.Op(riscv.WFI) },
	} {
		t.Run(name, func(t *testing.T) {
			started, written := io.Pipe()
			b := newBoard(t, Config{Harts: 2, Serial: written, Load: firmware(t, func(a *asm.Assembler) {
				store(a, riscv.SB, uartBase, '!')
				a.Label("loop")
				wait(a)
				a.J("loop")
			})})
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				io.ReadFull(started, make([]byte, 2))
				cancel()
			}()
			if out, err := b.Run(ctx); out != (Outcome{Kind: Stopped}) || err != nil {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
}

// A hart that prints by the SBI or the host-target interface waits for a reader that has stopped reading, and yet the machine ends
// when it is told to. No goroutine is left behind.
func TestContextEndsAHartThatPrints(t *testing.T) {
	const tohost = scratch
	for name, load := range map[string]func(*Board) (Entry, error){
		"SBI": supervisor(t, func(a *asm.Assembler) {
			a.Label("loop")
			a.Li(asm.A7, 0x4442_434e)
			a.Li(asm.A6, 2)
			a.Li(asm.A0, 'x')
			a.Op(riscv.ECALL)
			a.J("loop")
		}),
		"HTIF": firmware(t, func(a *asm.Assembler) {
			a.Li(asm.T0, int64(tohost))
			a.Li(asm.T1, 0x0101<<48|'x')
			a.Label("loop")
			a.Store(riscv.SD, asm.T1, 0, asm.T0)
			a.J("loop")
		}),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				never, output := io.Pipe()
				b := newBoard(t, Config{Serial: output, Load: func(b *Board) (Entry, error) {
					e, err := load(b)
					if err == nil {
						err = b.HTIF(tohost, 0)
					}
					return e, err
				}})
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					synctest.Wait() // the hart, and all else, waits
					cancel()
				}()
				if out, err := b.Run(ctx); out != (Outcome{Kind: Stopped}) || err != nil {
					t.Errorf("%+v, %v", out, err)
				}
				never.Close()
			})
		})
	}
}

func TestUARTEcho(t *testing.T) {
	var out buffer
	b := newBoard(t, Config{Serial: &out, Load: firmware(t, func(a *asm.Assembler) {
		a.Li(asm.T0, int64(uartBase))
		a.Label("poll")
		a.Load(riscv.LBU, asm.T1, 5, asm.T0)
		a.I(riscv.ANDI, asm.T1, asm.T1, 1)
		a.B(riscv.BEQ, asm.T1, asm.Zero, "poll")
		a.Load(riscv.LBU, asm.T1, 0, asm.T0)
		a.Store(riscv.SB, asm.T1, 0, asm.T0)
		a.Li(asm.T2, '.')
		a.B(riscv.BNE, asm.T1, asm.T2, "poll")
		finish(a, 0x5555)
	})})
	const text = "all of this comes back."
	go b.Serial(t.Context(), strings.NewReader(text))
	run(t, b)
	if got := out.String(); got != text {
		t.Errorf("echoed %q, want %q", got, text)
	}
}

// The second hart sleeps until the first sends it a software interrupt, and then ends the machine.
func TestSoftwareInterruptWakesAnotherHart(t *testing.T) {
	b := newBoard(t, Config{Harts: 2, Load: firmware(t, func(a *asm.Assembler) {
		a.B(riscv.BNE, asm.A0, asm.Zero, "second")
		store(a, riscv.SW, aclintBase+4, 1)
		a.Label("park")
		a.Op(riscv.WFI)
		a.J("park")
		a.Label("second")
		a.Li(asm.T0, 1<<riscv.IntMSoftware)
		a.CSR(riscv.CSRRS, asm.Zero, riscv.CSRMie, asm.T0)
		a.Label("sleep")
		a.Op(riscv.WFI)
		a.CSR(riscv.CSRRS, asm.T1, riscv.CSRMip, asm.Zero)
		a.R(riscv.AND, asm.T1, asm.T1, asm.T0)
		a.B(riscv.BEQ, asm.T1, asm.Zero, "sleep")
		finish(a, 9<<16|0x3333)
	})})
	if out := run(t, b); out != (Outcome{Kind: Exited, Code: 9}) {
		t.Errorf("%+v", out)
	}
}

// The UART's interrupt reaches hart 1 through the PLIC as source 10: its external interrupt is context 2 in M-mode, 3 in S-mode.
func TestPLICWiring(t *testing.T) {
	for context, bit := range map[int64]int64{2: riscv.IntMExternal, 3: riscv.IntSExternal} {
		b := newBoard(t, Config{Harts: 2, Load: firmware(t, func(a *asm.Assembler) {
			a.Label("first")
			a.B(riscv.BEQ, asm.A0, asm.Zero, "first")
			store(a, riscv.SW, plicBase+4*irqUART, 1)
			store(a, riscv.SW, plicBase+0x2000+memory.GPA(context)*0x80, 1<<irqUART)
			store(a, riscv.SW, plicBase+0x20_0000+memory.GPA(context)*0x1000, 0)
			store(a, riscv.SB, uartBase+1, 2) // transmitter empty
			a.Li(asm.T0, 1<<bit)
			a.Label("poll")
			a.CSR(riscv.CSRRS, asm.T1, riscv.CSRMip, asm.Zero)
			a.R(riscv.AND, asm.T1, asm.T1, asm.T0)
			a.B(riscv.BEQ, asm.T1, asm.Zero, "poll")
			a.Li(asm.T0, int64(plicBase+0x20_0004)+context*0x1000)
			a.Load(riscv.LWU, asm.T1, 0, asm.T0) // claim
			a.I(riscv.SLLI, asm.T1, asm.T1, 16)
			a.Li(asm.T2, 0x3333)
			a.R(riscv.OR, asm.T1, asm.T1, asm.T2)
			a.Li(asm.T0, int64(sysconBase))
			a.Store(riscv.SW, asm.T1, 0, asm.T0)
			a.Label("end")
			a.J("end")
		})})
		if out := run(t, b); out != (Outcome{Kind: Exited, Code: irqUART}) {
			t.Errorf("context %d: %+v", context, out)
		}
	}
}

// The first boot changes registers and reboots; the second reads them, and ends with what it found.
func TestRebootResetsDevices(t *testing.T) {
	b := newBoard(t, Config{Load: firmware(t, func(a *asm.Assembler) {
		a.Li(asm.T0, int64(scratch))
		a.Load(riscv.LD, asm.T1, 0, asm.T0)
		a.B(riscv.BNE, asm.T1, asm.Zero, "second")
		a.Li(asm.T1, 1)
		a.Store(riscv.SD, asm.T1, 0, asm.T0)
		store(a, riscv.SB, uartBase+7, 0x5a)
		store(a, riscv.SW, plicBase+4, 1)
		store(a, riscv.SW, aclintBase, 1)        // MSIP
		store(a, riscv.SD, aclintBase+0x4000, 0) // mtimecmp: MTIP
		store(a, riscv.SW, ecamBase+0x3c, 0)     // not writable in the bridge
		store(a, riscv.SW, rtcBase+0x10, 1)      // alarm interrupt enabled
		store(a, riscv.SW, mmioBase+0x70, 1)     // an empty slot
		store(a, riscv.SW, sysconBase, 0x7777)   // reboot
		a.Label("wait")
		a.J("wait")
		a.Label("second")
		a.CSR(riscv.CSRRS, asm.T1, riscv.CSRMip, asm.Zero)
		for _, r := range []struct {
			op riscv.Op
			at memory.GPA
		}{{riscv.LBU, uartBase + 7}, {riscv.LWU, plicBase + 4}, {riscv.LWU, aclintBase}, {riscv.LWU, rtcBase + 0x10}} {
			a.Li(asm.T0, int64(r.at))
			a.Load(r.op, asm.T2, 0, asm.T0)
			a.R(riscv.OR, asm.T1, asm.T1, asm.T2)
		}
		a.B(riscv.BEQ, asm.T1, asm.Zero, "clean")
		store(a, riscv.SW, sysconBase, 1<<16|0x3333)
		a.Label("clean")
		finish(a, 0x5555)
	})})
	if out := run(t, b); out != (Outcome{Kind: PoweredOff}) {
		t.Errorf("%+v: something was left of the first boot", out)
	}
}

// probe is a virtio device that counts its resets.
type probe struct {
	virtio.Device
	resets int
}

func (p *probe) Type() uint32     { return virtio.TypeRNG }
func (p *probe) Features() uint64 { return 0 }
func (p *probe) Queues() []uint16 { return []uint16{8} }
func (p *probe) Reset()           { p.resets++ }

func TestEveryBootAndCloseResetsTheDevices(t *testing.T) {
	var onPCI, onMMIO probe
	b := newBoard(t, Config{PCI: []virtio.Device{&onPCI}, MMIO: []virtio.Device{&onMMIO}, NoReboot: true,
		Load: firmware(t, func(a *asm.Assembler) { finish(a, 0x5555) })})
	run(t, b)
	if onPCI.resets != 1 || onMMIO.resets != 1 {
		t.Errorf("at boot: %d and %d resets", onPCI.resets, onMMIO.resets)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if onPCI.resets != 2 || onMMIO.resets != 2 {
		t.Errorf("after Close: %d and %d resets", onPCI.resets, onMMIO.resets)
	}
}

func TestHTIF(t *testing.T) {
	const tohost, fromhost = scratch, scratch + 8
	var out buffer
	load := firmware(t, func(a *asm.Assembler) {
		a.Li(asm.T0, int64(tohost))
		for _, c := range "hi\n" {
			a.Li(asm.T1, 0x0101<<48|int64(c))
			a.Store(riscv.SD, asm.T1, 0, asm.T0)
		}
		a.Li(asm.T1, 21<<1|1)
		a.Store(riscv.SD, asm.T1, 0, asm.T0)
		a.Label("end")
		a.J("end")
	})
	b := newBoard(t, Config{Serial: &out, Load: func(b *Board) (Entry, error) {
		e, err := load(b)
		if err == nil {
			err = b.HTIF(tohost, fromhost)
		}
		return e, err
	}})
	if got := run(t, b); got != (Outcome{Kind: Exited, Code: 21}) || out.String() != "hi\n" {
		t.Errorf("%+v, printed %q", got, out.String())
	}
	if err := b.HTIF(tohost+4, 0); err == nil {
		t.Error("a misaligned tohost is taken")
	}
}

// Firmware rings the doorbell with the device tree's address; the kernel is then entered in S-mode with it, finds an SBI, and
// cannot ring again.
func TestDoorbell(t *testing.T) {
	const kernel, dtb = ramBase + 0x20_0000, ramBase + 0x30_0000
	first := assemble(t, ramBase, func(a *asm.Assembler) {
		a.Label("second hart")
		a.B(riscv.BNE, asm.A0, asm.Zero, "second hart")
		a.Li(asm.T0, int64(Doorbell))
		a.Li(asm.T1, int64(dtb))
		a.Store(riscv.SD, asm.T1, 0, asm.T0)
		a.Label("wait")
		a.J("wait")
	})
	second := assemble(t, kernel, func(a *asm.Assembler) {
		a.Li(asm.T0, int64(dtb))
		a.B(riscv.BNE, asm.A1, asm.T0, "wrong")
		store(a, riscv.SD, Doorbell, 0)
		a.Li(asm.A7, 0x48534d) // HSM
		a.Li(asm.A6, 2)        // status
		a.Li(asm.A0, 1)        // of hart 1
		a.Op(riscv.ECALL)
		a.Li(asm.T0, 1) // stopped
		a.B(riscv.BNE, asm.A1, asm.T0, "wrong")
		finish(a, 0x5555)
		a.Label("wrong")
		store(a, riscv.SW, sysconBase, 1<<16|0x3333)
		a.J("end")
	})
	b := newBoard(t, Config{Harts: 2, Load: func(b *Board) (Entry, error) {
		e := Entry{PC: ramBase, Firmware: true, Handoff: kernel, HandoffPage: ramBase}
		if err := b.RAM.Write(ramBase, first); err != nil {
			return e, err
		}
		return e, b.RAM.Write(kernel, second)
	}})
	if out := run(t, b); out != (Outcome{Kind: PoweredOff}) {
		t.Errorf("%+v", out)
	}
}

func TestStats(t *testing.T) {
	const loops = 1000
	b := newBoard(t, Config{Load: firmware(t, func(a *asm.Assembler) {
		a.Li(asm.T0, loops)
		a.Label("loop")
		a.I(riscv.ADDI, asm.T0, asm.T0, -1)
		a.B(riscv.BNE, asm.T0, asm.Zero, "loop")
		a.La(asm.T1, "after")
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRMtvec, asm.T1)
		a.Op(riscv.ECALL)
		a.Align(4)
		a.Label("after")
		finish(a, 0x5555)
	})})
	run(t, b)
	s := b.Stats()
	if s.Engine != "interp" || s.Instructions < 2*loops || s.Exceptions[riscv.CauseEcallM] != 1 {
		t.Errorf("%+v", s)
	}
	if text := s.String(); !strings.Contains(text, "ecall from M") || !strings.Contains(text, "exits") {
		t.Errorf("printed as\n%s", text)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"no harts":          {Memory: testMemory},
		"nine harts":        {Memory: testMemory, Harts: MaxHarts + 1},
		"no memory":         {Harts: 1},
		"half a page":       {Memory: 2048, Harts: 1},
		"nine MMIO devices": {Memory: testMemory, Harts: 1, MMIO: make([]virtio.Device, mmioSlots+1)},
		"32 PCI devices":    {Memory: testMemory, Harts: 1, PCI: make([]virtio.Device, 32)},
	} {
		c.Engine = func(h *hart.Hart) engine.Engine { return interp.NewSize(h, 1) }
		if b, err := New(c); err == nil {
			b.Close()
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q is not one line", name, err)
		}
	}
}

// What a machine writes while it is logged is in the log, and nothing else.
func TestTrackDirty(t *testing.T) {
	const page = ramBase + 5*memory.PageSize
	b := newBoard(t, Config{Load: firmware(t, func(a *asm.Assembler) {
		store(a, riscv.SD, page+8, 7)
		finish(a, 0x5555)
	})})
	log, err := b.TrackDirty()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Stop()
	run(t, b)
	// The loader wrote the first page, and everything counts as written when something has been loaded.
	if dirty := log.Take(nil); !dirty.Has(0) || !dirty.Has(5) {
		t.Errorf("%d pages are dirty, and not those that were written", dirty.Count())
	}
	if dirty := log.Take(nil); dirty.Count() != 0 {
		t.Errorf("%d pages are dirty in a machine that has ended", dirty.Count())
	}
	if _, err := b.TrackDirty(); err == nil {
		t.Error("two logs of a machine")
	}
}
