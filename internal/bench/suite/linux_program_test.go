package suite

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/testtool"
)

// emulator runs the guest program in a folder of its own, under qemu-riscv64.
func emulator(t *testing.T) (dir string, run func(args ...string) (stdout, stderr string, code int)) {
	t.Helper()
	qemu := testtool.Find(t, "qemu-riscv64", "qemu-user")
	text, err := guestProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	file := filepath.Join(dir, "bench")
	if err := os.WriteFile(file, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, func(args ...string) (string, string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), qemu, append([]string{file}, args...)...)
		var stdout, stderr bytes.Buffer
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
	}
}

// Whatever the work, three times are more than twice and than once, and the answer is the one that Go computes.
func TestGuestProgram(t *testing.T) {
	_, run := emulator(t)
	for _, w := range works {
		for n := uint64(1); n <= 3; n++ {
			stdout, stderr, code := run(w.name, fmt.Sprint(n))
			if w.name == "exec" && stderr == fmt.Sprintf("bench: exec: %d\n", 127<<8) && code == 1 {
				continue // this host's kernel does not start programs of another processor
			}
			if code != 0 || stderr != "" {
				t.Fatalf("%s %d: status %d: %s", w.name, n, code, stderr)
			}
			if _, err := parseLine(strings.TrimSuffix(stdout, "\n"), w.name, n, w.answer(n)); err != nil {
				t.Errorf("%s %d: %v", w.name, n, err)
			}
		}
	}
}

// More than is mapped at a time, and more than a child's status can count.
func TestGuestProgramMore(t *testing.T) {
	_, run := emulator(t)
	for name, n := range map[string]uint64{"pagefault": 5000, "fork": 70, "pipe": 100, "yield": 100, "integer": 12, "double": 20} {
		w := workNamed(t, name)
		stdout, stderr, code := run(name, fmt.Sprint(n))
		if _, err := parseLine(strings.TrimSuffix(stdout, "\n"), name, n, w.answer(n)); err != nil || code != 0 {
			t.Errorf("%s %d: status %d, %v: %s", name, n, code, err, stderr)
		}
	}
}

func workNamed(t *testing.T, name string) work {
	t.Helper()
	for _, w := range works {
		if w.name == name {
			return w
		}
	}
	t.Fatalf("no work is called %s", name)
	return work{}
}

func TestGuestProgramRefuses(t *testing.T) {
	_, run := emulator(t)
	for _, args := range [][]string{
		nil, {"syscall"}, {"syscall", "0"}, {"syscall", ""}, {"syscall", "-1"}, {"syscall", "1x"}, {"syscall", "12345678901"}, {"nothing", "1"}, {"", "1"}, {"time"},
	} {
		if stdout, stderr, code := run(args...); code != 2 || stdout != "" || stderr != usage {
			t.Errorf("%q: status %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if stdout, stderr, code := run("exit"); code != exitStatus || stdout+stderr != "" {
		t.Errorf("exit: status %d, %q, %q", code, stdout, stderr)
	}
}

// A system call that fails is a line on standard error, with Linux's number for why.
func TestGuestProgramFails(t *testing.T) {
	dir, run := emulator(t)
	if err := os.WriteFile(filepath.Join(dir, "bench-file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := run("create", "1"); code != 1 || stdout != "" || stderr != "bench: create: -17\n" { // EEXIST
		t.Errorf("status %d, %q, %q", code, stdout, stderr)
	}
}
