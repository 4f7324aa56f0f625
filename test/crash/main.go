// Command crash kills machines. A guest writes to its disk by a plan and calls fsync after every few writes; the vm process is killed with SIGKILL at a random moment; then each
// sector has to hold what the plan's last acknowledged write put there, or what the one batch that was under way did, never anything older and nothing torn, and the image has to
// pass its check. The next machine goes on with the same image, as a disk lives, and some machines later the image is looked at by qemu-img, and a new one is made.
//
//	make crash                              # 200 kills, in turn over all kinds of images
//	make crash ARGS='-kills 20 -run ext4'   # some of it
//	make crash ARGS='-seed 7'               # the plans and the doom of an earlier run
//
// Images are raw and qcow2, for both sizes of sectors, with and without a backing file, in three cache modes. The guest writes sectors past its page cache, pages by way of it, or
// files of ext4, of which each has to be whole after the journal is replayed, and e2fsck has to find nothing: see kinds.go.
//
// What it shows and what not: the host's kernel survives, and with it its page cache, so all that the process had written is there. What is killed is everything that the process
// held back, as tables of a qcow2 image in memory, and everything that it did half: so this is about the order and the completeness of the process's own writes, and about
// acknowledging what it had not written. That a write reaches the medium in time is about a loss of power, which the tests of internal/storage/qcow2 play through at each call
// to the host (TestCrash), with what was not synced lost.
//
// A seed fixes what is written and how long is waited, but no seed fixes the moment at which a process dies. Debian's package e2fsprogs is needed; without qemu-utils images
// are checked by vm alone, which is said. The exit status is 1 when anything was wrong; the image is kept then, and its name printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	vm    string
	kills int
	seed  uint64
	dir   string // for images; empty: the system's temporary folder
	each  bool   // say something of each kill
	run   *regexp.Regexp
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("crash: ")
	o := options{run: regexp.MustCompile("")}
	flag.StringVar(&o.vm, "vm", "bin/vm", "the vm `binary`")
	flag.IntVar(&o.kills, "kills", 200, "machines to kill")
	flag.Uint64Var(&o.seed, "seed", 0, "seed of plans and moments; 0: another each time")
	flag.StringVar(&o.dir, "dir", "", "the `folder` for images; empty: the system's for temporary files")
	flag.BoolVar(&o.each, "v", false, "say something of each kill")
	flag.Func("run", "only kinds whose name matches the `pattern`", func(s string) (err error) {
		o.run, err = regexp.Compile(s)
		return err
	})
	flag.Parse()
	if flag.NArg() > 0 || o.kills < 1 {
		flag.Usage()
		os.Exit(2)
	}
	if o.seed == 0 {
		o.seed = rand.Uint64()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin") // where Debian has e2fsprogs, and users do not look
	if err = errors.Join(err, run(ctx, o)); err != nil {
		stop()
		log.Fatal(err)
	}
}

func run(ctx context.Context, o options) (err error) {
	scratch, err := os.MkdirTemp(o.dir, "crash")
	if err != nil {
		return err
	}
	var t tally
	defer func() {
		if t.sum().failed == 0 {
			err = errors.Join(err, os.RemoveAll(scratch))
		}
	}()
	for _, k := range kinds {
		if o.run.MatchString(k.name) {
			t = append(t, &row{kind: k})
		}
		if !k.ext4 || !o.run.MatchString(k.name) {
			continue
		}
		for _, name := range []string{"mke2fs", "e2fsck", "debugfs"} {
			if _, err := exec.LookPath(name); err != nil {
				return fmt.Errorf("%w: Debian's package e2fsprogs has it; -run 'raw|64K|4K|v2' leaves file systems out", err)
			}
		}
	}
	if len(t) == 0 {
		return errors.New("no kind has a name that matches -run")
	}
	guest := filepath.Join(scratch, "guest")
	if err := build(ctx, guest); err != nil {
		return err
	}
	w := &world{seed: o.seed, verbose: o.each, dir: scratch, guest: guest, tools: tools{vm: o.vm}}
	if w.qemuImg, err = exec.LookPath("qemu-img"); err != nil {
		log.Print("qemu-img is missing: images are checked by vm alone; Debian's package qemu-utils has it")
	}
	log.Printf("seed %d, %d kills, %d kinds of images", o.seed, o.kills, len(t))
	began := time.Now()
	for i := range o.kills {
		r := t[i%len(t)]
		if err := w.kill(ctx, r, i); err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted")
			}
			r.failed++
			log.Printf("kill %d, %s: %v; the image is kept in %s", i+1, r.name, err, r.dir)
			r.disk = nil // it stays where it is
		}
		if (i+1)%10 == 0 || i+1 == o.kills {
			log.Printf("%d of %d kills, %s: %s", i+1, o.kills, time.Since(began).Round(time.Second), t.sum())
		}
	}
	for _, r := range t {
		if err := w.retire(ctx, r); err != nil {
			r.failed++
			log.Printf("%s: %v; the image is kept in %s", r.name, err, r.dir)
		}
	}
	t.report(os.Stdout)
	if n := t.sum().failed; n > 0 {
		return fmt.Errorf("%d failures with seed %d", n, o.seed)
	}
	return nil
}

// build makes the guest's program.
func build(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "github.com/vmproject/vm/test/crash/guest")
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=riscv64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the guest's program: %w: %s", err, out)
	}
	return nil
}
