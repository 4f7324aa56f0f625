package peer

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/userland"
)

// Guest is what the machines boot: the kernel, modules and busybox of an image of vm's.
type Guest struct {
	Kernel        string // a file, as all that follow
	KernelVersion string
	Busybox       string
	Modules       []Module // each after those it needs
}

// Module is a kernel module and those it needs.
type Module struct {
	Name, Path string
	Deps       []string
}

// FromImage is the guest of an image.
func FromImage(images *guestimage.Cache, image *guestimage.Manifest) (*Guest, error) {
	if image.Busybox == nil {
		return nil, fmt.Errorf("image %s has no busybox", image.Name)
	}
	g := &Guest{Kernel: images.BlobPath(image.Kernel), KernelVersion: image.KernelVersion, Busybox: images.BlobPath(*image.Busybox)}
	for _, m := range image.Modules {
		g.Modules = append(g.Modules, Module{m.Name, images.BlobPath(m.Blob), m.Deps})
	}
	return g, nil
}

// Archive is the initial file system that all others begin with: busybox and folders.
func (g *Guest) Archive() (*initramfs.Archive, error) {
	a := initramfs.New()
	for _, dir := range []string{"/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/mnt", "/root", "/bench"} {
		if err := a.Dir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	if err := a.HostFile(g.Busybox, "/bin/busybox", 0o755); err != nil {
		return nil, err
	}
	if err := a.Symlink("/bin/sh", "busybox"); err != nil {
		return nil, err
	}
	if err := a.Device("/dev/console", 0o600, 5, 1); err != nil {
		return nil, err
	}
	return a, a.Device("/dev/null", 0o666, 1, 3)
}

// Needed are modules and what they need, in the order to load them. What is not there is built into the kernel.
func (g *Guest) Needed(names ...string) []Module {
	var out []Module
	for _, m := range slices.Backward(g.Modules) {
		if slices.Contains(names, m.Name) {
			names = append(names, m.Deps...)
			out = append(out, m)
		}
	}
	slices.Reverse(out)
	return out
}

// DiskModules adds the modules for an ext4 file system on a disk as /bench/NAME.ko, and /bench/modules, which names them in order.
func (g *Guest) DiskModules(a *initramfs.Archive) error {
	var list strings.Builder
	for _, m := range g.Needed("virtio_blk", "ext4") {
		file := "/bench/" + m.Name + ".ko"
		fmt.Fprintln(&list, file)
		if err := a.Module(m.Path, file); err != nil {
			return err
		}
	}
	return a.File("/bench/modules", 0o644, []byte(list.String()))
}

// User is the initial file system that `vm run -- COMMAND` makes for itself, or `vm run` when there is no command.
func (g *Guest) User(command []string) (*initramfs.Archive, error) {
	a, err := g.Archive()
	if err != nil {
		return nil, err
	}
	for _, dir := range []string{"/sbin", "/run", userland.Dir, userland.ModulesDir} {
		if err := a.Dir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	var load strings.Builder
	for _, m := range g.Needed("virtio_console", "virtio_rng") {
		fmt.Fprintln(&load, m.Name)
		if err := a.Module(m.Path, path.Join(userland.ModulesDir, m.Name+".ko")); err != nil {
			return nil, err
		}
	}
	files := map[string][]byte{userland.LoadPath: []byte(load.String()), "/etc/passwd": []byte("root:x:0:0:root:/root:/bin/sh\n")}
	if len(command) > 0 {
		files[userland.CommandPath], files[userland.StdinPath] = userland.Command(command), nil
	}
	for name, data := range files {
		if err := a.File(name, 0o644, data); err != nil {
			return nil, err
		}
	}
	for name, script := range map[string][]byte{userland.InitPath: userland.Init, userland.RunPath: userland.Run} {
		if err := a.File(name, 0o755, script); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// PagingWord keeps Linux from using larger page tables than vm asks for by itself.
const PagingWord = "no4lvl"

// userArgs is the kernel command line that goes with User.
func userArgs(command []string) string {
	words := append([]string{PagingWord}, userland.KernelArgs(len(command) > 0, true)...)
	return strings.Join(words, " ")
}

// Write puts an archive into a file.
func Write(name string, a *initramfs.Archive) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := a.WriteTo(f); err != nil {
		return err
	}
	return f.Close()
}
