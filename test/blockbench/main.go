// Command blockbench measures disks in a guest: dd and Debian's fio, in vm and in QEMU's qemu-system-riscv64 with the same kernel, files and image, on one hart,
// and vm's disks with sectors of 512 and of 4096 bytes. Or it has fio verify what it wrote, over every kind of image and both sizes.
//
//	make bench-block                       # everything, three rounds
//	make bench-block ARGS='-run qd32 -n 5' # some of it
//	make fio                               # fio --verify
//
// Both machines are up all the time, and take turns row by row: of two idle guests none disturbs the other, and a host that is slow for a minute is slow
// for both. It needs Debian's packages e2fsprogs and qemu-system-misc, and vm's default image; Debian's fio for riscv64 comes by apt, once, into
// the folder vm-block of the user's cache folder. Images are files in -dir, read once before anything is measured, so that they are in the host's page cache.
//
// The exit status is 1 when something failed. A floor that is missed is only shown.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/vmproject/vm/test/internal/comparison"
)

// options are the flags.
type options struct {
	comparison.Options
	vm            string
	base          string // another vm in QEMU's place
	dir           string // for images; empty: the system's temporary folder
	seconds       int
	verify, quick bool
}

func main() {
	var o options
	flag.StringVar(&o.vm, "vm", "bin/vm", "the vm `binary`")
	flag.StringVar(&o.base, "base", "", "another vm `binary` to compare with, in place of QEMU")
	flag.StringVar(&o.dir, "dir", "", "the `folder` for images; empty: the system's for temporary files")
	flag.IntVar(&o.seconds, "s", 2, "`seconds` of one measurement with fio")
	flag.BoolVar(&o.verify, "verify", false, "have fio verify what it writes, instead of measuring")
	flag.BoolVar(&o.quick, "quick", false, "with -verify: a few MiB of each")
	comparison.Main("blockbench", 512, &o.Options, func(ctx context.Context) error { return run(ctx, o) })
}

func run(ctx context.Context, o options) error {
	scratch, err := os.MkdirTemp(o.dir, "blockbench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	g, err := prepare(ctx, scratch)
	if err != nil {
		return err
	}
	if o.verify {
		return verify(ctx, o, g)
	}
	work := selected(rows(o.seconds), o.Run)
	if len(work) == 0 {
		return errors.New("no row has a name that matches -run")
	}
	failed, err := compare(ctx, o, g, work)
	if err != nil {
		return err
	}
	fmt.Printf("rounds %d; %d MiB, one hart; kernel %s\n\n", o.Rounds, o.Memory, g.KernelVersion)
	report(os.Stdout, work)
	if failed > 0 {
		return fmt.Errorf("%d measurements failed", failed)
	}
	return nil
}
