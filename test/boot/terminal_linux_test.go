package boot

// vm run at a terminal: a shell, its size, the keys, and the terminal as it was before.

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// session is vm run at one end of a pseudo-terminal.
type session struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	before unix.Termios

	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // capacity 1
}

func startSession(t *testing.T, args ...string) *session {
	t.Helper()
	if *vmPath == "" {
		t.Skip("no -vm: run make boot")
	}
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	s := &session{t: t, master: master, slave: slave, more: make(chan struct{}, 1)}
	s.before = s.modes()
	s.resize(100, 30)
	s.cmd = exec.Command(*vmPath, withEngine(append([]string{"run"}, args...))...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			s.mu.Lock()
			s.text.Write(buf[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *session) modes() unix.Termios {
	s.t.Helper()
	m, err := unix.IoctlGetTermios(int(s.slave.Fd()), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return *m
}

func (s *session) resize(cols, rows uint16) {
	s.t.Helper()
	if err := unix.IoctlSetWinsize(int(s.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows}); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for text on the screen, and forgets everything up to it.
func (s *session) wait(text string) {
	s.t.Helper()
	limit := time.After(2 * time.Minute)
	for {
		s.mu.Lock()
		i := bytes.Index(s.text.Bytes(), []byte(text))
		if i >= 0 {
			s.text.Next(i + len(text))
		}
		rest := s.text.String()
		s.mu.Unlock()
		if i >= 0 {
			return
		}
		select {
		case <-s.more:
		case <-limit:
			s.t.Fatalf("no %q on the screen:\n%s", text, rest)
		}
	}
}

func (s *session) send(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// end waits for vm to end, with a code, and for the terminal to be as it was.
func (s *session) end(code int) {
	s.t.Helper()
	s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit %d, want %d", got, code)
	}
	if s.modes() != s.before {
		s.t.Error("the terminal's modes are not what they were")
	}
}

func TestShell(t *testing.T) {
	s := startSession(t)
	s.wait("~ #")
	s.send("stty size; tty\r")
	s.wait("30 100")
	s.wait("/dev/hvc0")
	s.resize(77, 22)
	// The size arrives by an interrupt: ask until it has.
	s.send("until stty size | grep -q '22 77'; do usleep 10000; done; echo re\\sized\r")
	s.wait("resized")
	// Ctrl-C is the guest's. The shell that says start is the one to be interrupted: between the fork of a command and its exec, the
	// interactive shell's own handler would take the signal and forget it.
	s.send("sh -c 'echo st\\art; exec sleep 1000'\r")
	s.wait("start")
	s.send("\x03")
	s.send("echo st\\ill here\r")
	s.wait("still here")
	s.send("\x01h")
	s.wait("Ctrl-A x")
	s.send("exit 5\r")
	s.end(5)
}

func TestQuitKey(t *testing.T) {
	s := startSession(t)
	s.wait("~ #")
	s.send("\x01x")
	s.end(0)
}

func TestSignalRestoresTerminal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(sig.String(), func(t *testing.T) {
			s := startSession(t, "-a", "loglevel=8")
			s.wait("Linux version")
			if s.modes() == s.before {
				t.Error("the terminal is not raw")
			}
			s.cmd.Process.Signal(sig)
			s.end(128 + int(sig))
		})
	}
}

// A machine whose shell waits for input uses no host CPU to speak of, and what it uses is printed by the benchmark.
func BenchmarkIdle(b *testing.B) {
	for b.Loop() {
		g := startGuest(b)
		const settle, watch = 5 * time.Second, 10 * time.Second // the kernel finishes its start in the background
		time.Sleep(settle)
		before := g.cpu(b)
		time.Sleep(watch)
		b.ReportMetric(100*(g.cpu(b)-before).Seconds()/watch.Seconds(), "%core")
		g.stop(b)
	}
	b.ReportMetric(0, "ns/op")
}

// The promise is on the wall time of a whole run, and on what a machine costs above its guest's memory.
func BenchmarkRunTrue(b *testing.B) {
	for b.Loop() {
		began := time.Now()
		if r := vm(b, nil, "run", "--", "true"); r.code != 0 {
			b.Fatal(r.stderr)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/run")
	}
	b.ReportMetric(0, "ns/op")
}

func BenchmarkMemory(b *testing.B) {
	for b.Loop() {
		g := startGuest(b)
		b.ReportMetric(float64(g.overhead(b))/(1<<20), "MiB-above-guest")
		g.stop(b)
	}
	b.ReportMetric(0, "ns/op")
}

// guest is a machine that waits for its input to end.
type guest struct {
	cmd *exec.Cmd
	in  interface{ Close() error }
}

const guestMemory = 512 << 20 // bytes: the default

func startGuest(b *testing.B) *guest {
	b.Helper()
	if *vmPath == "" {
		b.Skip("no -vm: run make bench")
	}
	cmd := exec.Command(*vmPath, withEngine([]string{"run", "--", "sh", "-c", "echo ready; cat"})...)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, len("ready\n"))
	if _, err := out.Read(buf); err != nil {
		b.Fatal(err)
	}
	return &guest{cmd, in}
}

func (g *guest) stop(b *testing.B) {
	b.Helper()
	g.in.Close()
	if err := g.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

func (g *guest) proc(b *testing.B, name string) string {
	b.Helper()
	text, err := os.ReadFile("/proc/" + strconv.Itoa(g.cmd.Process.Pid) + "/" + name)
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// cpu is the processor time used so far.
func (g *guest) cpu(b *testing.B) time.Duration {
	b.Helper()
	stat := g.proc(b, "stat")
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	var ticks int
	for _, f := range fields[11:13] { // utime and stime
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100
}

// overhead is the resident memory in bytes that is not the guest's RAM: every mapping but the one of its size.
func (g *guest) overhead(b *testing.B) (n int) {
	b.Helper()
	var size int
	for line := range strings.Lines(g.proc(b, "smaps")) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "kB" {
			continue
		}
		kib, err := strconv.Atoi(f[1])
		if err != nil {
			b.Fatal(err)
		}
		switch f[0] {
		case "Size:":
			size = kib << 10
		case "Rss:":
			if size != guestMemory {
				n += kib << 10
			}
		}
	}
	return n
}
