package console_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"testing"

	"github.com/vmproject/vm/internal/device/virtio"
	"github.com/vmproject/vm/internal/device/virtio/console"
	"github.com/vmproject/vm/internal/device/virtio/virtiotest"
)

const (
	featureSize      = 1 << 0
	featureMultiport = 1 << 1
)

// guest is a driver of the console device, with the steps of §5.3.5 and §5.3.6.
type guest struct {
	*virtiotest.Driver
	t       *testing.T
	c       *console.Console
	control map[uint16]virtiotest.Buf // control buffers the device may fill, by request
	input   map[int]virtiotest.Buf    // of each receive queue, the one buffer
}

func newGuest(t *testing.T, kind virtiotest.Kind, ports []console.Port) *guest {
	t.Helper()
	c, err := console.New(ports)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{Driver: virtiotest.New(t, c, kind), t: t, c: c}
	t.Cleanup(func() { _ = c.Close() }) // before the memory goes: cleanups run last to first
	return g
}

func (g *guest) start(features uint64) {
	g.t.Helper()
	g.Start(features)
	g.control, g.input = map[uint16]virtiotest.Buf{}, map[int]virtiotest.Buf{}
	if features&featureMultiport != 0 {
		for range 16 {
			g.listen()
		}
	}
}

// listen offers a control buffer.
func (g *guest) listen() {
	in := g.In(128)
	g.control[g.Queue(2).Add(in)] = in
	g.Queue(2).Kick()
}

type message struct {
	id           uint32
	event, value uint16
	more         string
}

// receive waits for a control message.
func (g *guest) receive() message {
	g.t.Helper()
	id, n := g.Queue(2).Wait()
	b := g.Bytes(g.control[id])[:n]
	delete(g.control, id)
	g.listen()
	if n < 8 {
		g.t.Fatalf("a control message of %d bytes", n)
	}
	le := binary.LittleEndian
	return message{le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), string(b[8:])}
}

func (g *guest) expect(want ...message) {
	g.t.Helper()
	for _, w := range want {
		if m := g.receive(); m != w {
			g.t.Fatalf("control message %+v, want %+v", m, w)
		}
	}
}

// send sends a control message.
func (g *guest) send(id uint32, event, value uint16) {
	g.t.Helper()
	le := binary.LittleEndian
	g.Queue(3).Do(g.Out(le.AppendUint16(le.AppendUint16(le.AppendUint32(nil, id), event), value)))
}

// queues of a port.
func queues(port int) (rx, tx int) {
	if port == 0 {
		return 0, 1
	}
	return 2*port + 2, 2*port + 3
}

// read waits for input on a port.
func (g *guest) read(port int) string {
	g.t.Helper()
	g.offer(port)
	rx, _ := queues(port)
	_, n := g.Queue(rx).Wait()
	s := string(g.Bytes(g.input[rx])[:n])
	delete(g.input, rx)
	return s
}

// offer gives a port a buffer for input.
func (g *guest) offer(port int) {
	rx, _ := queues(port)
	if _, ok := g.input[rx]; !ok {
		g.input[rx] = g.In(256)
		g.Queue(rx).Add(g.input[rx])
		g.Queue(rx).Kick()
	}
}

// post writes to a port without waiting.
func (g *guest) post(port int, s string) {
	_, tx := queues(port)
	g.Queue(tx).Add(g.Out([]byte(s)))
	g.Queue(tx).Kick()
}

// write writes to a port and waits for the buffer.
func (g *guest) write(port int, s string) {
	g.t.Helper()
	_, tx := queues(port)
	g.Queue(tx).Do(g.Out([]byte(s)))
}

const (
	deviceReady = 0
	portAdd     = 1
	portReady   = 3
	consolePort = 4
	resize      = 5
	portOpen    = 6
	portName    = 7
)

// multiport negotiates and brings up ports: names by number, "" for the console at 0.
func (g *guest) multiport(ring uint64, names ...string) {
	g.t.Helper()
	g.start(ring | featureSize | featureMultiport)
	g.send(0xFFFFFFFF, deviceReady, 1)
	for i := range names {
		g.expect(message{uint32(i), portAdd, 1, ""})
	}
	for i, name := range names {
		g.send(uint32(i), portReady, 1)
		if name == "" {
			g.expect(message{uint32(i), consolePort, 1, ""})
		}
		g.expect(message{uint32(i), portOpen, 1, ""})
		if name != "" {
			g.expect(message{uint32(i), portName, 1, name})
		}
		g.send(uint32(i), portOpen, 1)
	}
}

// sink is a writer that can be held shut.
type sink struct {
	mu   sync.Mutex
	cond sync.Cond
	shut bool
	err  error
	buf  bytes.Buffer
}

func newSink(shut bool) *sink {
	s := &sink{shut: shut}
	s.cond.L = &s.mu
	return s
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.shut {
		s.cond.Wait()
	}
	if s.err != nil {
		return 0, s.err
	}
	return s.buf.Write(p)
}

func (s *sink) open() {
	s.mu.Lock()
	s.shut = false
	s.mu.Unlock()
	s.cond.Broadcast()
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// feed is a reader that says when it is asked.
type feed struct {
	asked chan struct{}
	data  chan string
}

func newFeed() *feed { return &feed{make(chan struct{}, 16), make(chan string)} }

func (f *feed) Read(p []byte) (int, error) {
	f.asked <- struct{}{}
	s, ok := <-f.data
	if !ok {
		return 0, io.EOF
	}
	return copy(p, s), nil
}

// plain is what a plain console is negotiated with.
const plain = virtio.FeatureVersion1 | virtio.FeatureEventIdx | featureSize
