package uart

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// wire is an interrupt line that remembers its level.
type wire struct {
	mu    sync.Mutex
	level bool
}

func (w *wire) Set(level bool) { w.mu.Lock(); w.level = level; w.mu.Unlock() }
func (w *wire) high() bool     { w.mu.Lock(); defer w.mu.Unlock(); return w.level }

func newUART(t testing.TB, w io.Writer) (*UART, *wire) {
	irq := new(wire)
	u := New(irq, w)
	t.Cleanup(func() { u.Close() })
	return u, irq
}

func (u *UART) in(off uint64) uint8      { return uint8(u.Load(off, 1)) }
func (u *UART) outb(off uint64, v uint8) { u.Store(off, 1, uint64(v)) }

func TestRegisters(t *testing.T) {
	for _, c := range []struct {
		name     string
		lcr      uint8
		off      uint64
		v, reads uint8
	}{
		{"scratch", 0, regSCR, 0xa5, 0xa5},
		{"IER keeps 4 bits", 0, regIER, 0xf8, 0x08},
		{"MCR keeps 5 bits", 0, regMCR, 0xe3, 0x03},
		{"LCR", 0, regLCR, 0x1b, 0x1b},
		{"DLL", lcrDLAB, regData, 0x12, 0x12},
		{"DLM", lcrDLAB, regIER, 0x34, 0x34},
		{"LSR is read-only", 0, regLSR, 0xff, lsrTHREmpty | lsrTEmpty},
		{"MSR is read-only", 0, regMSR, 0xff, msrCTS | msrDSR | msrDCD},
		{"IIR without FIFO", 0, regIIR, 0, iirNone},
		{"IIR with FIFO", 0, regIIR, fcrEnable, iirNone | iirFIFO},
		{"FCR bits need the FIFO enabled", 0, regIIR, 0xc0, iirNone},
		{"past the registers", 0, 8, 0xff, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			u, _ := newUART(t, nil)
			u.outb(regLCR, c.lcr)
			u.outb(c.off, c.v)
			if got := u.in(c.off); got != c.reads {
				t.Errorf("reads %#x, want %#x", got, c.reads)
			}
		})
	}
}

func TestReceiveFIFO(t *testing.T) {
	u, irq := newUART(t, nil)
	if n := u.Receive([]byte("ab")); n != 1 {
		t.Fatalf("without FIFO %d bytes were taken, want 1", n)
	}
	u.outb(regIIR, fcrEnable|2<<fcrTrigger) // trigger at 8; changing the mode empties the FIFO
	if u.in(regLSR)&lsrDataReady != 0 {
		t.Fatal("turning the FIFO on must empty it")
	}
	u.outb(regIER, ierReceived)
	if irq.high() {
		t.Fatal("interrupt without data")
	}
	steps := []struct {
		in    string
		taken int
		iir   uint8
	}{
		{"0", 1, iirTimeout | iirFIFO},
		{"123456", 6, iirTimeout | iirFIFO},
		{"7", 1, iirReceived | iirFIFO},
		{"89abcdefXYZ", 8, iirReceived | iirFIFO},
		{"!", 0, iirReceived | iirFIFO},
	}
	for _, s := range steps {
		if n := u.Receive([]byte(s.in)); n != s.taken {
			t.Fatalf("Receive(%q) = %d, want %d", s.in, n, s.taken)
		}
		if got := u.in(regIIR); got != s.iir || !irq.high() {
			t.Fatalf("after %q: IIR %#x, irq %v; want %#x, true", s.in, got, irq.high(), s.iir)
		}
	}
	var got []byte
	for u.in(regLSR)&lsrDataReady != 0 {
		got = append(got, u.in(regData))
	}
	if string(got) != "0123456789abcdef" || irq.high() {
		t.Errorf("read %q, irq %v", got, irq.high())
	}
	if u.in(regData) != 0 {
		t.Error("an empty FIFO reads as zero")
	}
	u.Receive([]byte("xyz"))
	u.outb(regIIR, fcrEnable|fcrClearRX)
	if u.in(regLSR)&lsrDataReady != 0 || irq.high() {
		t.Error("FCR bit 1 must empty the FIFO")
	}
}

