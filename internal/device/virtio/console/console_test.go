package console_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/console"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

func TestPlainConsole(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		in, out := newFeed(), newSink(false)
		g := newGuest(t, kind, []console.Port{{Console: true, In: in, Out: out}})
		if g.DeviceType() != virtio.TypeConsole {
			t.Errorf("device type %d", g.DeviceType())
		}
		if f := g.Features(); f&featureMultiport != 0 || f&featureSize == 0 {
			t.Errorf("features %#x", f)
		}
		g.start(ring | featureSize)
		for range 100 {
			g.write(0, "to the host\n")
		}
		if got := out.String(); got != strings.Repeat("to the host\n", 100) {
			t.Errorf("output %q", got)
		}
		g.offer(0)
		in.data <- "to the guest"
		if got := g.read(0); got != "to the guest" {
			t.Errorf("input %q", got)
		}
	})
}

func TestPlainResize(t *testing.T) {
	g := newGuest(t, virtiotest.PCI, []console.Port{{Console: true}})
	g.c.Resize(80, 24)
	g.start(plain)
	g.WaitConfig() // Linux reads the size only on a change, so there is one at the start
	for _, size := range [][2]uint16{{80, 24}, {132, 43}} {
		g.c.Resize(size[0], size[1])
		if cols, rows := g.Config(0, 2), g.Config(2, 2); cols != uint64(size[0]) || rows != uint64(size[1]) {
			t.Errorf("%d columns, %d rows; want %v", cols, rows, size)
		}
	}
	g.WaitConfig()
	g.c.Resize(132, 43) // no change
	if g.Line.Level() {
		t.Error("an interrupt for a size that did not change")
	}
}

func TestMultiportHandshake(t *testing.T) {
	virtiotest.Each(t, func(t *testing.T, kind virtiotest.Kind, ring uint64) {
		out := newSink(false)
		g := newGuest(t, kind, []console.Port{{Console: true}, {Name: "vm.stdout", Out: out}, {Name: "vm.stdin"}})
		if n := g.Config(4, 4); n != 3 {
			t.Errorf("%d ports", n)
		}
		g.multiport(ring, "", "vm.stdout", "vm.stdin")
		g.write(1, "hello")
		if out.String() != "hello" {
			t.Errorf("output %q", out)
		}
		g.c.Resize(100, 50)
		g.expect(message{0, resize, 0, "\x64\x00\x32\x00"}) // columns first
		g.send(0, portReady, 1)                             // once more, as after a driver is loaded again
		g.expect(message{0, consolePort, 1, ""}, message{0, portOpen, 1, ""}, message{0, resize, 0, "\x64\x00\x32\x00"})
	})
}

// A driver that does not accept MULTIPORT has port 0, and nothing else.
func TestMultiportDeclined(t *testing.T) {
	out, other := newSink(false), newSink(false)
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true, Out: out}, {Name: "other", Out: other}})
	g.start(plain)
	g.write(0, "hello")
	g.post(1, "nobody")
	if err := g.c.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out.String() != "hello" || other.String() != "" {
		t.Errorf("output %q and %q", out, other)
	}
}

// Input is not read from the host before the guest has the port open and has room for it.
func TestInputWaitsForTheGuest(t *testing.T) {
	in := newFeed()
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true}, {Name: "in", In: in}})
	g.multiport(virtio.FeatureVersion1, "", "in")
	g.send(1, portOpen, 0)
	g.offer(1)
	g.send(1, portReady, 1) // a round trip through the device: all before is done
	g.expect(message{1, portOpen, 1, ""}, message{1, portName, 1, "in"})
	if len(in.asked) != 0 {
		t.Fatal("input was read for a port that is closed")
	}
	g.send(1, portOpen, 1)
	<-in.asked
	in.data <- strings.Repeat("x", 300)
	if got := g.read(1); len(got) != 256 {
		t.Errorf("%d bytes in a buffer of 256", len(got))
	}
	if len(in.asked) != 0 {
		t.Error("input was read while the guest has no room")
	}
	if got := g.read(1); len(got) != 44 {
		t.Errorf("%d bytes of the last 44", len(got))
	}
}

