package vm

// Machines that need no kernel: mistakes that New finds, and small programs as firmware.

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/engine/riscv"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
)

const (
	finisher = 0x0010_0000
	uart     = 0x1000_0000
)

// firmware writes a program to a flat file and returns its path.
func firmware(t *testing.T, f func(a *asm.Assembler)) string {
	t.Helper()
	a := asm.New(0x8000_0000)
	f(a)
	code, err := a.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return file(t, "firmware.bin", code)
}

func file(t *testing.T, name string, data []byte) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(p, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return p
}

// finish writes code that stores v to the test finisher.
func finish(a *asm.Assembler, v int64) {
	a.Li(asm.T0, finisher)
	a.Li(asm.T1, v)
	a.Store(riscv.SW, asm.T1, 0, asm.T0)
	a.Label("end")
	a.J("end")
}

// openFiles counts this process's descriptors, or is 0 where the host does not tell.
func openFiles() int {
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

func TestNewRefuses(t *testing.T) {
	bios := firmware(t, func(a *asm.Assembler) { finish(a, 0x5555) })
	kernel := file(t, "kernel", []byte("this is no kernel, only a text of some length that is no kernel: "+strings.Repeat("no ", 40)))
	disk := file(t, "disk", make([]byte, 8192))
	odd := file(t, "odd", make([]byte, 5000))
	guest := &Guest{Name: "g", Kernel: kernel}
	before := openFiles()
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"nothing to boot":        {Config{}, "--kernel"},
		"too little memory":      {Config{Bios: bios, Memory: 1 << 20}, "at least 4 MiB"},
		"memory not in pages":    {Config{Bios: bios, Memory: 8<<20 + 1}, "multiples of 4096"},
		"more than the host has": {Config{Bios: bios, Memory: 1 << 50}, "--memory"},
		"pages that stay":        {Config{Bios: bios, Balloon: true, HugePages: 2 << 20}, "--balloon"},
		"nine harts":             {Config{Bios: bios, CPUs: 9}, "1 to 8"},
		"minus one hart":         {Config{Bios: bios, CPUs: -1}, "1 to 8"},
		"unknown engine":         {Config{Bios: bios, Engine: "warp"}, "warp"},
		"a command, no guest":    {Config{Bios: bios, Command: []string{"true"}}, "vm image pull"},
		"a guest, no busybox":    {Config{Guest: guest}, "busybox"},
		"no such kernel":         {Config{Kernel: "/nonexistent"}, "/nonexistent"},
		"text for a kernel":      {Config{Kernel: kernel}, "text file"},
		"no such firmware":       {Config{Bios: "/nonexistent"}, "/nonexistent"},
		"no such initrd":         {Config{Bios: bios, Initrd: "/nonexistent"}, "/nonexistent"},
		"initrd over memory":     {Config{Bios: bios, Initrd: file(t, "initrd", make([]byte, 5<<20)), Memory: 4 << 20}, "--memory"},
		"text for a device tree": {Config{Bios: bios, DTB: kernel}, "device tree"},
		"no such file to add":    {Config{Bios: bios, Files: []File{{Host: "/nonexistent"}}}, "/nonexistent"},
		"no such disk":           {Config{Bios: bios, Disks: []Disk{{Path: disk}, {Path: "/nonexistent"}}}, "/nonexistent"},
		"a disk of odd size":     {Config{Bios: bios, Disks: []Disk{{Path: disk}, {Path: odd}}}, "512-byte sector"},
		"a disk twice":           {Config{Bios: bios, Disks: []Disk{{Path: disk}, {Path: disk}}}, "in use"},
		"a strange sector":       {Config{Bios: bios, Disks: []Disk{{Path: disk, Sector: 1024}}}, "sector=512"},
		"no such symbols":        {Config{Bios: bios, Symbols: []Symbols{{Path: "/nonexistent"}}}, "/nonexistent: no such file"},
		"text for symbols":       {Config{Bios: bios, Symbols: []Symbols{{Path: kernel}}}, "/proc/kallsyms"},
		"names without code":     {Config{Bios: bios, Engine: "interp", PerfMap: true}, "--engine jit"},
		"listings without code":  {Config{Bios: bios, Engine: "interp", DumpCode: &DumpCode{All: true, To: io.Discard}}, "--engine jit"},
		"too many disks":         {Config{Bios: bios, Disks: mmioDisks(disk, 9)}, "8 slots"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := New(c.cfg)
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			if s := err.Error(); !strings.Contains(s, c.want) || strings.Contains(s, "\n") {
				t.Errorf("%q: want one line with %q", s, c.want)
			}
		})
	}
	if after := openFiles(); after != before {
		t.Errorf("%d files were open before, %d are now", before, after)
	}
}

