package vm

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/engine/riscv/asm"
	"github.com/vmproject/vm/internal/userland"
)

func TestSetBalloon(t *testing.T) {
	const memory = 8 << 20
	bios := firmware(t, func(a *asm.Assembler) { finish(a, 0x5555) })
	for _, c := range []struct {
		balloon bool
		bytes   uint64
		want    string // in the error; empty: none
	}{
		{true, 0, ""},
		{true, 4096, ""},
		{true, memory, ""},
		{true, memory + 4096, "8 MiB"},
		{true, 1 << 63, "8 MiB"},
		{true, 4097, "multiples of 4096"},
		{false, 0, "Config.Balloon"},
	} {
		m, err := New(Config{Memory: memory, Bios: bios, Balloon: c.balloon})
		if err != nil {
			t.Fatal(err)
		}
		err = m.SetBalloon(c.bytes)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%d bytes: %v", c.bytes, err)
		}
		if _, err := m.Run(t.Context()); err != nil {
			t.Error(err)
		}
		if n := m.Balloon(); n != 0 {
			t.Errorf("%d bytes are given by a guest without a driver", n)
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The driver of a balloon is loaded where there is one, and is not even there otherwise.
func TestBalloonModule(t *testing.T) {
	for _, c := range []struct {
		balloon, disk bool
	}{{false, false}, {true, false}, {false, true}, {true, true}} {
		cfg := Config{Balloon: c.balloon, Guest: &Guest{Modules: []Module{
			{Name: "virtio_balloon", Path: file(t, "balloon.ko", []byte("\x7fELF"))},
			{Name: "ext4", Path: file(t, "ext4.ko", []byte("\x7fELF"))},
		}}}
		if c.disk {
			cfg.Disks = []Disk{{Path: "memory:1M"}}
		}
		index, err := addModules(initramfs.New(), &cfg)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(index[userland.LoadPath], "virtio_balloon"); got != c.balloon {
			t.Errorf("%+v: loaded %v", c, got)
		}
		if got := strings.Contains(index["/lib/modules/vm/modules.dep"], "virtio_balloon"); got != c.balloon {
			t.Errorf("%+v: there %v", c, got)
		}
	}
}

// An image without the driver is no error, and one line of warning.
func TestBalloonWithoutModule(t *testing.T) {
	for _, balloon := range []bool{false, true} {
		var log bytes.Buffer
		cfg := Config{Balloon: balloon, Log: slog.New(slog.NewTextHandler(&log, nil)), Guest: &Guest{Name: "old", Modules: []Module{
			{Name: "virtio_rng", Path: file(t, "rng.ko", []byte("\x7fELF"))},
		}}}
		if _, err := addModules(initramfs.New(), &cfg); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(log.String(), "virtio_balloon") && strings.Count(log.String(), "\n") == 1; warned != balloon {
			t.Errorf("balloon %v: log %q", balloon, log.String())
		}
	}
}
