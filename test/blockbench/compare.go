package main

// The measurements, turn and turn about, and the table of them.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/vmproject/vm/internal/bench/peer"
)

// compare measures all rows. The error is for what makes that impossible.
func compare(ctx context.Context, o options, g *guest, work []*row) (failed int, err error) {
	var sessions []*session
	defer func() {
		for _, s := range sessions {
			s.close()
		}
	}()
	machines := []*peer.Machine{peer.VM(o.vm, o.Engine, "", o.Memory)}
	switch {
	case o.base != "":
		base := peer.VM(o.base, o.Engine, "", o.Memory)
		base.Name = "base"
		machines = append(machines, base)
	case o.QEMU != "":
		path, err := exec.LookPath(o.QEMU)
		if err != nil {
			return 0, fmt.Errorf("%w: it is in Debian's package qemu-system-misc; -qemu '' leaves it out", err)
		}
		machines = append(machines, peer.QEMU(path, o.Memory))
	}
	for _, m := range machines {
		var disks []peer.RawDisk
		wanted := []peer.RawDisk{{Sector: 512}, {Sector: 4096}, {Sector: 4096}, {Sector: 512}}
		if slices.ContainsFunc(work, func(r *row) bool { return r.none }) { // not every file system has it
			wanted = append(wanted, peer.RawDisk{Sector: 512, Cache: "none"})
		}
		for i, d := range wanted {
			if d.Path, err = newImage(filepath.Join(g.scratch, fmt.Sprintf("%s-%d", m.Name, i)), imageBytes); err != nil {
				return 0, err
			}
			disks = append(disks, d)
		}
		s, err := g.boot(ctx, m, disks)
		if err != nil {
			return 0, err
		}
		sessions = append(sessions, s)
	}
	for round := range o.Rounds {
		for _, r := range work {
			if err := r.measure(ctx, sessions, round); err != nil {
				if ctx.Err() != nil {
					return 0, errors.New("interrupted")
				}
				r.err = err
				failed++
			}
			log.Printf("round %d of %d: %s: %s", round+1, o.Rounds, r.name, number(r.ratio()))
		}
	}
	return failed, nil
}

// measure measures both subjects of a row once; which is first changes, and which pair of disks it is.
func (r *row) measure(ctx context.Context, sessions []*session, round int) error {
	type subject struct {
		s      *session
		disk   string
		sector int
		to     *[]float64
	}
	pair := (round + 1) / 2 % 2
	disk := disk512[0]
	if r.none {
		disk = diskNone
	}
	subjects := []subject{{sessions[0], disk, 512, &r.ours}}
	if r.sectors {
		subjects = []subject{{sessions[0], disk4096[pair], 4096, &r.ours}, {sessions[0], disk512[pair], 512, &r.others}}
	} else if len(sessions) > 1 {
		subjects = append(subjects, subject{sessions[1], disk, 512, &r.others})
	}
	if round%2 == 1 {
		slices.Reverse(subjects)
	}
	for _, u := range subjects {
		out, err := u.s.do(ctx, r.on(u.disk, u.sector))
		if err != nil {
			return err
		}
		v, err := r.read(out)
		if err != nil {
			return err
		}
		*u.to = append(*u.to, v)
	}
	return nil
}

// ratio is that of the medians; NaN without a pair of them.
func (r *row) ratio() float64 { return median(r.ours) / median(r.others) }

// median is the middle one, or the mean of the middle two; NaN of nothing.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func number(v float64) string {
	if math.IsNaN(v) {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}

// report prints the table: rates of the two subjects a second, bytes in MiB.
func report(w io.Writer, work []*row) {
	fmt.Fprintf(w, "%-24s%12s%12s%9s%8s\n", "", "vm", "other", "ratio", "floor")
	for _, r := range work {
		unit, verdict := "MiB/s", "ok"
		scale := float64(1 << 20)
		if median(r.ours) < 1e6 || r.floor == 4 {
			unit, scale = "/s", 1
		}
		switch ratio := r.ratio(); {
		case r.err != nil:
			verdict = r.err.Error()
		case math.IsNaN(ratio) || r.floor == 0:
			verdict = ""
		case ratio < r.floor:
			verdict = "below"
		}
		other := "the other"
		if r.sectors {
			other = "512"
		}
		fmt.Fprintf(w, "%-24s%12.0f%12.0f%9s%8.1f  %s against %s  %s\n", r.name, median(r.ours)/scale, median(r.others)/scale, number(r.ratio()), r.floor, unit, other, verdict)
	}
}
