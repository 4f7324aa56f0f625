package main

// Flags with a syntax of their own, each a pflag.Value.

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/memory/numa"
	"github.com/vmproject/vm/internal/storage"
)

// sizeFlag is a number of bytes: 512M, 2G.
type sizeFlag uint64

var sizeUnits = map[string]uint64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

func (f *sizeFlag) Set(s string) error {
	text := strings.ToUpper(s)
	text = strings.TrimSuffix(strings.TrimSuffix(text, "B"), "I") // 2GiB, 2GB and 2G are the same
	if text == "" {
		return errors.New("write a number and K, M, G or T, as in 512M")
	}
	unit, ok := sizeUnits[text[len(text)-1:]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 64)
	switch {
	case !ok || err != nil && !errors.Is(err, strconv.ErrRange):
		return errors.New("write a number and K, M, G or T, as in 512M")
	case err != nil || n > math.MaxUint64/unit:
		return errors.New("no machine has that much")
	case n == 0:
		return errors.New("zero is too little")
	}
	*f = sizeFlag(n * unit)
	return nil
}

func (f *sizeFlag) String() string {
	for _, unit := range []string{"T", "G", "M", "K"} {
		if n := uint64(*f); n != 0 && n%sizeUnits[unit] == 0 {
			return strconv.FormatUint(n/sizeUnits[unit], 10) + unit
		}
	}
	return strconv.FormatUint(uint64(*f), 10)
}

func (*sizeFlag) Type() string { return "SIZE" }

// countFlag is a small number. What is too many is for the machine to say.
type countFlag int

func (f *countFlag) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return errors.New("write a number, as in 2")
	}
	*f = countFlag(n)
	return nil
}

func (f *countFlag) String() string { return strconv.Itoa(int(*f)) }

func (*countFlag) Type() string { return "N" }

// diskSyntax is what disksFlag takes.
const diskSyntax = "FILE|memory:SIZE[,format=raw|qcow2][,cache=MODE][,readonly][,snapshot][,sector=512|4096][,bus=pci|mmio][,queues=N][,[read-|write-]iops=N[/BURST]][,[read-|write-]bps=N[/BURST]]"

// disksFlag is as diskSyntax, repeatable. Two commas in FILE stand for one. A file that is called memory:1G is ./memory:1G.
type disksFlag []vm.Disk

func (f *disksFlag) Set(s string) error {
	d, err := parseDisk(s)
	if err != nil {
		return err
	}
	*f = append(*f, d)
	return nil
}

func parseDisk(s string) (vm.Disk, error) {
	fields := strings.Split(s, ",")
	d := vm.Disk{Path: fields[0]}
	fields = fields[1:]
	for len(fields) > 1 && fields[0] == "" {
		d.Path += "," + fields[1]
		fields = fields[2:]
	}
	if d.Path == "" {
		return vm.Disk{}, errors.New("no file is named")
	}
	if size, ok := strings.CutPrefix(d.Path, storage.FormatMemory+":"); ok {
		var n sizeFlag
		if err := n.Set(size); err != nil || n > math.MaxInt64 {
			return vm.Disk{}, fmt.Errorf("memory of size %q: write a number and K, M, G or T, as in memory:512M", size)
		}
		d.Format, d.Size = storage.FormatMemory, int64(n)
	}
	for _, field := range fields {
		key, value, _ := strings.Cut(field, "=")
		switch {
		case d.Size != 0 && (key == "format" || key == "cache" || key == "readonly" || key == "snapshot"):
			return vm.Disk{}, fmt.Errorf("a disk in memory has no %s: it is lost when the machine ends", key)
		case field == "readonly":
			d.ReadOnly = true
		case field == "snapshot":
			d.Snapshot = true
		case field == "format=raw", field == "format=qcow2":
			d.Format = value
		case key == "cache" && slices.Contains(storage.CacheModes(), value):
			d.Cache = value
		case field == "sector=512", field == "sector=4096":
			d.Sector, _ = strconv.Atoi(value) // one of two known numbers
		case field == "bus=pci", field == "bus=mmio":
			d.MMIO = value == "mmio"
		case key == "queues":
			var n countFlag
			if err := n.Set(value); err != nil {
				return vm.Disk{}, fmt.Errorf("queues=%s: %w", value, err)
			}
			d.Queues = int(n)
		case diskRates[key] != nil:
			if err := setDiskRate(&d, key, value); err != nil {
				return vm.Disk{}, err
			}
		case key == "bus":
			return vm.Disk{}, fmt.Errorf("a bus called %q is not known: pci and mmio are", value)
		case key == "format":
			return vm.Disk{}, fmt.Errorf("format %q is not known: raw and qcow2 are", value)
		case key == "cache":
			return vm.Disk{}, fmt.Errorf("a cache mode called %q is not known: %s are", value, strings.Join(storage.CacheModes(), ", "))
		case key == "sector":
			return vm.Disk{}, fmt.Errorf("a sector of %q bytes is not possible: 512 and 4096 are", value)
		default:
			return vm.Disk{}, fmt.Errorf("%q is not known: write %s, and two commas for one in FILE", field, diskSyntax)
		}
	}
	return d, nil
}

