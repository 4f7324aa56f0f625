package suite

// A guest that is measured: booted once, asked many times (linux_init.sh is its side).

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/guestimage"
)

//go:embed linux_init.sh
var guestInit []byte

const (
	bootLimit   = 2 * time.Minute // of a boot, and of everything else that is not work
	workLimit   = 5 * time.Minute // of one sample
	sessionArgs = peer.PagingWord + " console=ttyS0 quiet panic=-1 rdinit=/bench/init"
	ready       = "@bench ready"
	answered    = "@bench "

	defaultMemory = 512 // MiB
)

// side is the machine that a benchmark runs on: vm, or its peer.
type side func(*bench.Env) (*peer.Machine, error)

// vmSide is the executable vm.
func vmSide(env *bench.Env) (*peer.Machine, error) {
	if env.VM == "" {
		return nil, bench.Unavailable("there is no vm to start as a process of its own")
	}
	path, err := exec.LookPath(env.VM)
	if err != nil {
		return nil, bench.Unavailable("there is no vm to start as a process of its own: %v", err)
	}
	return peer.VM(path, "", "keep=off", memoryOf(env)), nil // what earlier runs have left is not to be measured
}

// peerSide is QEMU.
func peerSide(env *bench.Env) (*peer.Machine, error) {
	if env.QEMU == "" {
		return nil, bench.Unavailable("there is no %s", peer.Program)
	}
	path, err := exec.LookPath(env.QEMU)
	if err != nil {
		return nil, fmt.Errorf("the peer cannot be started: %w", err)
	}
	return peer.QEMU(path, memoryOf(env)), nil
}

func memoryOf(env *bench.Env) int {
	if env.Memory == 0 {
		return defaultMemory
	}
	return env.Memory
}

// defaultGuest is vm's default image, if it has been pulled: nothing is fetched here.
func defaultGuest() (*peer.Guest, error) {
	images, err := guestimage.Open("")
	if err != nil {
		return nil, err
	}
	image, err := images.Get(guestimage.DefaultName)
	if errors.Is(err, guestimage.ErrNotFound) {
		return nil, bench.Unavailable("the default guest is not here: run vm image pull once")
	}
	if err != nil {
		return nil, err
	}
	return peer.FromImage(images, image)
}

// scratch makes a folder for one instance.
func scratch(env *bench.Env) (string, error) { return os.MkdirTemp(env.Scratch, "guest") }

// session is a guest that can be asked. It boots when it is asked first, and again when it was lost.
type session struct {
	machine *peer.Machine
	boot    peer.Boot
	dir     string // goes away with the session
	process *peer.Process
}

// newSession prepares a guest with more files in /bench, by name, and a disk or none.
func newSession(env *bench.Env, on side, files map[string][]byte, disk string) (*session, error) {
	machine, err := on(env)
	if err != nil {
		return nil, err
	}
	guest, err := defaultGuest()
	if err != nil {
		return nil, err
	}
	program, err := guestProgram()
	if err != nil {
		return nil, err
	}
	archive, err := sessionArchive(guest, program, files, disk != "")
	if err != nil {
		return nil, err
	}
	s := &session{machine: machine}
	if s.dir, err = scratch(env); err != nil {
		return nil, err
	}
	s.boot = peer.Boot{Kernel: guest.Kernel, Initrd: filepath.Join(s.dir, "initrd"), Append: sessionArgs, Disk: disk}
	if err := peer.Write(s.boot.Initrd, archive); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// sessionArchive is the guest's initial file system.
func sessionArchive(guest *peer.Guest, program []byte, files map[string][]byte, disk bool) (*initramfs.Archive, error) {
	a, err := guest.Archive()
	if err != nil {
		return nil, err
	}
	if err := a.File("/bench/modules", 0o644, nil); err != nil {
		return nil, err
	}
	if disk {
		if err := guest.DiskModules(a); err != nil {
			return nil, err
		}
	}
	for name, data := range files {
		if err := a.File("/bench/"+name, 0o644, data); err != nil {
			return nil, err
		}
	}
	if err := a.File("/bench/bench", 0o755, program); err != nil {
		return nil, err
	}
	return a, a.File("/bench/init", 0o755, guestInit)
}

// start boots the guest if it does not run.
func (s *session) start(ctx context.Context) error {
	if s.process != nil {
		return nil
	}
	process, err := peer.Start(s.machine.Boot(s.boot))
	if err != nil {
		return fmt.Errorf("starting %s: %w", s.machine.Name, err)
	}
	s.process = process
	if _, _, err := process.Line(ctx, bootLimit, ready); err != nil {
		s.stop()
		return fmt.Errorf("booting %s: %w", s.machine.Name, err)
	}
	return nil
}

// ask has the guest do something and returns what came of it, and the time that the host saw pass. After any error the guest is gone.
func (s *session) ask(ctx context.Context, request string) (reply string, took time.Duration, err error) {
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	if err := s.start(ctx); err != nil {
		return "", 0, err
	}
	began := time.Now()
	if err = s.process.Send(request + "\n"); err == nil {
		var at time.Time
		reply, at, err = s.process.Line(ctx, workLimit, answered)
		took = at.Sub(began)
	}
	if err == nil {
		reply, err = readAnswer(reply)
	}
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("%s: %s: %w", s.machine.Name, request, err)
	}
	if err != nil {
		s.stop()
	}
	return reply, took, err
}

// stop ends the guest. The next question boots another.
func (s *session) stop() {
	if s.process != nil {
		_ = s.process.Close() // there is nothing more to know of it
		s.process = nil
	}
}

// Close ends everything.
func (s *session) Close() error {
	s.stop()
	return os.RemoveAll(s.dir)
}

// readAnswer takes the reply out of a line of linux_init.sh, without its mark.
func readAnswer(line string) (reply string, err error) {
	kind, rest, _ := strings.Cut(peer.Printable(line), " ")
	switch kind {
	case "ok":
		return rest, nil
	case "fail":
		return "", fmt.Errorf("the guest says: %s", rest)
	}
	return "", fmt.Errorf("the guest says %q, which is no answer", line)
}

// parseLine reads what the guest program prints, which is about name, n and an answer that is known. It returns the time.
func parseLine(line, name string, n, answer uint64) (time.Duration, error) {
	var got [3]uint64
	fields := strings.Split(line, " ")
	if len(fields) != 4 || fields[0] != name {
		return 0, fmt.Errorf("%q is not the line %s, a number, nanoseconds and an answer", line, name)
	}
	for i, f := range fields[1:] {
		var err error
		if got[i], err = strconv.ParseUint(f, 10, 64); err != nil {
			return 0, fmt.Errorf("%q is not the line %s, a number, nanoseconds and an answer", line, name)
		}
	}
	switch {
	case got[0] != n:
		return 0, fmt.Errorf("%q is about %d times, want %d", line, got[0], n)
	case got[1] > math.MaxInt64:
		return 0, fmt.Errorf("%q: the guest's clock went back", line)
	case got[2] != answer:
		return 0, fmt.Errorf("%q: wrong answer %d, want %d", line, got[2], answer)
	}
	return time.Duration(got[1]), nil
}

// plausible holds the guest's time against the host's, which began a little earlier and ended a little later.
func plausible(guest, host time.Duration) error {
	const slack, lag = 100 * time.Millisecond, 2 * time.Second // of two clocks; of a host that is busy
	if guest > host+host/20+slack || guest < host/2-lag {
		return fmt.Errorf("the guest's clock says %v, the host's %v", guest, host)
	}
	return nil
}

// missing says whether an error is about a file that is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
