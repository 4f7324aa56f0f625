package suite

// device/*: what a guest pays for a device's registers, how long an interrupt takes to arrive, and how late timers are.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/device"
	"github.com/vmproject/vm/internal/device/uart"
	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/blk"
	"github.com/vmproject/vm/internal/engine/hart"
	"github.com/vmproject/vm/internal/engine/jit"
	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/memory"
	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/timebase"
)

func deviceGroup() []bench.Benchmark {
	all := guests([]guest{
		{"device/register/read", "Loads of a device's register, which is one more each time; the device's sum and the guest's are the same", bench.NsPerOp, both, 1_000, 4,
			registerProgram(func(a *asm.Assembler) {
				a.Load(riscv.LW, asm.T0, 0, asm.S2)
				a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
			})},
		{"device/register/write", "Stores to a device's register; the device's sum and the guest's are the same", bench.NsPerOp, both, 1_000, 4,
			registerProgram(func(a *asm.Assembler) {
				a.Store(riscv.SW, asm.S0, 0, asm.S2)
				a.R(riscv.ADD, asm.A0, asm.A0, asm.S0)
			})},
		{"device/uart/read", "Loads of the UART's scratch register; their sum is known", bench.NsPerOp, both, 1_000, 4, uartProgram},
		{"device/mmio/read", "Loads of the capacity of a virtio block device over virtio-mmio; their sum is known", bench.NsPerOp, both, 1_000, 4,
			diskProgram(func(m *machine, disk virtio.Device) (memory.GPA, error) {
				const size = 0x1000 // as on the board
				return deviceBase + mmioConfig, m.Bus.Map(deviceBase, size, "virtio", virtio.NewMMIO(m.RAM, disk, unwired, nil))
			}, diskSectors)},
		{"device/pci/read", "Loads of the capacity of a virtio block device over PCI; their sum is known", bench.NsPerOp, both, 1_000, 4,
			diskProgram(func(m *machine, disk virtio.Device) (memory.GPA, error) {
				at, err := plug(m.Bus, virtio.NewPCI(m.RAM, disk, nil), unwired)
				return at[structureConfig], err
			}, diskSectors)},
		{"device/pci/config", "Loads of a PCI function's identifiers from configuration space; their sum is known", bench.NsPerOp, both, 1_000, 4,
			diskProgram(func(m *machine, disk virtio.Device) (memory.GPA, error) {
				_, err := plug(m.Bus, virtio.NewPCI(m.RAM, disk, nil), unwired)
				return function + configID, err
			}, 0x1042_1af4)},
	})
	for _, v := range both {
		all = append(all,
			bench.Benchmark{Name: "device/interrupt/" + v.name, Unit: bench.NsPerOp,
				Doc:   "From an interrupt, raised by another goroutine, to the first store of its handler, while the hart computes; interrupts are counted",
				Setup: func(*bench.Env) (bench.Instance, error) { return interruptInstance(v, false) }},
			bench.Benchmark{Name: "device/wake/" + v.name, Unit: bench.NsPerOp,
				Doc:   "From an interrupt, raised by another goroutine, to the first store of its handler, while the hart sleeps in a WFI; interrupts are counted",
				Setup: func(*bench.Env) (bench.Instance, error) { return interruptInstance(v, true) }},
			bench.Benchmark{Name: "device/timer/busy/" + v.name, Unit: bench.NsPerOp,
				Doc:   "How late the timer's interrupt is at its handler, which 99 of 100 are not later than, while the hart computes; in steps of 100 ns; none is early",
				Setup: func(*bench.Env) (bench.Instance, error) { return timerInstance(v, false) }},
			bench.Benchmark{Name: "device/timer/idle/" + v.name, Unit: bench.NsPerOp,
				Doc:   "How late the timer's interrupt is at its handler, which 99 of 100 are not later than, while the hart sleeps in a WFI; in steps of 100 ns; none is early",
				Setup: func(*bench.Env) (bench.Instance, error) { return timerInstance(v, true) }})
	}
	return all
}

