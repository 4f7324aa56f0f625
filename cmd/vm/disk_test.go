package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A disk's life by vm disk: each command does what it says, and one that fails changes nothing.
func TestDisk(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("raw.img"), append([]byte("first"), make([]byte, 1<<20-5)...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		args string
		code int
		want string // on stdout when code is 0 to 2, otherwise on stderr
	}{
		{"create @a.qcow2 8M", 0, ""},
		{"create @a.qcow2 8M", exitFailure, "is there already"},
		{"info @a.qcow2", 0, "8.4 MB (8388608 bytes)"},
		{"info --json @a.qcow2", 0, `"logical-sector": 4096`},
		{"check @a.qcow2", 0, "damage 0, leaks 0"},
		{"check @raw.img", exitFailure, "add -f qcow2"},
		{"snapshot create @a.qcow2 first", 0, ""},
		{"snapshot create @a.qcow2 first", exitFailure, "already"},
		{"snapshot list @a.qcow2", 0, `"first"`},
		{"snapshot apply @a.qcow2 frist", exitFailure, "near it: first"},
		{"snapshot apply @a.qcow2 first", 0, ""},
		{"resize @a.qcow2 16M", 0, ""},
		{"resize @a.qcow2 4M", exitFailure, "add --shrink"},
		{"resize --shrink @a.qcow2 4M", exitFailure, "delete them first"},
		{"snapshot delete @a.qcow2 first", 0, ""},
		{"resize --shrink @a.qcow2 4M", 0, ""},
		{"info @a.qcow2", 0, "(4194304 bytes)"},
		{"convert -c @raw.img @b.qcow2", 0, ""},
		{"convert @b.qcow2 @raw.img", exitFailure, "is there already"},
		{"convert -c @b.qcow2 @c.img", exitFailure, "cannot be compressed"},
		{"convert @b.qcow2 @c.img", 0, ""},
		{"check @b.qcow2", 0, "1 of 16 clusters are here, 1 of them compressed"},
		{"create -b b.qcow2 @d.qcow2", 0, ""},
		{"info @d.qcow2", 0, `"b.qcow2", qcow2`},
		{"commit @d.qcow2", 0, ""},
		{"commit @b.qcow2", exitFailure, "no backing file"},
		{"create -f raw @e.img 1000001K", exitFailure, "--sector 512"},
	} {
		args := strings.Fields("disk " + strings.ReplaceAll(step.args, "@", dir+"/"))
		code, stdout, stderr := call(t, args...)
		out := stdout
		if step.code == exitFailure {
			if out = stderr; strings.Count(strings.TrimPrefix(stderr, "vm: converting"), "\n") > 2 {
				t.Errorf("%s: more than a line: %q", step.args, stderr)
			}
		}
		if code != step.code || !strings.Contains(out, step.want) {
			t.Errorf("vm disk %s: status %d, stdout %q, stderr %q; want %d and %q", step.args, code, stdout, stderr, step.code, step.want)
		}
	}
	raw, err := os.ReadFile(at("raw.img"))
	if err != nil {
		t.Fatal(err)
	}
	if c, err := os.ReadFile(at("c.img")); err != nil || string(c) != string(raw) {
		t.Errorf("what was converted there and back differs (%v)", err)
	}
	if _, err := os.Stat(at("e.img")); err == nil {
		t.Error("a file is left of what failed")
	}
}
