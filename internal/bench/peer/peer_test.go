package peer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script is an executable shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestFind(t *testing.T) {
	program := script(t, "echo 'QEMU emulator version 7.2.22 (Debian 1:7.2)'; echo Copyright")
	if got, err := find(t.Context(), program); err != nil || got != (Found{program, "7.2.22"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for name, tt := range map[string]struct{ program, want string }{
		"absent":       {"/no/such/qemu", "qemu-system-riscv64 is not on PATH"},
		"fails":        {script(t, "echo cannot load library >&2; exit 127"), "--version: exit status 127; it said: cannot load library"},
		"other":        {script(t, "echo hello"), "does not name QEMU's version; it said: hello"},
		"says nothing": {script(t, ""), "does not name QEMU's version; it said nothing"},
	} {
		if _, err := find(t.Context(), tt.program); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
	}
}

// Both machines get the same kernel, initial file system, command line, memory and disk.
func TestBootArguments(t *testing.T) {
	b := Boot{Kernel: "/k", Initrd: "/i", Append: "a b", Disk: "/d,1"}
	for _, tt := range []struct {
		machine *Machine
		want    string
	}{
		{VM("vm", "", "", 256), "vm run -m 256M -k /k -i /i -a|a b|--no-reboot -d /d,,1,snapshot"},
		{VM("vm", "jit", "keep=off", 256), "vm run -m 256M --engine jit --jit keep=off -k /k -i /i -a|a b|--no-reboot -d /d,,1,snapshot"},
		{QEMU("q", 256), "q -M virt -smp 1 -m 256 -display none -monitor none -no-reboot -serial stdio -kernel /k -initrd /i -append|a b|" +
			"-drive if=none,id=disk,format=raw,snapshot=on,file=/d,,1 -device virtio-blk-pci,drive=disk"},
	} {
		var want []string
		for i, part := range strings.Split(tt.want, "|") {
			if i == 1 {
				want = append(want, part)
			} else {
				want = append(want, strings.Fields(part)...)
			}
		}
		if got := tt.machine.Boot(b); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func start(t *testing.T, text string) *Process {
	t.Helper()
	p, err := Start([]string{script(t, text)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestProcess(t *testing.T) {
	p := start(t, "echo first; while read -r line; do echo \"<$line>\"; done; exit 3")
	for _, line := range []string{"one", "two"} {
		if err := p.Send(line + "\n"); err != nil {
			t.Fatal(err)
		}
		got, at, err := p.Line(t.Context(), time.Minute, "<")
		if got != line+">" || err != nil || at.Before(p.Began()) {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := p.Wait(t.Context(), 20*time.Millisecond); err != nil {
		t.Error(err)
	}
	if _, _, err := p.Line(t.Context(), 20*time.Millisecond, "<"); !errors.Is(err, errSilent) || !strings.HasSuffix(err.Error(), "it said: first / <one> / <two>") {
		t.Error(err)
	}
	p.stdin.Close()
	if _, err := p.End(t.Context(), time.Minute); !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "exit status 3") {
		t.Error(err)
	}
	if err := p.Wait(t.Context(), time.Minute); !errors.Is(err, errEnded) {
		t.Error(err)
	}
}

func TestStartFails(t *testing.T) {
	if p, err := Start([]string{"/no/such/machine"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(p, err)
	}
}

// A machine that ignores the signal to end is killed, and so is what it has started; the caller's patience is his context's.
func TestClose(t *testing.T) {
	defer func(d time.Duration) { patience = d }(patience)
	patience = 100 * time.Millisecond
	for name, text := range map[string]string{
		"obedient":  "echo up $$; exec sleep 1000",
		"stubborn":  "trap '' TERM; echo up $$; while :; do sleep 1; done",
		"a wrapper": "(trap '' TERM; echo up $$; while :; do sleep 1; done) & wait",
		"gone":      "echo up $$",
	} {
		t.Run(name, func(t *testing.T) {
			p := start(t, text)
			if _, _, err := p.Line(t.Context(), time.Minute, "up "); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			if _, err := p.End(ctx, time.Minute); name != "gone" && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			p.Close()
			for range 1000 { // whoever inherits what is dead may take its time
				if err := syscall.Kill(-p.PID(), 0); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Error("something is left")
		})
	}
}