func TestInterruptPriority(t *testing.T) {
	u, irq := newUART(t, nil)
	u.outb(regMCR, mcrLoop)
	u.in(regMSR)
	u.outb(regIER, ierMask)
	u.outb(regMCR, mcrLoop|mcrRTS)
	u.outb(regData, 'a')
	u.outb(regData, 'b') // overruns: there is no FIFO
	for _, want := range []struct {
		iir uint8
		ack func()
	}{
		{iirLineStatus, func() { u.in(regLSR) }},
		{iirReceived, func() {
			if b := u.in(regData); b != 'b' {
				t.Errorf("RBR after overrun = %q, want the new byte", b)
			}
		}},
		{iirTransmitted, func() {}}, // reading IIR acknowledges
		{iirModemStatus, func() {
			if v := u.in(regMSR); v != msrCTS|msrCTS>>4 {
				t.Errorf("MSR = %#x", v)
			}
		}},
		{iirNone, func() {}},
	} {
		if level := irq.high(); level != (want.iir != iirNone) {
			t.Errorf("irq = %v before IIR %#x", level, want.iir)
		}
		if got := u.in(regIIR); got != want.iir {
			t.Fatalf("IIR = %#x, want %#x", got, want.iir)
		}
		want.ack()
	}
}

func TestTransmitInterrupt(t *testing.T) {
	u, irq := newUART(t, nil)
	u.outb(regIER, ierTransmitted)
	if !irq.high() {
		t.Fatal("enabling the interrupt with an empty transmitter must raise it")
	}
	if got := u.in(regIIR); got != iirTransmitted || irq.high() {
		t.Fatalf("IIR = %#x, irq %v: reading it must acknowledge", got, irq.high())
	}
	u.outb(regIER, ierTransmitted)
	if irq.high() {
		t.Fatal("enabling it again must not raise it")
	}
	u.outb(regData, 'x')
	if !irq.high() {
		t.Fatal("a byte sent must raise it")
	}
	u.Reset()
	if irq.high() || u.in(regIER) != 0 {
		t.Error("state survives reset")
	}
}

func TestLoopback(t *testing.T) {
	var out bytes.Buffer
	u, _ := newUART(t, &out)
	u.outb(regIIR, fcrEnable)
	u.outb(regMCR, mcrLoop|mcrOut1)
	if n := u.Receive([]byte("host")); n != 0 {
		t.Errorf("%d bytes came from outside in loopback", n)
	}
	for i := range 20 {
		u.outb(regData, uint8(i))
	}
	if lsr := u.in(regLSR); lsr&lsrOverrun == 0 {
		t.Error("no overrun after 20 bytes")
	}
	if lsr := u.in(regLSR); lsr&lsrOverrun != 0 {
		t.Error("reading LSR must clear the overrun")
	}
	n := 0
	for ; u.in(regLSR)&lsrDataReady != 0; n++ {
		if b := u.in(regData); b != uint8(n) {
			t.Errorf("byte %d = %d", n, b)
		}
	}
	if n != fifoDepth {
		t.Errorf("the FIFO held %d bytes, want 16", n)
	}
	u.in(regMSR)
	u.outb(regMCR, mcrLoop|mcrDTR|mcrOut2)
	if v := u.in(regMSR); v != msrDSR|msrDCD|msrDSR>>4|msrDCD>>4|msrTrailRI {
		t.Errorf("MSR = %#x: want DSR, DCD, their deltas, and the trailing edge of RI", v)
	}
	if err := u.Drain(t.Context()); err != nil || out.Len() != 0 {
		t.Errorf("loopback reached the host: %q, %v", out.String(), err)
	}
}

func TestDrain(t *testing.T) {
	var out bytes.Buffer
	u, _ := newUART(t, &out)
	want := strings.Repeat("0123456789", 3000)
	for i := range len(want) {
		u.outb(regData, want[i])
	}
	if err := u.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != want {
		t.Errorf("%d of %d bytes arrived", out.Len(), len(want))
	}
	if err := u.Drain(t.Context()); err != nil {
		t.Errorf("draining an idle port: %v", err)
	}
}

// blockedWriter takes each Write only when told to.
type blockedWriter struct {
	allow chan struct{}
	buf   bytes.Buffer
}

func (w *blockedWriter) Write(p []byte) (int, error) {
	<-w.allow
	return w.buf.Write(p)
}

