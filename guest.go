package vm

// The guest's side of a machine that runs a command or a shell: what is added to its initial RAM file system, and the kernel
// command line that starts it.

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/userland"
)

// usesUserland says whether the machine starts with the init of package userland: to run a command, or because there is
// nothing else to start.
func (cfg *Config) usesUserland() bool {
	return cfg.Guest != nil && cfg.Kernel != "" && (len(cfg.Command) > 0 || cfg.Initrd == "")
}

// commandLine is the kernel's: what the user space needs, then the user's words, which win.
func commandLine(cfg *Config) string {
	var words []string
	if cfg.usesUserland() {
		// A kernel that panics resets the machine, which is how the board learns of it; the early console lets it say why even
		// before it has found the serial port.
		words = append(words, "earlycon=sbi", "rdinit="+userland.InitPath, "panic=-1")
		if len(cfg.Command) > 0 {
			words = append(words, "quiet")
		}
	}
	if cfg.Append != "" {
		words = append(words, cfg.Append)
	}
	return strings.Join(words, " ")
}

// userArchive is what is put into the guest's initial RAM file system; nil when there is nothing.
func userArchive(cfg *Config) (*initramfs.Archive, error) {
	if !cfg.usesUserland() && len(cfg.Files) == 0 {
		return nil, nil
	}
	a := initramfs.New()
	if cfg.usesUserland() {
		if err := addUserland(a, cfg); err != nil {
			return nil, fmt.Errorf("making the guest's initial file system: %w", err)
		}
	}
	for _, f := range cfg.Files {
		to := f.Guest
		if to == "" {
			abs, err := filepath.Abs(f.Host)
			if err != nil {
				return nil, fmt.Errorf("file %s: %w", f.Host, err)
			}
			to = "/" + filepath.Base(abs)
		}
		if !path.IsAbs(to) {
			return nil, fmt.Errorf("file %s: the guest's path %q is not absolute", f.Host, to)
		}
		if err := a.AddHost(f.Host, to); err != nil {
			return nil, err
		}
	}
	return a, nil
}

func addUserland(a *initramfs.Archive, cfg *Config) error {
	for _, dir := range []string{"/bin", "/sbin", "/etc", "/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/mnt", "/.vm"} {
		if err := a.Dir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := a.HostFile(cfg.Guest.Busybox, "/bin/busybox", 0o755); err != nil {
		return err
	}
	type file struct {
		name string
		perm uint32
		data []byte
	}
	files := []file{
		{userland.InitPath, 0o755, userland.Init},
		{"/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n")},
		{"/etc/group", 0o644, []byte("root:x:0:\n")},
	}
	if len(cfg.Command) > 0 {
		files = append(files, file{userland.CommandPath, 0o644, userland.Command(cfg.Command)})
		if cfg.Stdin != nil {
			files = append(files, file{userland.StdinPath, 0o644, nil})
		}
	}
	var names strings.Builder
	for _, m := range neededModules(cfg) {
		name := m.Name + ".ko"
		if err := a.Module(m.Path, path.Join(userland.Dir, name)); err != nil {
			return err
		}
		fmt.Fprintln(&names, name)
	}
	files = append(files, file{userland.ModulesPath, 0o644, []byte(names.String())})
	for _, f := range files {
		if err := a.File(f.name, f.perm, f.data); err != nil {
			return err
		}
	}
	if err := a.Symlink("/bin/sh", "busybox"); err != nil {
		return err
	}
	if err := a.Device("/dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	return a.Device("/dev/null", 0o666, 1, 3)
}

// neededModules is what this machine's devices need, in load order. A kernel that has one built in has no such module.
func neededModules(cfg *Config) []Module {
	wanted := map[string]bool{"virtio_console": true, "virtio_rng": true}
	for _, d := range cfg.Disks {
		wanted["virtio_blk"], wanted["ext4"] = true, true
		if d.MMIO {
			wanted["virtio_mmio"] = true
		}
	}
	var list []Module
	for i := len(cfg.Guest.Modules) - 1; i >= 0; i-- { // dependencies come before their users: walk back
		m := cfg.Guest.Modules[i]
		if !wanted[m.Name] {
			continue
		}
		for _, d := range m.Deps {
			wanted[d] = true
		}
		list = append([]Module{m}, list...)
	}
	return list
}
