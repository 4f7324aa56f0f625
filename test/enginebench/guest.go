package main

// What the machines boot: Debian's kernel of vm's default image, and initial file systems of the harness's own.

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vmproject/vm/internal/boot/initramfs"
	"github.com/vmproject/vm/internal/guestimage"
	"github.com/vmproject/vm/internal/userland"
)

// guest is everything that is the same for all machines.
type guest struct {
	scratch       string // a folder that goes away at the end
	kernel        string
	kernelVersion string
	busybox       string
	modules       []module // each after those it needs
	init, work    string   // compiled for the guest
	disk          string   // Debian's programs; empty when nothing needs them
	bootInitrd    string   // an init that ends at once
	trueInitrd    string   // what `vm run -- true` makes for itself
	trueArgs      string   // and its kernel command line
}

// module is a kernel module and those it needs.
type module struct {
	name, path string
	deps       []string
}

// prepare makes what the groups need. What takes long is kept in the user's cache folder.
func prepare(ctx context.Context, groups []group, scratch string) (*guest, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(user, "vm-bench")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	images, err := guestimage.Open("")
	if err != nil {
		return nil, err
	}
	image, err := images.Ensure(ctx, guestimage.DefaultName, guestimage.PullOptions{})
	if err != nil {
		return nil, err
	}
	if image.Busybox == nil {
		return nil, fmt.Errorf("image %s has no busybox", image.Name)
	}
	g := &guest{scratch: scratch, kernel: images.BlobPath(image.Kernel), kernelVersion: image.KernelVersion, busybox: images.BlobPath(*image.Busybox)}
	for _, m := range image.Modules {
		g.modules = append(g.modules, module{m.Name, images.BlobPath(m.Blob), m.Deps})
	}
	if g.init, err = compile(ctx, dir, "init"); err != nil {
		return nil, err
	}
	if g.work, err = compile(ctx, dir, "work", "integer", "float", "control", "memory", "system"); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(benchmarks(groups), func(b *benchmark) bool { return b.kind == debian }) {
		if g.disk, err = debianDisk(ctx, dir, images.Dir()); err != nil {
			return nil, fmt.Errorf("making the disk of Debian's programs: %w", err)
		}
	}
	boot, err := g.archive()
	if err != nil {
		return nil, err
	}
	if g.bootInitrd, err = g.write("boot.cpio", boot); err != nil {
		return nil, err
	}
	return g, g.makeTrue()
}

// compiler is Debian's cross compiler.
const compiler = "riscv64-linux-gnu-gcc"

// compile compiles guest/NAME.c with others into a static program in dir, unless it is there from the same sources.
func compile(ctx context.Context, dir, name string, others ...string) (string, error) {
	tmp, err := os.MkdirTemp(dir, "tmp")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	args := []string{"-O2", "-static", "-Wall", "-o", filepath.Join(tmp, name)}
	hash := sha256.New()
	for _, file := range append([]string{name, "work.h"}, others...) {
		if path.Ext(file) == "" {
			file += ".c"
			args = append(args, filepath.Join(tmp, file))
		}
		text, err := sources.ReadFile(path.Join("guest", file))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d %s", file, len(text), text)
		if err := os.WriteFile(filepath.Join(tmp, file), text, 0o644); err != nil {
			return "", err
		}
	}
	program := filepath.Join(dir, name+"-"+hex.EncodeToString(hash.Sum(nil)[:8]))
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	if err := command(ctx, tmp, compiler, append(args, "-lm")...); err != nil {
		return "", fmt.Errorf("%w (Debian's package gcc-riscv64-linux-gnu)", err)
	}
	return program, os.Rename(filepath.Join(tmp, name), program)
}

// command runs a program of the host in a folder; its output becomes part of the error.
func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, lastLines(string(out), 3))
	}
	return nil
}

// lastLines are the last n lines of s as one.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " / ")
}