func (f *disksFlag) String() string {
	var names []string
	for _, d := range *f {
		names = append(names, d.Path)
	}
	return strings.Join(names, " ")
}

func (*disksFlag) Type() string { return "FILE[,OPTION...]" }

// filesFlag is HOST[:GUEST], repeatable.
type filesFlag []vm.File

func (f *filesFlag) Set(s string) error {
	file := vm.File{Host: s}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		file.Host, file.Guest = s[:i], s[i+1:]
		if !path.IsAbs(file.Guest) {
			return fmt.Errorf("%q is not an absolute path in the guest: write HOST:/PATH", file.Guest)
		}
	}
	if file.Host == "" {
		return errors.New("no file is named")
	}
	*f = append(*f, file)
	return nil
}

func (f *filesFlag) String() string {
	var names []string
	for _, file := range *f {
		names = append(names, file.Host)
	}
	return strings.Join(names, " ")
}

func (*filesFlag) Type() string { return "HOST[:GUEST]" }

// numaFlag is cpus=LIST,mem=SIZE,host=LIST,policy=NAME, repeatable: a node each. A key is repeated for a list with a gap: cpus=0,cpus=2.
type numaFlag []vm.NUMANode

const numaSyntax = "write cpus=0-1,mem=1G,host=0,policy=bind, each part as needed"

func (f *numaFlag) Set(s string) error {
	var n vm.NUMANode
	for field := range strings.SplitSeq(s, ",") {
		key, value, _ := strings.Cut(field, "=")
		switch key {
		case "cpus", "host":
			list, err := numa.ParseList(value)
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			if key == "cpus" {
				n.CPUs = append(n.CPUs, list...)
			} else {
				n.HostNodes = append(n.HostNodes, list...)
			}
		case "mem":
			var size sizeFlag
			if err := size.Set(value); err != nil {
				return fmt.Errorf("mem: %w", err)
			}
			n.Memory = uint64(size)
		case "policy":
			n.Policy = value
		default:
			return fmt.Errorf("%q is not known: %s", field, numaSyntax)
		}
	}
	*f = append(*f, n)
	return nil
}

func (f *numaFlag) String() string { return "" }

func (*numaFlag) Type() string { return "NODE" }

// memory is what the nodes have together.
func (f numaFlag) memory() (sum uint64) {
	for _, n := range f {
		sum += n.Memory
	}
	return sum
}

// symbolsFlag is FILE[@ADDR], repeatable. What follows the last @ is an address if it is one.
type symbolsFlag []vm.Symbols

func (f *symbolsFlag) Set(s string) error {
	file := vm.Symbols{Path: s}
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		at, err := parseAddress(s[i+1:])
		if err != nil {
			return err
		}
		file = vm.Symbols{Path: s[:i], Loaded: at}
	}
	if file.Path == "" {
		return errors.New("no file is named")
	}
	*f = append(*f, file)
	return nil
}

func (f *symbolsFlag) String() string {
	var names []string
	for _, file := range *f {
		names = append(names, file.Path)
	}
	return strings.Join(names, " ")
}

func (*symbolsFlag) Type() string { return "FILE[@ADDR]" }

// dumpFlag is a guest address or "all", repeatable.
type dumpFlag struct {
	at  []uint64
	all bool
}

func (f *dumpFlag) Set(s string) error {
	if s == "all" {
		f.all = true
		return nil
	}
	at, err := parseAddress(s)
	switch {
	case err != nil:
		return fmt.Errorf("%w, or all", err)
	case at&1 != 0:
		return errors.New("no instruction is at an odd address")
	}
	f.at = append(f.at, at)
	return nil
}

func (f *dumpFlag) String() string {
	var list []string
	for _, at := range f.at {
		list = append(list, strconv.FormatUint(at, 16))
	}
	if f.all {
		list = append(list, "all")
	}
	return strings.Join(list, " ")
}

func (*dumpFlag) Type() string { return "PC|all" }

// parseAddress reads a hexadecimal address, as listings have them: ffffffff80001234 or 0xffffffff80001234.
func parseAddress(s string) (uint64, error) {
	at, err := strconv.ParseUint(strings.TrimPrefix(strings.TrimPrefix(s, "0x"), "0X"), 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no address: write up to 16 hexadecimal digits, as in 0x80200000", s)
	}
	return at, nil
}

// levelFlag is a level of log/slog.
type levelFlag slog.Level

func (f *levelFlag) Set(s string) error {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if strings.EqualFold(s, level.String()) {
			*f = levelFlag(level)
			return nil
		}
	}
	return errors.New("write debug, info, warn or error")
}

func (f *levelFlag) String() string { return strings.ToLower(slog.Level(*f).String()) }

func (*levelFlag) Type() string { return "LEVEL" }
