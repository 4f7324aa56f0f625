//go:build linux

package main

// Files of an ext4 file system, each replaced or removed as a whole, in the way that POSIX has for it: what is new is written under another name and made durable, then
// renamed, and then the folder is made durable.

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/vmproject/vm/test/crash/plan"
)

const mountPoint = "/mnt"

// inFiles follows the plan in the file system that the disk holds.
func inFiles(p plan.Plan, from uint64, _ bool) error {
	if err := syscall.Mount(device, mountPoint, "ext4", 0, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", device, err)
	}
	folder := filepath.Join(mountPoint, "files")
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(folder)
	if err != nil {
		return err
	}
	for b := from; ; b++ {
		for _, op := range p.Batch(b) {
			if err := replace(p, op, folder); err != nil {
				return fmt.Errorf("batch %d: %w", b, err)
			}
		}
		if err := dir.Sync(); err != nil {
			return fmt.Errorf("batch %d: %w", b, err)
		}
		if err := say(b); err != nil {
			return err
		}
	}
}

func replace(p plan.Plan, op plan.Op, folder string) error {
	name := filepath.Join(folder, plan.FileName(op.First))
	if op.Kind != plan.Write {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	text := make([]byte, p.FileSectors(op.To)*int64(p.Sector))
	for i := range p.FileSectors(op.To) {
		p.Fill(text[i*int64(p.Sector):(i+1)*int64(p.Sector)], op.To, i)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
