package main

// One kill after the other, and what was counted.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// lives is how many machines are killed with an image before a new one is made: where all of a disk has a place, tables change less.
const lives = 6

// world is what all kills share.
type world struct {
	seed    uint64
	verbose bool
	tools
	dir, guest string
}

// row is a kind, the image of it that lives now, and what was seen of all.
type row struct {
	kind
	disk   *disk
	dir    string // of the disk
	images int
	count
}

// count is what was seen.
type count struct {
	kills, early  int // early ones came before the first acknowledgement
	syncs, writes int // acknowledged
	leaky, leaks  int // kills that left leaked clusters, and how many clusters
	failed        int
}

// kill lets a machine live and die with the row's image, and looks at what it left.
func (w *world) kill(ctx context.Context, r *row, i int) error {
	rng := rand.New(rand.NewPCG(w.seed, uint64(i)))
	if r.disk == nil || r.disk.lives == lives {
		if err := w.retire(ctx, r); err != nil {
			return err
		}
		r.images++
		var err error
		if r.dir, err = os.MkdirTemp(w.dir, "image"); err != nil {
			return err
		}
		if r.disk, err = newDisk(ctx, r.kind, r.dir, rng.Uint64()); err != nil {
			return err
		}
	}
	d, end := r.disk, draw(rng)
	first := d.next
	acknowledged, err := live(ctx, w.vm, w.guest, d, end)
	if s, ok := errors.AsType[*stall](err); ok {
		err = errors.Join(err, os.WriteFile(filepath.Join(r.dir, "stall.txt"), []byte(s.goroutines), 0o644))
	}
	if err != nil {
		return err
	}
	d.lives++
	r.kills++
	if w.verbose {
		log.Printf("kill %d: %s, life %d, %d harts, batches %d to %d acknowledged", i+1, r.name, d.lives, end.harts, first, acknowledged)
	}
	r.writes += d.killed(acknowledged)
	if acknowledged < first {
		r.early++
	} else {
		r.syncs += int(acknowledged - first + 1)
	}
	about := func(err error) error {
		return fmt.Errorf("life %d with batches %d to %d acknowledged, -run '^%s$': %w", d.lives, first, acknowledged, r.name, err)
	}
	leaks, err := d.check(ctx, w.tools)
	if err != nil {
		return about(err)
	}
	if err := d.look(ctx); err != nil {
		return about(err)
	}
	if leaks == 0 {
		return nil
	}
	r.leaky, r.leaks = r.leaky+1, r.leaks+leaks
	if rng.IntN(2) == 0 { // the other half goes on with them
		return nil
	}
	if err := d.repair(ctx, w.tools); err != nil {
		return about(err)
	}
	if err := d.look(ctx); err != nil {
		return about(fmt.Errorf("after a repair: %w", err))
	}
	return nil
}

// retire ends the row's image, if it has one.
func (w *world) retire(ctx context.Context, r *row) error {
	d := r.disk
	if d == nil {
		return nil
	}
	r.disk = nil
	if err := d.end(ctx, w.tools); err != nil {
		return err
	}
	return os.RemoveAll(r.dir)
}

// tally is all rows.
type tally []*row

func (t tally) sum() (n count) {
	for _, r := range t {
		n.kills += r.kills
		n.early += r.early
		n.syncs += r.syncs
		n.writes += r.writes
		n.leaky += r.leaky
		n.leaks += r.leaks
		n.failed += r.failed
	}
	return n
}

func (n count) String() string {
	return fmt.Sprintf("%d fsyncs and %d operations acknowledged, %d failures", n.syncs, n.writes, n.failed)
}

// report prints the verdict by kind.
func (t tally) report(w io.Writer) {
	fmt.Fprintf(w, "%-26s%7s%7s%7s%9s%9s%7s%8s  %s\n", "", "images", "kills", "early", "fsyncs", "writes", "leaky", "leaks", "verdict")
	line := func(name string, images int, n count) {
		verdict := "ok"
		switch {
		case n.failed > 0:
			verdict = fmt.Sprintf("%d failed", n.failed)
		case n.kills == 0:
			verdict = "not tried"
		}
		fmt.Fprintf(w, "%-26s%7d%7d%7d%9d%9d%7d%8d  %s\n", name, images, n.kills, n.early, n.syncs, n.writes, n.leaky, n.leaks, verdict)
	}
	images := 0
	for _, r := range t {
		line(r.name, r.images, r.count)
		images += r.images
	}
	line("all", images, t.sum())
}