// A writer that does not move makes the guest wait by LSR and the transmit interrupt, never by blocking a store.
func TestSlowWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &blockedWriter{allow: make(chan struct{})}
		u, irq := newUART(t, w)
		u.outb(regIER, ierTransmitted)
		sent := 0
		send := func(limit int) {
			for u.in(regLSR)&lsrTHREmpty != 0 && sent < limit {
				u.outb(regData, 'x')
				sent++
			}
		}
		send(2 * outputSize)
		synctest.Wait()
		send(3 * outputSize) // the goroutine has taken the first batch
		synctest.Wait()
		if u.in(regLSR)&(lsrTHREmpty|lsrTEmpty) != 0 {
			t.Fatal("the transmitter claims to be empty")
		}
		if sent > 2*outputSize {
			t.Fatalf("%d bytes were buffered", sent)
		}
		u.in(regIIR)
		if irq.high() {
			t.Fatal("transmit interrupt while full")
		}
		for range fifoDepth + 10 {
			u.outb(regData, 'x') // against LSR: the first 15 fit, the others are lost
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := u.Drain(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Drain with an ended context: %v", err)
		}
		w.allow <- struct{}{}
		synctest.Wait()
		if !irq.high() || u.in(regLSR)&lsrTHREmpty == 0 {
			t.Fatal("the guest was not told that there is room again")
		}
		close(w.allow)
		if err := u.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if w.buf.Len() < sent || w.buf.Len() > sent+fifoDepth {
			t.Errorf("%d bytes arrived, %d were sent", w.buf.Len(), sent)
		}
		u.Close()
	})
}

// Print takes its turn behind the guest's own output, waits for a writer that is slow, and no longer than it may.
func TestPrint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &blockedWriter{allow: make(chan struct{})}
		u, _ := newUART(t, w)
		u.outb(regData, '>')
		stop := make(chan struct{})
		text := bytes.Repeat([]byte("x"), 3*outputSize)
		taken := make(chan int)
		for range 2 {
			go func() { taken <- u.Print(text, stop) }()
		}
		synctest.Wait() // both wait
		close(stop)
		n := <-taken + <-taken
		if n < outputSize || n > 2*outputSize {
			t.Errorf("%d bytes were taken while nothing was written", n)
		}
		close(w.allow)
		if n := u.Print([]byte("end"), nil); n != 3 {
			t.Errorf("%d of 3 bytes were taken", n)
		}
		if err := u.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.buf.String(); len(got) != 1+n+3 || got[0] != '>' || !strings.HasSuffix(got, "xend") {
			t.Errorf("%d bytes arrived, want %d between > and end", len(got), n)
		}
		u.Close()
		if n := u.Print(text, nil); n != len(text) {
			t.Error("Print waits for a port that is closed")
		}
	})
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestFailingWriter(t *testing.T) {
	u, _ := newUART(t, failingWriter{})
	for range 3 * outputSize {
		u.outb(regData, 'x')
	}
	if err := u.Drain(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Drain: %v", err)
	}
	if u.in(regLSR)&lsrTHREmpty == 0 {
		t.Error("the guest waits for a writer that is gone")
	}
}

func TestFeed(t *testing.T) {
	u, _ := newUART(t, nil)
	u.outb(regIIR, fcrEnable)
	want := strings.Repeat("input ", 1000)
	done := make(chan error)
	go func() { done <- u.Feed(t.Context(), strings.NewReader(want)) }()
	var got []byte
	for len(got) < len(want) {
		if u.in(regLSR)&lsrDataReady != 0 {
			got = append(got, u.in(regData))
		}
	}
	if err := <-done; err != nil || string(got) != want {
		t.Errorf("Feed: %v; input arrived intact: %v", err, string(got) == want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { done <- u.Feed(ctx, strings.NewReader(want)) }()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled Feed: %v", err)
	}
}

func FuzzUART(f *testing.F) {
	f.Add([]byte{2, 1, 1, 15, 4, 16, 0, 65, 8, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		u, irq := newUART(t, nil)
		for ; len(ops) >= 2; ops = ops[2:] {
			switch off := uint64(ops[0] & 15); ops[0] >> 4 & 3 {
			case 0:
				u.outb(off, ops[1])
			case 1:
				u.in(off)
			default:
				u.Receive(ops[1:])
			}
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.rxLen > fifoDepth || irq.high() != (u.cause() != iirNone) {
			t.Fatalf("FIFO holds %d bytes, irq %v, cause %#x", u.rxLen, irq.high(), u.cause())
		}
	})
}

func BenchmarkTransmit(b *testing.B) {
	u, _ := newUART(b, nil)
	u.outb(regIIR, fcrEnable)
	b.ReportAllocs()
	b.SetBytes(1)
	for b.Loop() {
		for u.in(regLSR)&lsrTHREmpty == 0 {
		}
		u.outb(regData, 'x')
	}
}
