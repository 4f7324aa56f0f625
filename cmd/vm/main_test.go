package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/engine/engines"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/terminal"
)

// call runs a command line with an empty cache and no apt, and returns what it wrote.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	t.Setenv("PATH", home)
	open := func(name string) *os.File {
		f, err := os.OpenFile(filepath.Join(home, name), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	std := stdio{in: open("stdin"), out: open("stdout"), err: open("stderr")}
	code = execute(t.Context(), args, std)
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(home, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return code, read("stdout"), read("stderr")
}

func TestWrongInputIsOneLineAndStatus125(t *testing.T) {
	for _, test := range []struct {
		args, want string
	}{
		{"bogus", "see vm --help"},
		{"--bogus", "see vm --help"},
		{"run --bogus", "unknown flag: --bogus: see vm run --help"},
		{"run -m 12", "512M"},
		{"run -m lots", "512M"},
		{"run -c many", "write a number"},
		{"run -d", "needs an argument"},
		{"run -d x,sector=1", "512 and 4096"},
		{"run -d x,format=vmdk", "raw and qcow2 are"},
		{"run -d x,cache=fast", "writeback, writethrough, none, unsafe"},
		{"run -d memory:lots", "as in memory:512M"},
		{"run -d memory:1G,snapshot", "has no snapshot"},
		{"disk bogus", "see vm disk --help"},
		{"disk create", "needs a FILE"},
		{"disk create x", "needs a SIZE"},
		{"disk create x lots", "512M"},
		{"disk create -f qcow x 1G", "near it: qcow2"},
		{"disk create -f raw -b y x 1G", "use -f qcow2"},
		{"disk create --compression zst x.qcow2 1G", "near it: zstd"},
		{"disk create --cluster-size 3K x.qcow2 1G", "a power of two"},
		{"disk create -b /nonexistent x.qcow2", "its backing file /nonexistent: no such file"},
		{"disk info /nonexistent", "no such file"},
		{"disk info /dev/null", "neither a file nor a block device"},
		{"disk convert x", "needs a TO"},
		{"disk convert /nonexistent y", "no such file"},
		{"disk check --repair some x", "leaks or all"},
		{"disk check /nonexistent", "no such file"},
		{"disk snapshot create x", "needs a NAME"},
		{"disk snapshot bogus", "see vm disk snapshot --help"},
		{"disk commit /nonexistent", "no such file"},
		{"disk resize x", "needs a SIZE"},
		{"run --file a:b", "absolute path"},
		{"run --timeout -1s", "as in 90s"},
		{"run --timeout soon", "see vm run --help"},
		{"run --log-level loud", "debug, info, warn or error"},
		{"run --image nope", "vm image ls"},
		{"run --dump-code here", "16 hexadecimal digits, as in 0x80200000, or all"},
		{"run --dump-code", "needs an argument"},
		{"run --dump-code 11112222333344445", "16 hexadecimal digits"},
		{"run --dump-code 80200001", "odd address"},
		{"run --symbols x@here", "16 hexadecimal digits"},
		{"run --symbols @80200000", "no file is named"},
		{"run -b /dev/null --symbols x", "/dev/null"},
		{"run", "vm image import"},
		{"image bogus", "see vm image --help"},
		{"image pull", "vm image import"},
		{"image pull A", "lower-case"},
		{"image pull a b", "see vm image pull --help"},
		{"image rm", "needs a NAME"},
		{"image rm nope", "no such image"},
		{"image import x", "--kernel FILE"},
		{"image import x --kernel /nonexistent", "no such file"},
		{"version extra", "see vm version --help"},
		{"bench nothing", "see vm bench --help"},
		{"bench run engine/integr/auto", "near it: engine/integer/auto"},
		{"bench run nothing", "vm bench list shows all"},
		{"bench list [", "syntax error"},
		{"bench run engine --baseline nope", "vm bench baseline ls"},
		{"bench run engine --save-baseline a/b", "cannot name a baseline"},
		{"bench run engine --against bochs", "qemu is the only peer"},
		{"bench run engine --passes -1", "cannot be below 0"},
		{"bench compare one", "two results"},
		{"bench compare one two", "no baseline is named"},
		{"bench compare /dev/null /dev/null", "/dev/null: it is empty"},
		{"bench baseline rm nope", "no baseline is named"},
		{"bench baseline import x", "needs a FILE"},
		{"bench baseline import x /nonexistent", "no such file"},
		{"bench baseline export a b c", "does not take \"c\""},
		{"bench report", "vm bench does"},
		{"bench report nope", "no baseline is named"},
	} {
		code, stdout, stderr := call(t, strings.Fields(test.args)...)
		if code != exitFailure || stdout != "" || !strings.HasPrefix(stderr, "vm: ") || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, test.want) {
			t.Errorf("vm %s: status %d, stdout %q, stderr %q; want 125 and one line with %q", test.args, code, stdout, stderr, test.want)
		}
	}
}

func TestCommandsThatNeedNoGuest(t *testing.T) {
	for args, want := range map[string]string{
		"":                   "Available Commands",
		"--help":             "Available Commands",
		"run -h":             "--no-reboot",
		"image":              "import",
		"image ls":           "NAME",
		"version":            "vm ",
		"help run":           "Ctrl-A",
		"run --help":         "--dump-code PC|all",
		"bench list tlb/hit": "tlb/hit/auto",
		"bench --help":       "--save-baseline",
		"bench baseline ls":  "NAME",
	} {
		if code, stdout, stderr := call(t, strings.Fields(args)...); code != 0 || !strings.Contains(stdout, want) || stderr != "" {
			t.Errorf("vm %s: status %d, stdout %q, stderr %q; want %q", args, code, stdout, stderr, want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		err  error
		code int
		line string
	}{
		{nil, 0, ""},
		{guestExit(0), 0, ""},
		{guestExit(3), 3, ""},
		{fmt.Errorf("run: %w", terminal.SignalError{Signal: unix.SIGTERM}), 143, ""},
		{terminal.SignalError{Signal: unix.SIGINT}, 130, ""},
		{timeoutError("5s"), exitTimeout, "5s"},
		{errors.New("two\nlines"), exitFailure, "two; lines"},
		{errors.New("an \x1b[31mescape"), exitFailure, "an  [31mescape"},
	} {
		if code, line := verdict(test.err); code != test.code || !strings.Contains(line, test.line) || (test.line == "") != (line == "") {
			t.Errorf("%v: %d %q, want %d %q", test.err, code, line, test.code, test.line)
		}
	}
}

func TestAFailureOnTheWayOutIsNotHidden(t *testing.T) {
	broken := errors.New("flush: input/output error")
	for _, err := range []error{nil, guestExit(0), guestExit(3), terminal.SignalError{Signal: unix.SIGTERM}, timeoutError("5s"), errors.New("other")} {
		code, line := verdict(withFailure(err, broken))
		if code != exitFailure || !strings.Contains(line, "flush") {
			t.Errorf("%v: %d %q", err, code, line)
		}
		if got := withFailure(err, nil); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestNeedsGuest(t *testing.T) {
	for _, test := range []struct {
		name    string
		cfg     vm.Config
		image   string
		command []string
		want    bool
	}{
		{name: "nothing named", want: true},
		{name: "a command", command: []string{"true"}, want: true},
		{name: "firmware alone", cfg: vm.Config{Bios: "b"}},
		{name: "firmware and an image", cfg: vm.Config{Bios: "b"}, image: "mine", want: true},
		{name: "firmware and a command", cfg: vm.Config{Bios: "b"}, command: []string{"true"}, want: true},
		{name: "kernel and initrd", cfg: vm.Config{Kernel: "k", Initrd: "i"}},
		{name: "kernel and initrd and a command", cfg: vm.Config{Kernel: "k", Initrd: "i"}, command: []string{"true"}, want: true},
		{name: "kernel alone", cfg: vm.Config{Kernel: "k"}, want: true},
		{name: "kernel with a root disk", cfg: vm.Config{Kernel: "k", Append: "quiet root=/dev/vda"}},
		{name: "initrd alone", cfg: vm.Config{Initrd: "i"}, want: true},
	} {
		if test.image == "" {
			test.image = guestimage.DefaultName
		}
		f := runFlags{cfg: test.cfg, image: test.image}
		if got := f.needsGuest(test.command); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestDoctor(t *testing.T) {
	if testing.Short() {
		t.Skip("runs tens of millions of guest instructions")
	}
	code, stdout, stderr := call(t, "doctor")
	if code != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q", code, stderr)
	}
	for _, e := range engines.All() {
		if features, err := e.Try(); err == nil && !strings.Contains(stdout, e.About) || !strings.Contains(stdout, features) {
			t.Errorf("nothing of engine %s with %q in %q", e.Name, features, stdout)
		}
	}
	for _, want := range []string{"processor", "huge pages", "NUMA nodes", "KVM", "JIT memory", "engine interp", "MIPS"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in %q", want, stdout)
		}
	}
}
