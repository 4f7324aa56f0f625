// Package boot tests the whole product as a user meets it: the vm binary, Debian's kernel, real disks, real firmware.
//
// Run it with -vm PATH; without, every test here is skipped. -engine NAME is for another engine than the host's default, -jit SETTINGS for other
// settings of the translator. It needs the default guest (obtained once), and the Debian packages e2fsprogs, opensbi and u-boot-qemu; in CI
// (environment variable CI) a missing one is a failure.
package boot

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var (
	vmPath     = flag.String("vm", "", "the vm binary to test")
	engineName = flag.String("engine", "", "the engine to run the guests with; empty for vm's own choice")
	settings   = flag.String("jit", "", "settings of the translator, as vm run --jit has them")
)

// withEngine adds the engine and its settings to the arguments of a vm run.
func withEngine(args []string) []string {
	if len(args) == 0 || args[0] != "run" {
		return args
	}
	run := []string{"run"}
	if *engineName != "" {
		run = append(run, "--engine", *engineName)
	}
	if *settings != "" {
		run = append(run, "--jit", *settings)
	}
	return append(run, args[1:]...)
}

func TestMain(m *testing.M) {
	flag.Parse()
	if *vmPath != "" {
		cmd := exec.Command(*vmPath, "run", "--", "true") // obtains the default guest where it is missing
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "obtaining the default guest:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// result is what one run of vm left behind.
type result struct {
	code           int
	stdout, stderr string
}

// vm runs the binary to its end.
func vm(t testing.TB, stdin io.Reader, args ...string) result {
	t.Helper()
	if *vmPath == "" {
		t.Skip("no -vm: run make boot")
	}
	// A guest that hangs must not hang the suite; far longer than any run takes.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, *vmPath, withEngine(args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// expect fails the test unless a run ended with code and printed stdout, exactly.
func (r result) expect(t *testing.T, code int, stdout string) {
	t.Helper()
	if r.code != code || r.stdout != stdout {
		t.Fatalf("exit %d, stdout %q; want %d, %q\nstderr: %s", r.code, r.stdout, code, stdout, r.stderr)
	}
}

// tool finds a host program or file, or skips the test; in CI it fails.
func tool(t testing.TB, path, pkg string) string {
	t.Helper()
	found := path
	var err error
	if filepath.IsAbs(path) {
		_, err = os.Stat(path)
	} else if found, err = exec.LookPath(path); err != nil {
		for _, dir := range []string{"/sbin", "/usr/sbin"} {
			if _, e := os.Stat(filepath.Join(dir, path)); e == nil {
				found, err = filepath.Join(dir, path), nil
			}
		}
	}
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing: install the Debian package %s", path, pkg)
		}
		t.Skipf("%s is missing: install the Debian package %s", path, pkg)
	}
	return found
}

func host(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCommand(t *testing.T) {
	for _, c := range []struct {
		name   string
		stdin  io.Reader
		args   []string
		code   int
		stdout string
	}{
		{"uname", nil, []string{"--", "uname", "-m"}, 0, "riscv64\n"},
		{"exit status", nil, []string{"--", "sh", "-c", "exit 3"}, 3, ""},
		{"exit status 255", nil, []string{"--", "sh", "-c", "exit 255"}, 255, ""},
		{"killed by a signal", nil, []string{"--", "sh", "-c", "kill -9 $$"}, 137, ""},
		{"no such command", nil, []string{"--", "/no/such/command"}, 127, ""},
		{"words", nil, []string{"--", "printf", "%s|", "a b", "c'd", `e"f`, "$g", "", "h\ni"}, 0, "a b|c'd|e\"f|$g||h\ni|"},
		{"stdin", strings.NewReader("one\ntwo\n"), []string{"--", "sh", "-c", "read a; cat; echo $a"}, 0, "two\none\n"},
		{"no stdin", nil, []string{"--", "cat"}, 0, ""},
		{"harts", nil, []string{"--cpus", "2", "--", "nproc"}, 0, "2\n"},
		{"memory", nil, []string{"-m", "1G", "--", "sh", "-c", "test $(awk '/MemTotal/{print $2}' /proc/meminfo) -gt 900000 && echo much"}, 0, "much\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			vm(t, c.stdin, append([]string{"run"}, c.args...)...).expect(t, c.code, c.stdout)
		})
	}
}

// Without a terminal the shell reads its input all the same: nothing that arrives while the guest boots is lost. It ends with its input, with the status
// of the last command, and so does what it runs.
func TestPipedShell(t *testing.T) {
	for _, c := range []struct {
		name  string
		stdin io.Reader
		code  int
		want  []string
	}{
		{"exit", strings.NewReader("echo first $((1+1))\nuname -m\nexit 4\n"), 4, []string{"first 2", "riscv64"}},
		{"end", strings.NewReader("cat; echo second $((1+2)); sh -c 'exit 5'"), 5, []string{"second 3"}},
		{"nothing", nil, 0, []string{"~ #"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := vm(t, c.stdin, "run")
			if r.code != c.code {
				t.Errorf("exit %d, want %d", r.code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(r.stdout, want) {
					t.Errorf("no %q", want)
				}
			}
			if t.Failed() {
				t.Logf("%s\n%s", r.stdout, r.stderr)
			}
		})
	}
}

func TestStderrIsSeparate(t *testing.T) {
	r := vm(t, nil, "run", "--", "sh", "-c", "echo out; echo err >&2")
	r.expect(t, 0, "out\n")
	if r.stderr != "err\n" {
		t.Fatalf("stderr %q", r.stderr)
	}
}

func TestMuchData(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789abcdef\n"), 100_000)
	r := vm(t, bytes.NewReader(in), "run", "--", "cat")
	if r.code != 0 || r.stdout != string(in) {
		t.Fatalf("exit %d, %d bytes of %d came back\nstderr: %s", r.code, len(r.stdout), len(in), r.stderr)
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tree/sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "hello"), "hello\n", 0o644)
	write(t, filepath.Join(dir, "tree/sub/run"), "#!/bin/sh\necho ran $1\n", 0o755)
	vm(t, nil, "run", "--file", filepath.Join(dir, "hello"), "--file", filepath.Join(dir, "tree")+":/opt/t", "--",
		"sh", "-c", "cat /hello; /opt/t/sub/run it").expect(t, 0, "hello\nran it\n")
}

func write(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// A kernel that panics ends a command's machine with one line that says so.
func TestPanic(t *testing.T) {
	r := vm(t, nil, "run", "--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 100")
	r.expect(t, 125, "")
	if !strings.Contains(r.stderr, "panic") || strings.Count(r.stderr, "\n") != 1 {
		t.Fatalf("stderr %q", r.stderr)
	}
}

func TestPowerOff(t *testing.T) {
	for _, command := range []string{"poweroff -f", "poweroff", "halt"} {
		vm(t, nil, "run", "--", "sh", "-c", "echo bye; "+command+"; sleep 100").expect(t, 0, "bye\n")
	}
}

// A reboot starts over: the second boot finds what the first left on the disk. It ends there with --no-reboot.
func TestReboot(t *testing.T) {
	disk := filepath.Join(t.TempDir(), "disk")
	if err := os.Truncate(touch(t, disk), 1<<20); err != nil {
		t.Fatal(err)
	}
	script := "if [ \"$(head -c 4 /dev/vda)\" = done ]; then echo second; else echo first; printf done | dd of=/dev/vda conv=fsync 2>/dev/null; reboot -f; sleep 100; fi"
	vm(t, nil, "run", "-d", disk, "--", "sh", "-c", script).expect(t, 0, "first\nsecond\n")
	if err := os.Truncate(disk, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 1<<20); err != nil {
		t.Fatal(err)
	}
	vm(t, nil, "run", "--no-reboot", "-d", disk, "--", "sh", "-c", script).expect(t, 0, "first\n")
}

func touch(t testing.TB, path string) string {
	t.Helper()
	write(t, path, "", 0o644)
	return path
}