// register is a device that sums up what is loaded and stored, which only the goroutine of the hart does.
type register struct{ next, sum uint64 }

func (r *register) Load(uint64, int) uint64 {
	r.next++
	r.sum += r.next
	return r.next
}

func (r *register) Store(_ uint64, _ int, v uint64) { r.sum += v & math.MaxUint32 }

// registerProgram is a program that does something with the register at s2 four times a round, and sums up the same as the device.
func registerProgram(do func(a *asm.Assembler)) func(m *machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		r := new(register)
		if err := m.Bus.Map(deviceBase, 0x1000, "register", r); err != nil {
			return nil, err
		}
		_, err := m.load(func(a *asm.Assembler) {
			a.Li(asm.A0, 0)
			a.Li(asm.S2, int64(deviceBase))
			a.Label("loop")
			for range 4 {
				do(a)
			}
			loop(a, "loop")
		})
		return func(rounds uint64) error {
			got := *r
			*r = register{}
			if got.sum == 0 || got.next != 0 && got.next != 4*rounds || m.X[asm.A0] != got.sum {
				return fmt.Errorf("the device counted %d loads and the sum %d, the guest the sum %d", got.next, got.sum, m.X[asm.A0])
			}
			return nil
		}, err
	}
}

func uartProgram(m *machine) (verdict, error) {
	const scratch, value = 7, 0x5a
	u := uart.New(device.LineFunc(func(bool) {}), io.Discard)
	m.closers = append(m.closers, u.Close)
	if err := m.Bus.Map(deviceBase, uart.Size, "uart", u); err != nil {
		return nil, err
	}
	_, err := m.load(func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Li(asm.S2, int64(deviceBase))
		a.Li(asm.T0, value)
		a.Store(riscv.SB, asm.T0, scratch, asm.S2)
		a.Label("loop")
		for range 4 {
			a.Load(riscv.LBU, asm.T0, scratch, asm.S2)
			a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
		}
		loop(a, "loop")
	})
	return m.result(func(rounds uint64) uint64 { return 4 * value * rounds }), err
}

// unwired is an interrupt that nobody waits for.
var unwired = device.LineFunc(func(bool) {})

// diskSectors are the sectors of the disk of diskProgram.
const diskSectors = 2048

// diskProgram is a program that loads a word at the place that connecting a disk gave, four times a round, and sums it up; the word is known.
func diskProgram(connect func(*machine, virtio.Device) (memory.GPA, error), word uint64) func(m *machine) (verdict, error) {
	return func(m *machine) (verdict, error) {
		img := storage.NewMemory(diskSectors * 512)
		m.closers = append(m.closers, img.Close)
		disk, err := blk.New(img, blk.Options{Sector: 512})
		if err != nil {
			return nil, err
		}
		at, err := connect(m, disk)
		if err != nil {
			return nil, err
		}
		_, err = m.load(func(a *asm.Assembler) {
			a.Li(asm.A0, 0)
			a.Li(asm.S2, int64(at))
			a.Label("loop")
			for range 4 {
				a.Load(riscv.LWU, asm.T0, 0, asm.S2)
				a.R(riscv.ADD, asm.A0, asm.A0, asm.T0)
			}
			loop(a, "loop")
		})
		return m.result(func(rounds uint64) uint64 { return 4 * word * rounds }), err
	}
}

// doorbell is a device that a handler stores to: it says when, and lowers the interrupt. A store elsewhere in it says that the program has begun.
type doorbell struct {
	hart  *hart.Hart
	rung  chan time.Time // capacity 1
	began atomic.Bool
}

const doorbellBegan = 8

func (d *doorbell) Load(uint64, int) uint64 { return 0 }

func (d *doorbell) Store(off uint64, _ int, _ uint64) {
	now := time.Now()
	if off == doorbellBegan {
		d.began.Store(true)
		return
	}
	d.hart.SetPending(riscv.IntMExternal, false)
	select {
	case d.rung <- now:
	default: // nobody has raised it
	}
}

