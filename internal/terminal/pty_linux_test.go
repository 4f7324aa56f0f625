package terminal

// Raw mode on a real pseudo-terminal.

import (
	"context"
	"io"
	"os"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// openPTY returns the two ends of a pseudo-terminal.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func modes(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

func TestRestoreUndoesMakeRaw(t *testing.T) {
	_, slave := openPTY(t)
	before := modes(t, slave)
	func() {
		defer func() { _ = recover() }()
		raw, err := MakeRaw(slave)
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Restore()
		if m := modes(t, slave); m.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 {
			t.Errorf("not raw: local modes %#x", m.Lflag)
		}
		panic("on the way out")
	}()
	if after := modes(t, slave); after != before {
		t.Errorf("modes after Restore differ: %+v, %+v", after, before)
	}
}

func TestWatchSizeTellsFirstAndChanges(t *testing.T) {
	_, slave := openPTY(t)
	set := func(cols, rows uint16) {
		if err := unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: cols, Row: rows}); err != nil {
			t.Fatal(err)
		}
	}
	set(80, 24)
	ctx, cancel := context.WithCancel(context.Background())
	sizes := make(chan [2]int, 4)
	wait := WatchSize(ctx, slave, func(cols, rows int) { sizes <- [2]int{cols, rows} })
	if got := <-sizes; got != [2]int{80, 24} {
		t.Errorf("first size %v", got)
	}
	set(132, 43)
	raise(t, unix.SIGWINCH) // the terminal is not this process's own, so the kernel does not tell
	if got := <-sizes; got != [2]int{132, 43} {
		t.Errorf("second size %v", got)
	}
	cancel()
	wait()
}

func TestConsoleIsRestoredAndSpeaksStraight(t *testing.T) {
	master, slave := openPTY(t)
	before := modes(t, slave)
	c := NewConsole(slave, slave, slave)
	if err := c.Raw(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Messages().Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := master.Read(buf); string(buf[:n]) != "one\r\n" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	quits := make(chan bool, 1)
	keys := c.Keys(func() { quits <- true })
	if _, err := master.Write([]byte("a\x03\x01x")); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(keys); string(got) != "a\x03" || err != nil || !<-quits {
		t.Errorf("keys %q, %v", got, err)
	}
	for range 2 {
		if err := c.Restore(); err != nil {
			t.Fatal(err)
		}
	}
	if after := modes(t, slave); after != before {
		t.Errorf("modes after Restore differ: %+v, %+v", after, before)
	}
}
