package main

// The file system in an image, as e2fsprogs see it.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/vmproject/vm/internal/storage"
	"github.com/vmproject/vm/test/crash/plan"
)

// lookFiles looks at a raw copy of the disk. What the next mount would do is done first: the journal is replayed, and what was removed while it was open is freed. Then
// nothing may be left to mend, and each file is what it has to be.
func (d *disk) lookFiles(ctx context.Context) error {
	dir := filepath.Dir(d.path)
	raw, out := filepath.Join(dir, "copy"), filepath.Join(dir, "out")
	defer os.Remove(raw)
	defer os.RemoveAll(out)
	to := storage.CreateOptions{Path: raw, Format: storage.FormatRaw, Sector: d.sector, Replace: true}
	if _, err := storage.Convert(ctx, storage.Options{Path: d.path, Format: d.format}, to, false, nil); err != nil {
		return err
	}
	if err := tool(ctx, 1, "e2fsck", "-p", raw); err != nil { // 1: the journal was replayed
		return err
	}
	if err := tool(ctx, 0, "e2fsck", "-f", "-n", raw); err != nil {
		return err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	if err := tool(ctx, 0, "debugfs", "-R", "rdump /files "+out, raw); err != nil {
		return err
	}
	var wrong faults
	for slot := range int64(plan.Slots) {
		b, err := os.ReadFile(filepath.Join(out, "files", plan.FileName(slot)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := d.found(slot, readFile(d.plan, b)); err != nil {
			wrong.add("file %v", err)
		}
	}
	return wrong.err()
}

// readFile says what a file holds. One of no bytes is as good as none: the plan makes no such.
func readFile(p plan.Plan, b []byte) plan.Content {
	if len(b) == 0 {
		return plan.Nothing
	}
	if len(b) < p.Sector {
		return plan.Torn
	}
	c := p.Read(b[:p.Sector], 0)
	if c == plan.Nothing || c >= plan.Torn || int64(len(b)) != p.FileSectors(c)*int64(p.Sector) {
		return plan.Torn
	}
	for i := range p.FileSectors(c) {
		if p.Read(b[i*int64(p.Sector):(i+1)*int64(p.Sector)], i) != c {
			return plan.Torn
		}
	}
	return c
}
