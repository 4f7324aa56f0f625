package boot

// Memory that a guest has no use for goes back to the host.

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	machine "github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/guestimage"
)

const mib = 1 << 20

// balloonGuest is the default guest, with a driver for a balloon: one that was obtained before there were balloons has none, and then another one is obtained, for
// this test alone.
func balloonGuest(t *testing.T) *machine.Guest {
	t.Helper()
	if *vmPath == "" {
		t.Skip("no -vm: run make boot")
	}
	g, driver := defaultGuest(t)
	if !driver {
		t.Setenv("XDG_CACHE_HOME", t.TempDir())
		host(t, *vmPath, "image", "pull")
		if g, driver = defaultGuest(t); !driver {
			t.Fatal("the default guest has no virtio_balloon")
		}
	}
	return g
}

// defaultGuest says whether it has the driver, too.
func defaultGuest(t *testing.T) (g *machine.Guest, driver bool) {
	t.Helper()
	cache, err := guestimage.Open("")
	if err != nil {
		t.Fatal(err)
	}
	image, err := cache.Get(guestimage.DefaultName)
	if err != nil {
		t.Fatal(err)
	}
	g = &machine.Guest{Name: image.Name, Kernel: cache.BlobPath(image.Kernel), Busybox: cache.BlobPath(*image.Busybox)}
	for _, m := range image.Modules {
		g.Modules = append(g.Modules, machine.Module{Name: m.Name, Path: cache.BlobPath(m.Blob), Deps: m.Deps, Aliases: m.Aliases})
		driver = driver || m.Name == "virtio_balloon"
	}
	return g, driver
}

// residentMemory is how much memory a process has, in bytes.
func residentMemory(t *testing.T, pid int) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// until waits for something that a guest does in its own time; far longer than it takes any.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// fillAndFree has 300 MiB in a file of its memory, and then has not: each step ends with a word and waits for a line.
const fillAndFree = `mount -t tmpfs -o size=400M t /mnt
dd if=/dev/zero of=/mnt/f bs=1M count=300 2>/dev/null; echo full; read x
rm /mnt/f; echo freed; read x
dd if=/dev/zero of=/mnt/f bs=1M count=300 2>/dev/null; tr -d '\0' </mnt/f | wc -c; read x`

// conversation is a guest's output, word by word, and what is said to it.
type conversation struct {
	t     *testing.T
	lines *bufio.Scanner
	to    io.Writer
}

func (c *conversation) hear(want string) {
	c.t.Helper()
	if !c.lines.Scan() || strings.TrimSpace(c.lines.Text()) != want {
		c.t.Fatalf("the guest says %q, %v; want %q", c.lines.Text(), c.lines.Err(), want)
	}
}

func (c *conversation) say() {
	c.t.Helper()
	if _, err := io.WriteString(c.to, "go on\n"); err != nil {
		c.t.Fatal(err)
	}
}

// What a guest has free goes back by itself, and comes again.
func TestBalloon(t *testing.T) {
	balloonGuest(t)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, *vmPath, withEngine([]string{"run", "--balloon", "--", "sh", "-c", fillAndFree})...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = cmd.Wait()
	}()
	guest := conversation{t, bufio.NewScanner(out), in}
	resident := func() int64 { return residentMemory(t, cmd.Process.Pid) }

	guest.hear("full")
	full := resident()
	guest.say()
	guest.hear("freed")
	until(t, "most of 300 MiB went back to the host", func() bool { return full-resident() > 200*mib })
	t.Logf("%d MiB were resident, and %d are", full/mib, resident()/mib)
	guest.say()
	guest.hear("0")
	if again := resident(); again < full-100*mib {
		t.Errorf("%d MiB are resident when they are in use again, and %d were before", again/mib, full/mib)
	}
	guest.say()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// A guest gives what it is asked for, and has it again when it is not.
func TestBalloonOfASize(t *testing.T) {
	cfg := machine.Config{
		Guest: balloonGuest(t), Balloon: true, Engine: *engineName, JIT: *settings,
		Command: []string{"sh", "-c", `echo up; read x; awk '/MemFree/{print ($2 < 250000)}' /proc/meminfo; read x; awk '/MemFree/{print ($2 < 250000)}' /proc/meminfo`},
	}
	fromHost, toGuest := io.Pipe()
	fromGuest, toHost := io.Pipe()
	cfg.Stdin, cfg.Stdout = fromHost, toHost
	m, err := machine.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := m.Run(ctx)
		_ = toHost.CloseWithError(errors.Join(io.EOF, err))
		ended <- err
		close(ended)
	}()
	defer func() {
		cancel()
		_ = fromHost.Close()
		_ = fromGuest.Close()
		<-ended // before Close
	}()
	guest := conversation{t, bufio.NewScanner(fromGuest), toGuest}

	guest.hear("up")
	if n := m.Balloon(); n != 0 {
		t.Errorf("%d MiB in the balloon before anybody asked", n/mib)
	}
	for _, c := range []struct {
		target uint64
		less   string // whether the guest has less than it had
	}{{256 * mib, "1"}, {0, "0"}} {
		if err := m.SetBalloon(c.target); err != nil {
			t.Fatal(err)
		}
		until(t, fmt.Sprintf("the balloon had %d MiB", c.target/mib), func() bool { return m.Balloon() == c.target })
		guest.say()
		guest.hear(c.less)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
