package storage

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is served at once is what is served otherwise; and what cannot be is asked for again.
func TestPrompt(t *testing.T) {
	content := bytes.Repeat([]byte("prompt! "), 8<<10)
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		open func() Image
	}{
		{"memory", func() Image {
			m := NewMemory(int64(len(content)))
			if err := m.WritevAt([][]byte{content}, 0); err != nil {
				t.Fatal(err)
			}
			return m
		}},
		{"file", func() Image { return mustOpen(t, Options{Path: path}) }},
		{"snapshot", func() Image { return mustOpen(t, Options{Path: path, Snapshot: true}) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := c.open()
			defer img.Close()
			p, ok := img.(Prompt)
			if !ok {
				t.Skip("serves nothing at once on this host")
			}
			got := make([]byte, 8192)
			for range 2 { // what waits the first time is in the host's cache then
				done, err := p.ReadvNow([][]byte{got[:100], got[100:]}, 4096)
				if err != nil {
					t.Fatal(err)
				}
				if !done {
					if err := img.ReadvAt([][]byte{got}, 4096); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, content[4096:][:8192]) {
					t.Fatal("what was read is not what the image holds")
				}
			}
			for _, off := range []int64{-1, int64(len(content)) - 8191, 1 << 62} {
				if done, err := p.ReadvNow([][]byte{got}, off); err == nil || !done {
					t.Errorf("a read at %d is not refused", off)
				}
			}
			want := bytes.Repeat([]byte{7}, 4096)
			done, err := p.WritevNow([][]byte{want}, 4096)
			if err == nil && !done {
				err = img.WritevAt([][]byte{want}, 4096)
			}
			if err != nil {
				t.Fatal(err)
			}
			// Half of it is in the snapshot now, and half in the file.
			if done, err := p.ReadvNow([][]byte{got}, 4096); err != nil || !done {
				if err := img.ReadvAt([][]byte{got}, 4096); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got[:4096], want) || !bytes.Equal(got[4096:], content[8192:][:4096]) {
				t.Error("a write is not to be seen")
			}
			if err := img.WritevAt([][]byte{content}, 0); err != nil {
				t.Fatal(err)
			}
		})
	}
}