// wait is when the bell is rung next. ok is false when it has not been by the end of ctx, which is that of the program, too.
func (d *doorbell) wait(ctx context.Context) (at time.Time, ok bool) {
	select {
	case at = <-d.rung:
		return at, true
	case <-ctx.Done():
	}
	select {
	case at = <-d.rung:
		return at, true
	default:
		return at, false
	}
}

// interruptInstance measures interrupts of a hart that waits for s0 of them, computing or asleep.
func interruptInstance(v variant, sleeps bool) (bench.Instance, error) {
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	bell := &doorbell{hart: m.Hart, rung: make(chan time.Time, 1)}
	if err := m.Bus.Map(deviceBase, 0x1000, "doorbell", bell); err != nil {
		return nil, closeAll(err, m.close)
	}
	const mie = 3 // the bit of mstatus
	labels, err := m.load(func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Li(asm.A1, 0)
		a.Li(asm.S2, int64(deviceBase))
		a.Li(asm.T0, 1<<riscv.IntMExternal)
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRMie, asm.T0)
		a.Store(riscv.SW, asm.Zero, doorbellBegan, asm.S2)
		waitFor(a, sleeps, riscv.CSRMstatus, 1<<mie)
		a.J("end")
		a.Align(4)
		a.Label("handler")
		a.Store(riscv.SW, asm.Zero, 0, asm.S2)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.Op(riscv.MRET)
		a.Label("end")
		a.Op(riscv.WFI)
	})
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	m.Mtvec = labels["handler"]
	var asleep atomic.Bool
	m.waits = func() { asleep.Store(true) }
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		asleep.Store(false)
		bell.began.Store(false)
		ready := bell.began.Load
		if sleeps {
			ready = func() bool { return asleep.Swap(false) }
		}
		var guest error
		var wg sync.WaitGroup
		wg.Go(func() {
			defer cancel()
			_, guest = m.run(ctx, uint64(n))
		})
		total, err := raise(ctx, m, bell, n, ready)
		if err != nil {
			cancel()
		}
		wg.Wait()
		if err := errors.Join(guest, err); err != nil {
			return 0, err
		}
		if got := m.X[asm.A0]; got != uint64(n) {
			return 0, fmt.Errorf("%d interrupts arrived, not %d", got, n)
		}
		return max(float64(total.Nanoseconds()), 1) / float64(n), nil
	}, m.close), nil
}

// waitFor is a program's wait until a0, which handlers count up, is s0. a1 says how often it looked. A CSR has the bit that lets interrupts through: who
// sleeps clears it first, lest the last one come between a look and the sleep.
func waitFor(a *asm.Assembler, sleeps bool, csr uint16, bit uint8) {
	if !sleeps {
		a.CSR(riscv.CSRRSI, asm.Zero, csr, bit)
		a.Label("wait")
		a.I(riscv.ADDI, asm.A1, asm.A1, 1)
		a.B(riscv.BNE, asm.A0, asm.S0, "wait")
		a.CSR(riscv.CSRRCI, asm.Zero, csr, bit)
		return
	}
	a.Label("wait")
	a.CSR(riscv.CSRRCI, asm.Zero, csr, bit)
	a.B(riscv.BEQ, asm.A0, asm.S0, "waited")
	a.I(riscv.ADDI, asm.A1, asm.A1, 1)
	a.Op(riscv.WFI)
	a.CSR(riscv.CSRRSI, asm.Zero, csr, bit)
	a.J("wait")
	a.Label("waited")
}

// settle is how long a hart that is about to sleep is given for it, and one that computes to be back in its loop.
const settle = 20 * time.Microsecond

// raise raises n interrupts, one when the last has been handled and the hart is ready, and returns how long they took in all.
func raise(ctx context.Context, m *machine, bell *doorbell, n int, ready func() bool) (total time.Duration, err error) {
	for range n {
		for !ready() {
			if ctx.Err() != nil {
				return 0, fmt.Errorf("the hart does not wait for an interrupt: %w", ctx.Err())
			}
			runtime.Gosched()
		}
		for began := time.Now(); time.Since(began) < settle; {
			runtime.Gosched()
		}
		raised := time.Now()
		m.SetPending(riscv.IntMExternal, true)
		at, ok := bell.wait(ctx)
		if !ok {
			return 0, fmt.Errorf("an interrupt does not arrive: %w", ctx.Err())
		}
		total += at.Sub(raised)
	}
	return total, nil
}

