package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/vmproject/vm"
	"github.com/vmproject/vm/internal/storage"
)

func TestSizeFlag(t *testing.T) {
	for in, want := range map[string]uint64{
		"512M": 512 << 20, "2G": 2 << 30, "2g": 2 << 30, "64K": 64 << 10, "1T": 1 << 40, "2GiB": 2 << 30, "2GB": 2 << 30,
	} {
		var f sizeFlag
		if err := f.Set(in); err != nil || uint64(f) != want {
			t.Errorf("%q: %d, %v; want %d", in, f, err, want)
		}
	}
	for _, in := range []string{"", "512", "M", "-1M", "1.5G", "1P", "0M", "1 G", "99999999999999999999M", "16777216T", "0x10M", "iB"} {
		var f sizeFlag
		if err := f.Set(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
	for n, want := range map[sizeFlag]string{512 << 20: "512M", 2 << 30: "2G", 1000: "1000", 3 << 10: "3K"} {
		if got := n.String(); got != want {
			t.Errorf("%d: %q, want %q", uint64(n), got, want)
		}
	}
}

func TestDisksFlag(t *testing.T) {
	for in, want := range map[string]vm.Disk{
		"a.img":                     {Path: "a.img"},
		"a.img,readonly":            {Path: "a.img", ReadOnly: true},
		"a,snapshot,sector=4096":    {Path: "a", Snapshot: true, Sector: 4096},
		"a,format=raw,sector=512":   {Path: "a", Format: "raw", Sector: 512},
		"a,format=qcow2,cache=none": {Path: "a", Format: "qcow2", Cache: "none"},
		"memory:2M,sector=4096":     {Path: "memory:2M", Format: "memory", Size: 2 << 20, Sector: 4096},
		"a,,b,readonly":             {Path: "a,b", ReadOnly: true},
		"a,,b,,c":                   {Path: "a,b,c"},
		"/tmp/with space,readonly":  {Path: "/tmp/with space", ReadOnly: true},
		"readonly":                  {Path: "readonly"},
		"x=y.img,format=raw":        {Path: "x=y.img", Format: "raw"},
		"dir/a.img,snapshot,,,,raw": {},
	} {
		got, err := parseDisk(in)
		if want == (vm.Disk{}) {
			if err == nil {
				t.Errorf("%q: no error", in)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"", ",readonly", "a,ro", "a,format=vmdk", "a,cache=some", "memory:", "memory:1G,snapshot", "a,sector=1", "a,sector", "a,format", "a,"} {
		if d, err := parseDisk(in); err == nil {
			t.Errorf("%q: no error, %+v", in, d)
		}
	}
}

func TestDiskLimitOptions(t *testing.T) {
	rate := func(n, burst int64) vm.DiskLimit { return vm.DiskLimit{Requests: vm.Rate{PerSecond: n, Burst: burst}} }
	for in, want := range map[string]vm.Disk{
		"a,queues=3":           {Path: "a", Queues: 3},
		"a,iops=500":           {Path: "a", Limits: vm.DiskLimits{Total: rate(500, 0)}},
		"a,read-iops=2k/8K":    {Path: "a", Limits: vm.DiskLimits{Read: rate(2048, 8192)}},
		"a,write-iops=1/1":     {Path: "a", Limits: vm.DiskLimits{Write: rate(1, 1)}},
		"a,bps=20M,readonly":   {Path: "a", ReadOnly: true, Limits: vm.DiskLimits{Total: vm.DiskLimit{Bytes: vm.Rate{PerSecond: 20 << 20}}}},
		"a,read-bps=1G/1T":     {Path: "a", Limits: vm.DiskLimits{Read: vm.DiskLimit{Bytes: vm.Rate{PerSecond: 1 << 30, Burst: 1 << 40}}}},
		"a,write-bps=1,iops=2": {Path: "a", Limits: vm.DiskLimits{Write: vm.DiskLimit{Bytes: vm.Rate{PerSecond: 1}}, Total: rate(2, 0)}},
	} {
		if got, err := parseDisk(in); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"a,iops", "a,iops=", "a,iops=0", "a,iops=-1", "a,bps=1X", "a,bps=9999999T", "a,iops=1/", "a,iops=1/0", "a,bps=1/2/3", "a,queues=0", "a,queues"} {
		if d, err := parseDisk(in); err == nil {
			t.Errorf("%q: no error, %+v", in, d)
		}
	}
}

func TestFilesFlag(t *testing.T) {
	var f filesFlag
	for _, in := range []string{"a", "./b:/etc/b", "c:d:/e"} {
		if err := f.Set(in); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	if diff := cmp.Diff(filesFlag{{Host: "a"}, {Host: "./b", Guest: "/etc/b"}, {Host: "c:d", Guest: "/e"}}, f); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, in := range []string{"", ":/x", "a:b", "a:"} {
		if err := f.Set(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

func TestSymbolsFlag(t *testing.T) {
	var f symbolsFlag
	for _, in := range []string{"a", "./b@0x10000", "c@d@FFFFFFFF80000000"} {
		if err := f.Set(in); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	want := symbolsFlag{{Path: "a"}, {Path: "./b", Loaded: 0x10000}, {Path: "c@d", Loaded: 0xffffffff80000000}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	for _, in := range []string{"", "@1", "a@", "a@b.c", "a@11112222333344445"} {
		if err := f.Set(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

func TestDumpFlag(t *testing.T) {
	var f dumpFlag
	for _, in := range []string{"80200000", "0xFFFFFFFF80000002", "0X0", "all"} {
		if err := f.Set(in); err != nil {
			t.Errorf("%q: %v", in, err)
		}
	}
	if got := f.String(); got != "80200000 ffffffff80000002 0 all" || !f.all {
		t.Errorf("%q", got)
	}
	for _, in := range []string{"", "0x", "-1", "80200001", "main", "0x0x1", "11112222333344445"} {
		if err := f.Set(in); err == nil {
			t.Errorf("%q: no error", in)
		}
	}
}

// A flag prints what it accepts, so that help shows true defaults.
func TestFlagsPrintWhatTheyAccept(t *testing.T) {
	size, count, level := sizeFlag(512<<20), countFlag(2), levelFlag(-4)
	for _, f := range []pflag.Value{&size, &count, &level} {
		text := f.String()
		if err := f.Set(text); err != nil || f.String() != text {
			t.Errorf("%s %q: %v, %q", f.Type(), text, err, f.String())
		}
	}
	for _, in := range []string{"", "0", "-1", "two", "1.5"} {
		if err := count.Set(in); err == nil {
			t.Errorf("count %q: no error", in)
		}
	}
	if err := level.Set("loud"); err == nil {
		t.Error("level loud: no error")
	}
}

func FuzzDisk(f *testing.F) {
	f.Add("a,,b,readonly,sector=512")
	f.Fuzz(func(t *testing.T, in string) {
		d, err := parseDisk(in)
		if err == nil && (d.Path == "" || d.Sector != 0 && d.Sector != 512 && d.Sector != 4096 || !slices.Contains(append(storage.Formats(), ""), d.Format)) {
			t.Fatalf("%q: %+v", in, d)
		}
	})
}