// archive is the initial file system that all others begin with.
func (g *guest) archive() (*initramfs.Archive, error) {
	a := initramfs.New()
	for _, dir := range []string{"/bin", "/dev", "/etc", "/proc", "/sys", "/tmp", "/mnt", "/root", "/bench"} {
		if err := a.Dir(dir, 0o755); err != nil {
			return nil, err
		}
	}
	for _, f := range []struct{ host, name string }{{g.busybox, "/bin/busybox"}, {g.init, "/init"}} {
		if err := a.HostFile(f.host, f.name, 0o755); err != nil {
			return nil, err
		}
	}
	if err := a.Symlink("/bin/sh", "busybox"); err != nil {
		return nil, err
	}
	if err := a.Device("/dev/console", 0o600, 5, 1); err != nil {
		return nil, err
	}
	return a, a.Device("/dev/null", 0o666, 1, 3)
}

// write puts an archive into a file of the scratch folder.
func (g *guest) write(name string, a *initramfs.Archive) (string, error) {
	f, err := os.Create(filepath.Join(g.scratch, name))
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := a.WriteTo(f); err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// programs writes the initial file system that runs benchmarks.
func (g *guest) programs(benchmarks []*benchmark, disk bool) (string, error) {
	a, err := g.archive()
	if err != nil {
		return "", err
	}
	if err := a.HostFile(g.work, "/bench/work", 0o755); err != nil {
		return "", err
	}
	files, err := inputs(benchmarks)
	if err != nil {
		return "", err
	}
	var list, modules strings.Builder
	for _, b := range benchmarks {
		list.WriteString(b.line())
	}
	if disk {
		for _, m := range g.needed("virtio_blk", "ext4") {
			file := "/bench/" + m.name + ".ko"
			fmt.Fprintln(&modules, file)
			if err := a.Module(m.path, file); err != nil {
				return "", err
			}
		}
	}
	files["list"], files["modules"] = list.String(), modules.String()
	for name, text := range files {
		if err := a.File("/bench/"+name, 0o644, []byte(text)); err != nil {
			return "", err
		}
	}
	return g.write("programs.cpio", a)
}

// needed are modules and what they need, in the order to load them. What is not there is built into the kernel.
func (g *guest) needed(names ...string) []module {
	var out []module
	for _, m := range slices.Backward(g.modules) {
		if slices.Contains(names, m.name) {
			names = append(names, m.deps...)
			out = append(out, m)
		}
	}
	slices.Reverse(out)
	return out
}

// makeTrue writes what `vm run -- true` boots, as package vm makes it.
func (g *guest) makeTrue() error {
	a, err := g.archive()
	if err != nil {
		return err
	}
	for _, dir := range []string{"/sbin", "/run", userland.Dir, userland.ModulesDir} {
		if err := a.Dir(dir, 0o755); err != nil {
			return err
		}
	}
	var load strings.Builder
	for _, m := range g.needed("virtio_console", "virtio_rng") {
		fmt.Fprintln(&load, m.name)
		if err := a.Module(m.path, path.Join(userland.ModulesDir, m.name+".ko")); err != nil {
			return err
		}
	}
	for name, data := range map[string][]byte{
		userland.CommandPath: userland.Command([]string{"true"}),
		userland.StdinPath:   nil,
		userland.LoadPath:    []byte(load.String()),
		"/etc/passwd":        []byte("root:x:0:0:root:/root:/bin/sh\n"),
	} {
		if err := a.File(name, 0o644, data); err != nil {
			return err
		}
	}
	for name, script := range map[string][]byte{userland.InitPath: userland.Init, userland.RunPath: userland.Run} {
		if err := a.File(name, 0o755, script); err != nil {
			return err
		}
	}
	g.trueArgs = "earlycon=sbi rdinit=" + userland.InitPath + " panic=-1 quiet"
	g.trueInitrd, err = g.write("true.cpio", a)
	return err
}