// The end of input closes the port, after the last byte; output to another port goes on, and the port stays closed for later drivers.
func TestEndOfInput(t *testing.T) {
	out := newSink(false)
	g := newGuest(t, virtiotest.PCI, []console.Port{{Console: true}, {Name: "in", In: strings.NewReader("all of it")}, {Name: "out", Out: out}})
	g.multiport(virtio.FeatureVersion1|virtio.FeatureEventIdx, "", "in", "out")
	if got := g.read(1); got != "all of it" {
		t.Errorf("input %q", got)
	}
	g.offer(1)
	g.expect(message{1, portOpen, 0, ""})
	g.write(2, "still there")
	if out.String() != "still there" {
		t.Errorf("output %q", out)
	}
	g.start(virtio.FeatureVersion1 | featureMultiport)
	g.send(0, deviceReady, 1)
	g.expect(message{0, portAdd, 1, ""}, message{1, portAdd, 1, ""}, message{2, portAdd, 1, ""})
	g.send(1, portReady, 1)
	g.expect(message{1, portOpen, 0, ""}, message{1, portName, 1, "in"})
}

// The end of a console's input does not close the console.
func TestEndOfConsoleInput(t *testing.T) {
	out := newSink(false)
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true, In: strings.NewReader("x"), Out: out}, {Name: "other"}})
	g.multiport(virtio.FeatureVersion1, "", "other")
	g.read(0)
	g.offer(0)
	g.write(0, "hello")
	g.send(1, portReady, 1)
	g.expect(message{1, portOpen, 1, ""}, message{1, portName, 1, "other"})
	if out.String() != "hello" {
		t.Errorf("output %q", out)
	}
}

// A writer that blocks holds up its own port: the guest does not get the buffer back, and other ports go on.
func TestBlockedWriter(t *testing.T) {
	slow, fast := newSink(true), newSink(false)
	g := newGuest(t, virtiotest.PCI, []console.Port{{Console: true}, {Name: "slow", Out: slow}, {Name: "fast", Out: fast}})
	g.multiport(virtio.FeatureVersion1|virtio.FeatureEventIdx, "", "slow", "fast")
	g.post(1, "first")
	g.post(1, "second")
	for range 100 {
		g.write(2, ".")
	}
	if _, _, ok := g.Queue(5).Used(); ok {
		t.Fatal("the buffer came back before it was written")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.c.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain of a writer that blocks: %v", err)
	}
	slow.open()
	g.Queue(5).Wait()
	g.Queue(5).Wait()
	if slow.String() != "firstsecond" || fast.String() != strings.Repeat(".", 100) {
		t.Errorf("output %q, %q", slow, fast)
	}
}

// What a guest wrote before power-off reaches the writer, also when it reset the device on its way, and more than fits one write.
func TestOutputSurvivesPowerOff(t *testing.T) {
	for _, reset := range []bool{false, true} {
		out := newSink(true)
		g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true}, {Name: "out", Out: out}})
		g.multiport(virtio.FeatureVersion1|virtio.FeatureIndirectDesc, "", "out")
		long := strings.Repeat("0123456789abcdef", 5000)
		for range 20 {
			g.post(1, long)
		}
		if reset {
			g.SetStatus(0)
		}
		done := make(chan error)
		go func() { done <- g.c.Drain(context.Background()) }()
		out.open()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got := out.String(); got != strings.Repeat(long, 20) {
			t.Errorf("reset %v: %d bytes of %d", reset, len(got), 20*len(long))
		}
		if err := g.c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What a reset keeps is bounded, whatever the guest had queued.
func TestResetKeepsLittle(t *testing.T) {
	out := newSink(true)
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true, Out: out}})
	g.start(plain)
	big := virtiotest.Buf{Addr: virtiotest.RAMBase, Len: virtiotest.RAMSize}
	for range 5 {
		for range 30 {
			g.Queue(1).Add(big)
		}
		g.Queue(1).Kick()
		g.start(plain)
	}
	out.open()
	if err := g.c.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(out.String()); n > 3<<20 {
		t.Errorf("%d bytes were kept", n)
	}
}

func TestWriterError(t *testing.T) {
	out := newSink(false)
	out.err = io.ErrClosedPipe
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true, Out: out}})
	g.start(plain)
	for range 10 {
		g.write(0, "into the void") // must come back
	}
	if err := g.c.Drain(t.Context()); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Drain: %v", err)
	}
}

