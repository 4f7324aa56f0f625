package main

// The rows: what is measured, on which disk, and what is expected of it.

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// row is a figure of two subjects, the higher the better, whose ratio has a floor: vm and QEMU on the same disk, or vm's disk with sectors of 4096 bytes and the one with
// 512.
type row struct {
	name  string
	floor float64
	read  func(out string) (float64, error) // the figure in what the command prints
	// The command on a disk; with sectors, it runs in vm only, on both disks.
	command string
	sectors bool
	none    bool // on the disk with cache=none

	ours, others []float64
	err          error
}

const (
	imageBytes = 256 << 20
	diskNone   = "/dev/vdf" // past the host's page cache
)

// disk512 and disk4096 are disks with sectors of so many bytes, in pairs: a device behind another one on the bus is some percent faster or slower, which is not to be the
// sectors' doing, so that each is first in one of them.
var (
	disk512  = [2]string{"/dev/vdb", "/dev/vde"}
	disk4096 = [2]string{"/dev/vdc", "/dev/vdd"}
)

// fio is a job of fio on the row's disk, which stands as @DISK@, and its sector as @SECTOR@.
func fio(seconds int, options string) string {
	return fmt.Sprintf("fio --name=job --filename=@DISK@ --size=%d --time_based --runtime=%d --ramp_time=0.3 --randrepeat=1 --norandommap --minimal %s",
		imageBytes, seconds, options)
}

// cold forgets what the guest has of its disks.
const cold = "echo 3 >/proc/sys/vm/drop_caches; "

func rows(seconds int) []*row {
	return []*row{
		{name: "dd/read/1M", floor: 3, read: ddBytes, command: cold + "dd if=@DISK@ of=/dev/null bs=1M"},
		{name: "dd/read/1M/direct", floor: 3, read: ddBytes, command: "dd if=@DISK@ of=/dev/null bs=1M iflag=direct"},
		{name: "fio/read/1M", floor: 3, read: fioBytes, command: cold + fio(seconds, "--rw=read --bs=1M --invalidate=1")},
		{name: "fio/read/1M/direct", floor: 3, read: fioBytes, command: fio(seconds, "--rw=read --bs=1M --direct=1")},
		{name: "fio/randread/4K/qd1", floor: 4, read: fioOps, command: fio(seconds, "--rw=randread --bs=4K --direct=1 --ioengine=psync")},
		{name: "fio/randread/4K/qd32", floor: 4, read: fioOps, command: fio(seconds, "--rw=randread --bs=4K --direct=1 --ioengine=libaio --iodepth=32")},
		{name: "fio/randwrite/4K/qd1", read: fioOps, command: fio(seconds, "--rw=randwrite --bs=4K --direct=1 --ioengine=psync")},
		{name: "fio/randwrite/4K/qd32", read: fioOps, command: fio(seconds, "--rw=randwrite --bs=4K --direct=1 --ioengine=libaio --iodepth=32")},
		{name: "fio/write/1M/direct", read: fioBytes, command: fio(seconds, "--rw=write --bs=1M --direct=1")},

		{name: "none/randread/4K/qd1", none: true, read: fioOps, command: fio(seconds, "--rw=randread --bs=4K --direct=1 --ioengine=psync")},
		{name: "none/randread/4K/qd32", none: true, read: fioOps, command: fio(seconds, "--rw=randread --bs=4K --direct=1 --ioengine=libaio --iodepth=32")},
		{name: "none/randwrite/4K/qd1", none: true, read: fioOps, command: fio(seconds, "--rw=randwrite --bs=4K --direct=1 --ioengine=psync")},
		{name: "none/randwrite/4K/qd32", none: true, read: fioOps, command: fio(seconds, "--rw=randwrite --bs=4K --direct=1 --ioengine=libaio --iodepth=32")},
		{name: "none/read/1M", none: true, read: fioBytes, command: fio(seconds, "--rw=read --bs=1M --direct=1 --ioengine=libaio --iodepth=4")},

		{name: "sector/read/one", floor: 5, read: fioBytes, sectors: true, command: fio(seconds, "--rw=randread --bs=@SECTOR@ --direct=1 --ioengine=psync")},
		{name: "sector/write/one", floor: 5, read: fioBytes, sectors: true, command: fio(seconds, "--rw=randwrite --bs=@SECTOR@ --direct=1 --ioengine=psync")},
		{name: "sector/read/1M", floor: 1, read: fioBytes, sectors: true, command: fio(seconds, "--rw=read --bs=1M --direct=1")},
		{name: "sector/database", floor: 1.5, read: pagesWritten, sectors: true, command: database},
		{name: "sector/write/1M", floor: 1, read: fioBytes, sectors: true, command: fio(seconds, "--rw=write --bs=1M --direct=1")},
	}
}

// database is a store of pages of 4096 bytes, which are written in place, at random, each by itself and durable (O_DSYNC). A page that is torn by a loss of power must
// be known somewhere else: where a sector is smaller than a page, it is written to a journal first, in the same way. Where a sector is a page, none is torn.
const database = `fio() { /usr/bin/fio --filename=@DISK@ --size=64M --bs=4K --direct=1 --sync=dsync --ioengine=psync --number_ios=1500 --randrepeat=1 --minimal "$@"; }; ` +
	`[ @SECTOR@ = 4096 ] || fio --name=journal --rw=write --offset=128M; fio --name=pages --rw=randwrite`

// pagesWritten is how many pages a second were written to their place, in the time of all jobs.
func pagesWritten(out string) (float64, error) {
	pages, ms := 0.0, 0.0
	for line := range strings.Lines(out) {
		n, err := fioField(line, 0)
		if err != nil {
			return 0, err
		}
		t, err := fioField(line, 3)
		if err != nil {
			return 0, err
		}
		pages, ms = n/4, ms+t
	}
	return pages / ms * 1000, nil
}

// on is the row's command on a disk.
func (r *row) on(disk string, sector int) string {
	return strings.NewReplacer("@DISK@", disk, "@SECTOR@", strconv.Itoa(sector)).Replace(r.command)
}

func selected(all []*row, run *regexp.Regexp) (some []*row) {
	for _, r := range all {
		if run.MatchString(r.name) {
			some = append(some, r)
		}
	}
	return some
}

var ddForm = regexp.MustCompile(`(\d+) bytes .*copied, ([0-9.e-]+) s`)

// ddBytes is bytes a second.
func ddBytes(out string) (float64, error) {
	m := ddForm.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("dd did not say how fast it was: %q", out)
	}
	n, err1 := strconv.ParseFloat(m[1], 64)
	s, err2 := strconv.ParseFloat(m[2], 64)
	return n / s, errors.Join(err1, err2)
}

// Where fio's terse output, version 3, has what it has done: KiB, KiB a second, operations a second; reads and writes.
const (
	terseRead  = 5
	terseWrite = 46
)

func fioField(out string, at int) (float64, error) {
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ";")
		if len(f) < terseWrite+4 || f[0] != "3" {
			continue
		}
		if f[4] != "0" {
			return 0, fmt.Errorf("fio failed with error %s", f[4])
		}
		sum := 0.0
		for _, base := range []int{terseRead, terseWrite} {
			v, err := strconv.ParseFloat(f[base+at], 64)
			if err != nil {
				return 0, err
			}
			sum += v
		}
		return sum, nil
	}
	return 0, fmt.Errorf("fio did not say what it did: %q", out)
}

func fioBytes(out string) (float64, error) {
	v, err := fioField(out, 1)
	return v * 1024, err
}

func fioOps(out string) (float64, error) { return fioField(out, 2) }