const (
	timers      = 10   // for one operation
	timerPeriod = 1000 // ticks
	lateness    = 1 << 16
)

// timerInstance measures interrupts of the supervisor's timer. Its handler writes down how late each is, in ticks, in turn at lateness places.
func timerInstance(v variant, sleeps bool) (bench.Instance, error) {
	m, err := newMachine(v, jit.Options{})
	if err != nil {
		return nil, err
	}
	const tick = time.Second / timebase.Frequency
	const sie = 1 // the bit of sstatus
	m.WriteCSR(riscv.CSRMenvcfg, hart.EnvcfgSTCE)
	m.WriteCSR(riscv.CSRMcounteren, 7)
	m.Mideleg = 1 << riscv.IntSTimer
	m.priv = riscv.PrivS
	labels, err := m.load(func(a *asm.Assembler) {
		a.Li(asm.A0, 0)
		a.Li(asm.A1, 0)
		a.Li(asm.S2, timerPeriod)
		a.Li(asm.S3, lateness-1)
		a.Li(asm.T0, 1<<riscv.IntSTimer)
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRSie, asm.T0)
		a.CSR(riscv.CSRRS, asm.S4, riscv.CSRTime, asm.Zero)
		a.R(riscv.ADD, asm.S4, asm.S4, asm.S2)
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRStimecmp, asm.S4)
		waitFor(a, sleeps, riscv.CSRSstatus, 1<<sie)
		a.J("end")
		a.Align(4)
		a.Label("handler") // s4: when it was to come
		a.CSR(riscv.CSRRS, asm.T0, riscv.CSRTime, asm.Zero)
		a.R(riscv.SUB, asm.T1, asm.T0, asm.S4)
		a.R(riscv.AND, asm.T2, asm.A0, asm.S3)
		a.R(riscv.SH3ADD, asm.T2, asm.T2, asm.S1)
		a.Store(riscv.SD, asm.T1, 0, asm.T2)
		a.R(riscv.ADD, asm.S4, asm.T0, asm.S2)
		a.I(riscv.ADDI, asm.A0, asm.A0, 1)
		a.B(riscv.BNE, asm.A0, asm.S0, "next")
		a.Li(asm.S4, -1) // the last: one more could come before the program looks
		a.Label("next")
		a.CSR(riscv.CSRRW, asm.Zero, riscv.CSRStimecmp, asm.S4)
		a.Op(riscv.SRET)
		a.Label("end")
		a.Op(riscv.WFI)
	})
	if err != nil {
		return nil, closeAll(err, m.close)
	}
	m.Stvec = labels["handler"]
	m.waits = func() {}
	late := make([]uint64, 0, lateness)
	return bench.Sampled(func(ctx context.Context, n int) (float64, error) {
		count := timers * n
		if _, err := m.run(ctx, uint64(count)); err != nil {
			return 0, err
		}
		if got := m.X[asm.A0]; got != uint64(count) {
			return 0, fmt.Errorf("%d interrupts arrived, not %d", got, count)
		}
		late = late[:0]
		for i := range min(count, lateness) {
			t, err := m.RAM.Load64(scratchBase + 8*memory.GPA(i))
			if err != nil {
				return 0, err
			}
			if t > timebase.Frequency*uint64(runLimit/time.Second) {
				return 0, fmt.Errorf("interrupt %d came %d ticks early", i, -t)
			}
			late = append(late, t)
		}
		slices.Sort(late)
		p99 := late[len(late)*99/100]
		return max(float64(p99), 0.5) * float64(tick.Nanoseconds()), nil // none is known to better than half a tick
	}, m.close), nil
}
