package guestimage

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
)

func TestDebReadsEveryCompression(t *testing.T) {
	for _, suffix := range []string{"", ".gz", ".xz", ".zst"} {
		deb := debFile(t, suffix, "Package: p\nVersion: 1\nDescription: one\n two\n", file{"./a/b", []byte("content")}, file{"./../c", nil})
		control, err := debControl(bytes.NewReader(deb))
		if err != nil || control["package"] != "p" || control["description"] != "one\ntwo" {
			t.Errorf("%q: control %v, %v", suffix, control, err)
		}
		var names []string
		err = debFiles(bytes.NewReader(deb), func(name string, size int64, body io.Reader) error {
			data, err := io.ReadAll(body)
			if int64(len(data)) != size {
				t.Errorf("%q: %s has %d bytes, not %d", suffix, name, len(data), size)
			}
			names = append(names, name)
			return err
		})
		if err != nil || !slices.Equal(names, []string{"a/b", "c"}) {
			t.Errorf("%q: %v, %v", suffix, names, err)
		}
	}
}

func TestDebRefusesWhatIsNone(t *testing.T) {
	whole := debFile(t, ".gz", "Package: p\n", file{"f", bytes.Repeat([]byte("x"), 5000)})
	for name, data := range map[string][]byte{
		"empty":            nil,
		"text":             []byte("hello, this is no archive"),
		"an empty archive": []byte(arMagic),
		"half a header":    []byte(arMagic + "debian-binary   0"),
		"a bad size":       []byte(arMagic + "debian-binary   0           0     0     100644  x         `\n"),
		"cut short":        whole[:len(whole)-100],
	} {
		if err := debFiles(bytes.NewReader(data), func(_ string, _ int64, r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := debControl(bytes.NewReader(data)); name != "cut short" && !errors.Is(err, errNotDeb) {
			t.Errorf("%s: control error %v", name, err)
		}
	}
}

func TestDependencies(t *testing.T) {
	got := dependencies("linux-image-6 (= 1), a | b, c:any (>= 2) [amd64], ,")
	if want := []string{"linux-image-6", "a", "c"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func FuzzDeb(f *testing.F) {
	f.Add(debFile(f, ".gz", "Package: p\n", file{"f", []byte("x")}))
	f.Add(debFile(f, "", "Package: p\n", file{"f", []byte("x")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = debControl(bytes.NewReader(data))
		_ = debFiles(bytes.NewReader(data), func(_ string, _ int64, r io.Reader) error {
			_, err := io.CopyN(io.Discard, r, 1<<20)
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		})
	})
}
