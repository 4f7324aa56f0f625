//go:build linux

// Command guest runs in the machine that is going to be killed. It follows a plan on the disk /dev/vda, and says "synced N" on its standard output after the
// fsync of batch N has returned, never before, and begins with batch N+1 when the host has answered with a byte: so a host whose last line was N knows that N+1 may be under way,
// and nothing after it.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"

	"github.com/vmproject/vm/test/crash/plan"
)

const (
	device  = "/dev/vda"
	writers = 4
	longest = 256 << 10 // bytes of a write, at most
)

func main() {
	var p plan.Plan
	p.AddFlags(flag.CommandLine)
	from := flag.Uint64("from", 1, "number of the first `batch`")
	direct := flag.Bool("direct", false, "write past the guest's page cache (O_DIRECT)")
	flag.Parse()
	follow := onDisk
	if p.Files {
		follow = inFiles
	}
	if err := follow(p, *from, *direct); err != nil {
		fmt.Fprintln(os.Stderr, "guest:", err)
		os.Exit(1)
	}
}

// say acknowledges a batch, and waits for the answer: Linux lets a write to a port of the console return before the host has taken it.
func say(b uint64) error {
	if _, err := os.Stdout.WriteString("synced " + strconv.FormatUint(b, 10) + "\n"); err != nil {
		return err
	}
	var answer [1]byte
	_, err := os.Stdin.Read(answer[:])
	return err
}

// onDisk follows the plan on the disk itself until the machine ends.
func onDisk(p plan.Plan, from uint64, direct bool) error {
	flags := os.O_RDWR
	if direct {
		flags |= syscall.O_DIRECT
	}
	f, err := os.OpenFile(device, flags, 0)
	if err != nil {
		return err
	}
	var buffers [writers][]byte // O_DIRECT wants them aligned
	for i := range buffers {
		if buffers[i], err = syscall.Mmap(-1, 0, longest, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
			return err
		}
	}
	for b := from; ; b++ {
		if err := atOnce(p, p.Batch(b), f, &buffers); err != nil {
			return fmt.Errorf("batch %d: %w", b, err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("batch %d: %w", b, err)
		}
		if err := say(b); err != nil {
			return err
		}
	}
}

// atOnce does the operations of a batch, some at the same time.
func atOnce(p plan.Plan, ops []plan.Op, f *os.File, buffers *[writers][]byte) error {
	work := make(chan plan.Op, len(ops))
	for _, op := range ops {
		work <- op
	}
	close(work)
	var errs [writers]error
	var done sync.WaitGroup
	for i := range writers {
		done.Go(func() {
			for op := range work {
				errs[i] = errors.Join(errs[i], do(p, op, f, buffers[i]))
			}
		})
	}
	done.Wait()
	return errors.Join(errs[:]...)
}

// From the kernel's fs.h and falloc.h.
const (
	blkDiscard        = 0x1277
	fallocKeepSize    = 0x01
	fallocPunchHole   = 0x02
	fallocZeroRange   = 0x10
	punchHoleKeepSize = fallocPunchHole | fallocKeepSize
	zeroRangeKeepSize = fallocZeroRange | fallocKeepSize
)

func do(p plan.Plan, op plan.Op, f *os.File, buffer []byte) error {
	off, n := op.First*int64(p.Sector), op.Count*int64(p.Sector)
	var err error
	switch op.Kind {
	case plan.Write:
		buffer = buffer[:n]
		for i := range op.Count {
			p.Fill(buffer[i*int64(p.Sector):(i+1)*int64(p.Sector)], op.To, op.First+i)
		}
		_, err = f.WriteAt(buffer, off)
	case plan.Zero:
		err = syscall.Fallocate(int(f.Fd()), zeroRangeKeepSize, off, n)
	case plan.Punch:
		err = syscall.Fallocate(int(f.Fd()), punchHoleKeepSize, off, n)
	case plan.Discard:
		err = ioctlRange(f, blkDiscard, off, n)
	}
	if err != nil {
		return fmt.Errorf("%v of %d bytes at %d: %w", op.Kind, n, off, err)
	}
	return nil
}
