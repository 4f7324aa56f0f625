package main

// An image under test: made, looked into as a disk, and checked as a file.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/internal/storage/qcow2"
	"github.com/vmproject/vm/test/crash/plan"
)

const (
	diskBytes = 96 << 20
	baseBytes = 64 << 20 // a backing file is smaller than what stands on it
)

// disk is an image and what it has to hold.
type disk struct {
	kind
	*history
	path, base string
	lives      int // machines that were killed with it
}

// newDisk makes the image of a kind in an empty folder.
func newDisk(ctx context.Context, k kind, dir string, seed uint64) (*disk, error) {
	p := plan.Plan{Seed: seed, Sector: k.sector, Sectors: diskBytes / int64(k.sector), Unit: 1, Files: k.ext4}
	if !k.direct { // the guest writes whole pages
		p.Unit = 4096 / int64(k.sector)
	}
	d := &disk{kind: k, path: filepath.Join(dir, "disk."+k.format)}
	o := storage.CreateOptions{Path: d.path, Format: k.format, Size: diskBytes, Sector: k.sector, ClusterSize: k.cluster, Version: k.version}
	based := int64(0)
	if k.backing {
		d.base = filepath.Join(dir, "base")
		based = baseBytes / int64(k.sector)
		if err := writeBase(d.base, p, based); err != nil {
			return nil, err
		}
		o.Backing, o.BackingFormat = "base", storage.FormatRaw
	}
	d.history = newHistory(p, based)
	if !k.ext4 {
		_, err := storage.Create(o)
		return d, err
	}
	fs := filepath.Join(dir, "fs")
	if err := os.WriteFile(fs, nil, 0o644); err != nil {
		return nil, err
	}
	if err := os.Truncate(fs, diskBytes); err != nil {
		return nil, err
	}
	if err := tool(ctx, 0, "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-J", "size=4", fs); err != nil {
		return nil, err
	}
	o.Size = 0
	_, err := storage.Convert(ctx, storage.Options{Path: fs, Format: storage.FormatRaw}, o, false, nil)
	return d, errors.Join(err, os.Remove(fs))
}

// writeBase makes the backing file.
func writeBase(path string, p plan.Plan, sectors int64) error {
	b := make([]byte, sectors*int64(p.Sector))
	for i := range sectors {
		p.Fill(b[i*int64(p.Sector):(i+1)*int64(p.Sector)], plan.Base, i)
	}
	return os.WriteFile(path, b, 0o444)
}

// option is the image as an argument of vm run -d.
func (d *disk) option() string {
	return fmt.Sprintf("%s,format=%s,cache=%s,sector=%d", strings.ReplaceAll(d.path, ",", ",,"), d.format, d.cache, d.sector)
}

// look reads everything, and compares it with the history. A file system is looked at by its own tools, on a copy.
func (d *disk) look(ctx context.Context) error {
	if d.ext4 {
		return d.lookFiles(ctx)
	}
	return compare(storage.Options{Path: d.path, Format: d.format}, diskBytes, d.history)
}

// compare reads all sectors of an image of so many bytes, and compares them with a history.
func compare(o storage.Options, size int64, h *history) error {
	o.ReadOnly = true
	img, err := storage.Open(o)
	if err != nil {
		return err
	}
	defer img.Close()
	if img.Size() != size {
		return fmt.Errorf("the disk has %d bytes, and had %d", img.Size(), size)
	}
	var wrong faults
	sector := h.plan.Sector
	b := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(b)) {
		if err := img.ReadvAt([][]byte{b}, off); err != nil {
			return fmt.Errorf("reading at %d: %w", off, err)
		}
		for i := 0; i < len(b); i += sector {
			at := (off + int64(i)) / int64(sector)
			if err := h.found(at, h.plan.Read(b[i:i+sector], at)); err != nil {
				wrong.add("sector %v", err)
			}
		}
	}
	return wrong.err()
}

// check is the image's own check, by vm and by QEMU's qemu-img where there is one. It says how many clusters have leaked, which the format allows; anything else is an error.
func (d *disk) check(ctx context.Context, t tools) (leaks int, err error) {
	if d.format == storage.FormatRaw {
		st, err := os.Stat(d.path)
		if err == nil && st.Size() != diskBytes {
			err = fmt.Errorf("the image has %d bytes, and had %d", st.Size(), diskBytes)
		}
		return 0, err
	}
	// Status 1 is leaks, 2 is damage.
	out, status, err := output(ctx, t.vm, "disk", "check", "--json", "-f", d.format, d.path)
	if err != nil {
		return 0, err
	}
	var r qcow2.Result
	if status > 1 || json.Unmarshal(out, &r) != nil {
		return 0, fmt.Errorf("vm disk check: status %d: %s", status, out)
	}
	if t.qemuImg == "" {
		return r.Leaks, nil
	}
	// Status 3 is leaks, 2 is damage.
	if out, status, err = output(ctx, t.qemuImg, "check", "-q", "-f", d.format, d.path); err != nil {
		return 0, err
	}
	if want := map[bool]int{true: 3}[r.Leaks > 0]; status != want {
		return 0, fmt.Errorf("qemu-img check: status %d, and vm disk check found %d leaks: %s", status, r.Leaks, out)
	}
	return r.Leaks, nil
}

// repair mends leaks, after which the check must find nothing.
func (d *disk) repair(ctx context.Context, t tools) error {
	if err := tool(ctx, 0, t.vm, "disk", "check", "--repair", "leaks", "-f", d.format, d.path); err != nil {
		return err
	}
	if leaks, err := d.check(ctx, t); err != nil || leaks > 0 {
		return errors.Join(fmt.Errorf("%d leaks are left after a repair", leaks), err)
	}
	return nil
}

// end is what an image is asked when it is used no more: that its backing file was only read, and that QEMU reads the same in it.
func (d *disk) end(ctx context.Context, t tools) error {
	if d.base != "" {
		o := storage.Options{Path: d.base, Format: storage.FormatRaw}
		if err := compare(o, baseBytes, newHistory(d.plan, baseBytes/int64(d.sector))); err != nil {
			return fmt.Errorf("the backing file: %w", err)
		}
	}
	if d.format == storage.FormatRaw || d.ext4 || t.qemuImg == "" {
		return nil
	}
	raw := d.path + ".raw"
	defer os.Remove(raw)
	if err := tool(ctx, 0, t.qemuImg, "convert", "-f", d.format, "-O", "raw", d.path, raw); err != nil {
		return err
	}
	if err := compare(storage.Options{Path: raw, Format: storage.FormatRaw}, diskBytes, d.history); err != nil {
		return fmt.Errorf("as qemu-img reads it: %w", err)
	}
	return nil
}

// tools are the programs that look at images.
type tools struct {
	vm, qemuImg string // qemuImg is empty where there is none
}

// output runs a program that may end with any status.
func output(ctx context.Context, name string, args ...string) (out []byte, status int, err error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err = cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		err = nil
	}
	if err != nil {
		return out, 0, fmt.Errorf("%s: %w", name, err)
	}
	return out, cmd.ProcessState.ExitCode(), nil
}

// tool runs a program whose status must not be above most.
func tool(ctx context.Context, most int, name string, args ...string) error {
	out, status, err := output(ctx, name, args...)
	if err == nil && status > most {
		err = fmt.Errorf("%s: status %d: %s", name, status, strings.TrimSpace(string(out)))
	}
	return err
}
