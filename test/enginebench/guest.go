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

	"github.com/vmproject/vm/internal/bench/peer"
	"github.com/vmproject/vm/internal/boot/initramfs"
)

// guest is everything that is the same for all machines.
type guest struct {
	*peer.Guest
	scratch    string // a folder that goes away at the end
	init, work string // compiled for the guest
	disk       string // Debian's programs; empty when nothing needs them
	bootInitrd string // an init that ends at once
	trueInitrd string // what `vm run -- true` makes for itself
}

// prepare makes what the groups need. What takes long is kept in the user's cache folder.
func prepare(ctx context.Context, groups []group, scratch string) (*guest, error) {
	base, dir, images, err := peer.Default(ctx, "vm-bench")
	if err != nil {
		return nil, err
	}
	g := &guest{Guest: base, scratch: scratch}
	if g.init, err = compile(ctx, dir, "init"); err != nil {
		return nil, err
	}
	if g.work, err = compile(ctx, dir, "work", "integer", "float", "control", "memory", "system"); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(benchmarks(groups), func(b *benchmark) bool { return b.kind == debian }) {
		if g.disk, err = peer.Disk(ctx, dir, images); err != nil {
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
	user, err := g.User([]string{"true"})
	if err != nil {
		return nil, err
	}
	g.trueInitrd, err = g.write("true.cpio", user)
	return g, err
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

// archive is the initial file system that those with the harness's own init begin with.
func (g *guest) archive() (*initramfs.Archive, error) {
	a, err := g.Archive()
	if err != nil {
		return nil, err
	}
	return a, a.HostFile(g.init, "/init", 0o755)
}

// write puts an archive into a file of the scratch folder.
func (g *guest) write(name string, a *initramfs.Archive) (string, error) {
	name = filepath.Join(g.scratch, name)
	return name, peer.Write(name, a)
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
	var list strings.Builder
	for _, b := range benchmarks {
		list.WriteString(b.line())
	}
	if disk {
		if err := g.DiskModules(a); err != nil {
			return "", err
		}
	}
	files["list"] = list.String()
	for name, text := range files {
		if err := a.File("/bench/"+name, 0o644, []byte(text)); err != nil {
			return "", err
		}
	}
	return g.write("programs.cpio", a)
}