func mmioDisks(path string, n int) (list []Disk) {
	for range n {
		list = append(list, Disk{Path: path, ReadOnly: true, MMIO: true})
	}
	return list
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		value int64
		code  int
	}{{0x5555, 0}, {3<<16 | 0x3333, 3}, {300<<16 | 0x3333, 255}} {
		m, err := New(Config{Memory: 8 << 20, Bios: firmware(t, func(a *asm.Assembler) { finish(a, c.value) })})
		if err != nil {
			t.Fatal(err)
		}
		status, err := m.Run(t.Context())
		if err != nil || status.ExitCode != c.code {
			t.Errorf("%#x: %+v, %v, want %d", c.value, status, err, c.code)
		}
		if s := m.Stats(); s.Instructions == 0 || !strings.Contains(s.String(), "interp") {
			t.Errorf("stats: %v", s)
		}
		if _, err := m.Run(t.Context()); err == nil {
			t.Error("a second Run")
		}
		for range 2 {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// Two machines at once, each with its own input and output. The input is longer than the UART's FIFO.
func TestSerialConsole(t *testing.T) {
	bios := firmware(t, func(a *asm.Assembler) {
		a.Li(asm.T0, uart)
		a.Label("poll")
		a.Load(riscv.LBU, asm.T1, 5, asm.T0)
		a.I(riscv.ANDI, asm.T1, asm.T1, 1)
		a.B(riscv.BEQ, asm.T1, asm.Zero, "poll")
		a.Load(riscv.LBU, asm.T1, 0, asm.T0)
		a.Store(riscv.SB, asm.T1, 0, asm.T0)
		a.Li(asm.T2, '.')
		a.B(riscv.BNE, asm.T1, asm.T2, "poll")
		finish(a, 0x5555)
	})
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := strings.Repeat(name+" ", 8) + "."
			var out bytes.Buffer
			m, err := New(Config{Memory: 8 << 20, Bios: bios, Stdin: strings.NewReader(text), Stdout: &out})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if _, err := m.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if out.String() != text {
				t.Errorf("%d bytes came back of %d", out.Len(), len(text))
			}
		})
	}
}

// A guest that takes no input does not keep the host from reading it: the keys that end the machine are in there.
func TestInputIsReadWhenTheGuestHangs(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	quit := errors.New("quit key")
	keys := readerFunc(func(p []byte) (int, error) {
		cancel(quit)
		return 0, io.EOF
	})
	m, err := New(Config{
		Memory: 8 << 20, Bios: firmware(t, func(a *asm.Assembler) { a.Label("hang"); a.J("hang") }),
		Stdin: io.MultiReader(strings.NewReader("several keys that nobody takes"), keys),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := m.Run(ctx); err != quit {
		t.Errorf("Run: %v", err)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A disk is as it was when the machine fails or does not touch it.
func TestDisksAreNotTouched(t *testing.T) {
	data := bytes.Repeat([]byte("data"), 2048)
	disk := file(t, "disk", data)
	m, err := New(Config{
		Memory: 8 << 20, Bios: firmware(t, func(a *asm.Assembler) { a.Word(0) }), NoReboot: true,
		Disks: []Disk{{Path: disk}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "faults in a loop") {
		t.Errorf("Run: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(disk); err != nil || !bytes.Equal(got, data) {
		t.Errorf("the disk has changed (%v)", err)
	}
}

func TestDumpDTB(t *testing.T) {
	dtb := filepath.Join(t.TempDir(), "vm.dtb")
	bios := firmware(t, func(a *asm.Assembler) { finish(a, 0x5555) })
	for range 2 { // what one machine writes the other takes
		cfg := Config{Memory: 16 << 20, Bios: bios, DumpDTB: dtb}
		if _, err := os.Stat(dtb); err == nil {
			cfg.DTB, cfg.DumpDTB = dtb, ""
		}
		m, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Run(t.Context()); err != nil {
			t.Error(err)
		}
		m.Close()
	}
}

func TestControlPort(t *testing.T) {
	m, err := New(Config{Memory: 8 << 20, Bios: firmware(t, func(a *asm.Assembler) { finish(a, 0x5555) })})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	c := &control{m: m}
	for _, s := range []string{"", "\n", "exit\nexit x\nexit 999\n", strings.Repeat("long", 1000), "\n", "terminal\nex", "it 4", "2"} {
		if n, err := io.WriteString(c, s); n != len(s) || err != nil {
			t.Errorf("Write(%q) = %d, %v", s, n, err)
		}
		if m.verdict.Load() != nil {
			t.Fatalf("a verdict after %q", s)
		}
	}
	if len(c.line) > 256 {
		t.Errorf("%d bytes are kept", len(c.line))
	}
	io.WriteString(c, "\n")
	if v := m.verdict.Load(); v == nil || *v != 42 {
		t.Errorf("verdict %v", v)
	}
	// The power-off that follows does not make it a success.
	if status, err := m.Run(t.Context()); err != nil || status.ExitCode != 42 {
		t.Errorf("Run: %+v, %v", status, err)
	}
}
