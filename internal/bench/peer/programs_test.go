package peer

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
)

// Each program finds the files that its commands name, without a placeholder in them.
func TestDebianPrograms(t *testing.T) {
	for _, d := range DebianPrograms {
		for _, a := range []Amount{d.Full, d.Small} {
			files, err := d.Files(a.Size)
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				if strings.Contains(text, "@N@") {
					t.Errorf("%s has a placeholder left", name)
				}
			}
			for word := range strings.FieldsSeq(d.Warm + " " + d.Command + " " + d.Check) {
				if file, ok := strings.CutPrefix(word, "/bench/"); ok && files[file] == "" {
					t.Errorf("%s needs %s, which is not there", d.Name, word)
				}
			}
		}
		if d.Full.Size <= d.Small.Size || d.Full.Answer == d.Small.Answer || d.Full.Answer == "" || d.Doc == "" {
			t.Errorf("%+v", d)
		}
	}
}

// The text is what `work data` of test/enginebench writes: the answer of xz's check is its digest.
func TestText(t *testing.T) {
	for _, d := range DebianPrograms {
		if d.Name != "xz" {
			continue
		}
		for _, a := range []Amount{d.Full, d.Small} {
			if got := fmt.Sprintf("%x", sha256.Sum256(Text(a.Size)))[:16]; got != a.Answer {
				t.Errorf("%d bytes: %s, want %s", a.Size, got, a.Answer)
			}
		}
	}
}
