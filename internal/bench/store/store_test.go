package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

func result(started time.Time) *bench.Result {
	return &bench.Result{Format: bench.Format, Started: started, Complete: true, Rows: []bench.Row{{Name: "memory/load", Unit: "ns/op", Times: 3, Passes: [][]float64{{1, 2}, {3}}}}}
}

func TestBaselinesAreKept(t *testing.T) {
	s, err := Open(filepath.Join(t.TempDir(), "deep", "down"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Truncate(time.Second)
	for _, name := range []string{"before", "after"} {
		if err := s.Save(name, result(now)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || list[0].Name != "after" || !list[0].Started.Equal(now) || list[0].Rows != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	var b bytes.Buffer
	if err := s.Export("before", &b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "copy.json")
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := s.Load(file)
	if err != nil || len(r.Row("memory/load").Samples()) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
	if err := s.Remove("before"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load("befor"); err == nil || !strings.Contains(err.Error(), "vm bench baseline ls") {
		t.Errorf("a baseline that is gone: %v", err)
	}
	if _, err := s.Load("aftr"); err == nil || !strings.Contains(err.Error(), "near it: after") {
		t.Errorf("a name that is nearly right: %v", err)
	}
}

func TestHistoryIsInOrder(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Last(); !errors.Is(err, ErrNoHistory) {
		t.Errorf("an empty history: %v", err)
	}
	now := time.Now().Truncate(time.Second)
	for _, d := range []time.Duration{2 * time.Hour, 0, time.Hour} {
		if _, err := s.Record(result(now.Add(d))); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.History(2)
	if err != nil || len(all) != 2 || !all[0].Started.Equal(now.Add(time.Hour)) || !all[1].Started.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%v, %v", all, err)
	}
	if r, err := s.Last(); err != nil || !r.Started.Equal(now.Add(2*time.Hour)) {
		t.Errorf("%v, %v", r, err)
	}
}

// What is wrong with a file is one line, and the file stays as it is.
func TestBadFiles(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	if err := result(time.Now()).Write(&whole); err != nil {
		t.Fatal(err)
	}
	for want, text := range map[string]string{
		"empty":                           "",
		"cut short":                       whole.String()[:whole.Len()/2],
		"format is 999":                   `{"format":999}`,
		"no result of vm bench":           "benchmarks",
		"something follows":               whole.String() + "{}",
		"row 1 has no name":               `{"format":1,"rows":[{}]}`,
		"the sample -1":                   `{"format":1,"rows":[{"name":"a","unit":"ns/op","passes":[[-1]]}]}`,
		"cannot unmarshal string into Go": `{"format":1,"rows":"none"}`,
	} {
		if err := os.MkdirAll(filepath.Join(s.Dir(), baselines), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(s.file(baselines, "bad"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := s.Load("bad")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	if err := s.Remove("bad"); err != nil {
		t.Errorf("a baseline that cannot be read cannot be removed: %v", err)
	}
	for _, name := range []string{"", "../up", ".hidden", "a b", strings.Repeat("x", 101)} {
		if err := s.Save(name, result(time.Now())); err == nil {
			t.Errorf("a baseline was named %q", name)
		}
	}
}
