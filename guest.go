package vm

// The guest's side of a machine that runs a command or a shell: what is added to its initial RAM file system, and the kernel
// command line that starts it.

import (
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/userland"
)

// usesUserland says whether the machine starts with the init of package userland: to run a command, or because there is
// nothing else to start.
func (cfg *Config) usesUserland() bool {
	return cfg.Guest != nil && cfg.Kernel != "" && (len(cfg.Command) > 0 || cfg.Initrd == "")
}

// terminalOnly says whether all input is for the guest's terminal, and waits for the guest to open it. Otherwise something else
// may want it on the serial port: firmware, another init that the user has chosen, or the shell under a kernel without the
// means for that terminal.
func (cfg *Config) terminalOnly() bool {
	return cfg.usesUserland() && cfg.Bios == "" && cfg.Kernel == cfg.Guest.Kernel && !slices.ContainsFunc(strings.Fields(cfg.Append), func(word string) bool {
		return strings.HasPrefix(word, "rdinit=")
	})
}

// mmuModes are the paging modes, and mmuWords what keeps Linux from using a larger one.
var (
	mmuModes = []string{"sv39", "sv48", "sv57"}
	mmuWords = map[string]string{"sv39": "no4lvl", "sv48": "no5lvl"}
)

// commandLine is the kernel's: what the user space needs, then the user's words, which win where a word may come twice.
func commandLine(cfg *Config) string {
	var words []string
	// The paging mode is chosen before the kernel can tell which of two words came last.
	given := strings.Fields(cfg.Append)
	if w := mmuWords[cfg.MMU]; w != "" && !slices.Contains(given, "no4lvl") && !slices.Contains(given, "no5lvl") {
		words = append(words, w)
	}
	if cfg.usesUserland() {
		words = append(words, userland.KernelArgs(len(cfg.Command) > 0, cfg.Kernel == cfg.Guest.Kernel)...)
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
	for _, dir := range []string{"/bin", "/sbin", "/etc", "/dev", "/proc", "/sys", "/tmp", "/run", "/root", "/mnt", userland.Dir, userland.ModulesDir} {
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
		{userland.RunPath, 0o755, userland.Run},
		{"/etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/bin/sh\n")},
		{"/etc/group", 0o644, []byte("root:x:0:\n")},
	}
	if len(cfg.Command) > 0 {
		files = append(files, file{userland.CommandPath, 0o644, userland.Command(cfg.Command)})
		if cfg.Stdin != nil {
			files = append(files, file{userland.StdinPath, 0o644, nil})
		}
	}
	index, err := addModules(a, cfg)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(index)) { // in the same order each time, so that a boot can be had again
		files = append(files, file{name, 0o644, []byte(index[name])})
	}
	for _, f := range files {
		if err := a.File(f.name, f.perm, f.data); err != nil {
			return err
		}
	}
	for _, link := range []struct{ name, target string }{{"/bin/sh", "busybox"}, {"/sbin/modprobe", "/bin/busybox"}} {
		if err := a.Symlink(link.name, link.target); err != nil {
			return err
		}
	}
	if err := a.Device("/dev/console", 0o600, 5, 1); err != nil {
		return err
	}
	return a.Device("/dev/null", 0o666, 1, 3)
}

// balloonModule is Linux's driver of a balloon, as a module.
const balloonModule = "virtio_balloon"

// addModules adds the kernel modules that this machine may have a use for, and returns the files that tell init which to load
// at once and modprobe what to load when the kernel asks: linking a file system into the kernel can take the guest seconds.
func addModules(a *initramfs.Archive, cfg *Config) (index map[string]string, err error) {
	atOnce := map[string]bool{"virtio_console": true, "virtio_rng": true, "virtio_blk": len(cfg.Disks) > 0, balloonModule: cfg.Balloon}
	for _, d := range cfg.Disks {
		atOnce["virtio_mmio"] = atOnce["virtio_mmio"] || d.MMIO
	}
	wanted := make(map[string]bool)
	var list []Module
	for _, m := range slices.Backward(cfg.Guest.Modules) { // dependencies come before their users
		if !wanted[m.Name] && !atOnce[m.Name] && (len(cfg.Disks) == 0 || m.Name == "virtio_mmio" || m.Name == balloonModule) {
			continue
		}
		for _, d := range m.Deps {
			wanted[d] = true
			atOnce[d] = atOnce[d] || atOnce[m.Name]
		}
		list = append(list, m)
	}
	if cfg.Balloon && len(cfg.Guest.Modules) > 0 && !slices.ContainsFunc(list, func(m Module) bool { return m.Name == balloonModule }) {
		cfg.Log.Warn("image " + cfg.Guest.Name + " has no module " + balloonModule + ": unless its kernel has that built in, no memory goes back to the host; vm image pull fetches it")
	}
	var load, deps, aliases strings.Builder
	for _, m := range slices.Backward(list) {
		file := m.Name + ".ko"
		if err := a.Module(m.Path, path.Join(userland.ModulesDir, file)); err != nil {
			return nil, err
		}
		if atOnce[m.Name] {
			fmt.Fprintln(&load, m.Name)
		}
		fmt.Fprintf(&deps, "%s:", file)
		for _, d := range m.Deps {
			fmt.Fprintf(&deps, " %s.ko", d)
		}
		fmt.Fprintln(&deps)
		for _, alias := range m.Aliases {
			fmt.Fprintf(&aliases, "alias %s %s\n", alias, m.Name)
		}
	}
	return map[string]string{
		userland.LoadPath: load.String(),
		path.Join(userland.ModulesDir, "modules.dep"):     deps.String(),
		path.Join(userland.ModulesDir, "modules.alias"):   aliases.String(),
		path.Join(userland.ModulesDir, "modules.symbols"): "",
		"/etc/filesystems": fileSystems(list),
	}, nil
}

// fileSystems lists what mount tries when it is not told the type.
func fileSystems(modules []Module) string {
	var b strings.Builder
	for _, m := range slices.Backward(modules) {
		for _, alias := range m.Aliases {
			if name, ok := strings.CutPrefix(alias, "fs-"); ok && name != "overlay" {
				fmt.Fprintln(&b, name)
			}
		}
	}
	return b.String()
}