// OnOpen and OnClose come in order with the output.
func TestOpenAndClose(t *testing.T) {
	events := make(chan string, 100)
	g := newGuest(t, virtiotest.PCI, []console.Port{{Console: true}, {
		Name:    "p",
		Out:     writerFunc(func(p []byte) (int, error) { events <- string(p); return len(p), nil }),
		OnOpen:  func() { events <- "open" },
		OnClose: func() { events <- "close" },
	}})
	g.multiport(virtio.FeatureVersion1, "", "p")
	want := func(ss ...string) {
		t.Helper()
		for _, s := range ss {
			if e := <-events; e != s {
				t.Fatalf("%q, want %q", e, s)
			}
		}
	}
	want("open")
	for range 100 {
		g.post(1, "data")
		g.send(1, portOpen, 0)
		g.send(1, portOpen, 1)
		want("data", "close", "open")
		g.Queue(5).Wait()
	}
	g.post(1, "last")
	g.SetStatus(0)
	want("last", "close")
	if err := g.c.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(events) != 0 {
		t.Errorf("and then %q", <-events)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// Control messages that make no sense change nothing, and a guest that asks without listening makes nothing grow.
func TestHostileControl(t *testing.T) {
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true}, {Name: "p"}})
	g.Start(virtio.FeatureVersion1 | featureMultiport)
	ctl := g.Queue(3)
	ctl.Do(g.Out([]byte{1, 2, 3}))
	ctl.Do(g.In(64))
	ctl.Do(g.Out(make([]byte, 4)), g.Out(make([]byte, 4)), g.Out(make([]byte, 4000)), g.In(8))
	for range 300 {
		g.send(0, deviceReady, 1)
		g.send(1, portReady, 1)
		g.send(1, portOpen, 0xFFFF)
		g.send(2, portReady, 1)
		g.send(0xFFFFFFFF, portOpen, 1)
		g.send(1, 0xFFFF, 1)
		g.send(1, portReady, 0)
		g.send(0, deviceReady, 0)
	}
	g.control = map[uint16]virtiotest.Buf{}
	for range 4 {
		g.listen()
	}
	g.expect(message{0, portAdd, 1, ""}, message{1, portAdd, 1, ""}, message{1, portOpen, 1, ""}, message{1, portName, 1, "p"})
	// A buffer too small for a message, and one for the device to read where it wants to write.
	in := g.In(3)
	for range 4 { // those that receive offered again
		g.c.Resize(1, 1)
	}
	g.Queue(2).Add(in)
	g.Queue(2).Add(g.Out([]byte("what?")))
	g.Queue(2).Kick()
	for range 6 {
		g.send(1, portReady, 1)
		g.Queue(2).Wait()
	}
	if s := g.Status(); s&virtio.StatusNeedsReset != 0 {
		t.Errorf("status %#x", s)
	}
}

// After Close nothing touches guest memory, though a reader and a writer are still stuck.
func TestClose(t *testing.T) {
	in, out := newFeed(), newSink(true)
	g := newGuest(t, virtiotest.MMIO, []console.Port{{Console: true, In: in, Out: out}})
	g.start(plain)
	g.offer(0)
	<-in.asked
	g.post(0, "stuck")
	if err := g.c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.c.Drain(t.Context()); err != nil {
		t.Errorf("Drain after Close: %v", err)
	}
	in.data <- "late"
	out.open()
	if _, _, ok := g.Queue(0).Used(); ok {
		t.Error("input after Close")
	}
	g.c.Resize(3, 4)
	g.Notify(1)
	g.SetStatus(0)
	g.start(plain) // refused quietly
	g.post(0, "more")
}

func TestNewRefuses(t *testing.T) {
	for name, ports := range map[string][]console.Port{
		"no ports":   nil,
		"many ports": make([]console.Port, 33),
		"long name":  {{Name: strings.Repeat("x", 65)}},
	} {
		if _, err := console.New(ports); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	c, err := console.New([]console.Port{{Console: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Drain(t.Context()); err != nil {
		t.Errorf("Drain before the guest ran: %v", err)
	}
}

func BenchmarkOutput(b *testing.B) {
	c, err := console.New([]console.Port{{Console: true, Out: io.Discard}})
	if err != nil {
		b.Fatal(err)
	}
	d := virtiotest.New(b, c, virtiotest.MMIO)
	d.Start(plain)
	out := d.Out(make([]byte, 4096))
	b.SetBytes(4096)
	b.ReportAllocs()
	for b.Loop() {
		d.Queue(1).Do(out)
	}
}
