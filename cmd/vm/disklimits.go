package main

// Limits of disks, as options of -d: iops=500, bps=20M, write-iops=100/1000.

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/vmproject/vm"
)

// diskRates are the limits that an option of -d sets, by its name.
var diskRates = map[string]func(*vm.DiskLimits) *vm.Rate{
	"iops":       func(l *vm.DiskLimits) *vm.Rate { return &l.Total.Requests },
	"bps":        func(l *vm.DiskLimits) *vm.Rate { return &l.Total.Bytes },
	"read-iops":  func(l *vm.DiskLimits) *vm.Rate { return &l.Read.Requests },
	"read-bps":   func(l *vm.DiskLimits) *vm.Rate { return &l.Read.Bytes },
	"write-iops": func(l *vm.DiskLimits) *vm.Rate { return &l.Write.Requests },
	"write-bps":  func(l *vm.DiskLimits) *vm.Rate { return &l.Write.Bytes },
}

// setDiskRate sets a limit from N or N/BURST.
func setDiskRate(d *vm.Disk, key, value string) error {
	rate, burst, both := strings.Cut(value, "/")
	r := diskRates[key](&d.Limits)
	var err error
	if r.PerSecond, err = parseAmount(rate); err == nil && both {
		r.Burst, err = parseAmount(burst)
	}
	if err != nil {
		return fmt.Errorf("%s=%s: %w", key, value, err)
	}
	return nil
}

// parseAmount reads 500, 20K or 1M, in units of 1024.
func parseAmount(s string) (int64, error) {
	unit := uint64(1)
	if n := len(s); n > 0 {
		if u, ok := sizeUnits[strings.ToUpper(s[n-1:])]; ok {
			unit, s = u, s[:n-1]
		}
	}
	const most = 1 << 62
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || n == 0 || n > most/unit {
		return 0, errors.New("write how much a second, and after a / how much at once, as in 500, 20M or 100/1000")
	}
	return int64(n * unit), nil
}
