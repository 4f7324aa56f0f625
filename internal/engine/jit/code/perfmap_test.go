package code

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func openPerfMap(tb testing.TB) *PerfMap {
	tb.Helper()
	m, err := OpenPerfMap(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close() })
	return m
}

func TestPerfMapLines(t *testing.T) {
	m := openPerfMap(t)
	if got, want := filepath.Base(m.Name()), fmt.Sprintf("perf-%d.map", os.Getpid()); got != want {
		t.Errorf("the file is called %s, not %s", got, want)
	}
	for _, b := range []struct {
		at   Addr
		size int
		name string
	}{
		{0x7f00_0000_1000, 0x40, "memcpy+0x10"},
		{0x10, 4096, "two words"},
		{0xabc, 1, "evil\n7f00 1 name\x00\x7f"},
		{0, 0, ""},
	} {
		if err := m.Add(b.at, b.size, b.name); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(m.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := "7f0000001000 40 memcpy+0x10\n10 1000 two words\nabc 1 evil_7f00 1 name__\n0 0 \n"
	if string(got) != want {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestPerfMapReplacesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	if err := os.WriteFile(victim, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(dir, fmt.Sprintf("perf-%d.map", os.Getpid()))); err != nil {
		t.Skip(err)
	}
	m, err := OpenPerfMap(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Add(1, 2, "x"); err != nil {
		t.Error(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Add(1, 2, "x"); err == nil {
		t.Error("a closed map accepts names")
	}
	if got, _ := os.ReadFile(victim); string(got) != "precious" {
		t.Errorf("a link was followed: %q", got)
	}
	if got, _ := os.ReadFile(m.Name()); string(got) != "1 2 x\n" {
		t.Errorf("the map holds %q", got)
	}
	if _, err := OpenPerfMap(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a map in a directory that does not exist")
	}
}

func TestPerfMapLinesStayWhole(t *testing.T) {
	m := openPerfMap(t)
	const writers, each = 4, 250
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := m.Add(0x1000, 16, "block of code"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(m.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("1000 10 block of code\n", writers*each); string(got) != want {
		t.Error("lines are mixed up")
	}
}

func BenchmarkPerfMapAdd(b *testing.B) {
	m := openPerfMap(b)
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Add(0x7f00_0000_1000, 0x40, "symbol+0x1234 [tier 1]"); err != nil {
			b.Fatal(err)
		}
	}
}
