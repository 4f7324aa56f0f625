package terminal

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestEscape(t *testing.T) {
	for _, test := range []struct {
		name, in, want string
		quits, helps   int
	}{
		{name: "plain text passes", in: "uname -a\r", want: "uname -a\r"},
		{name: "every byte passes", in: "\x00\x02\x03\x1a\x1b[A\xff", want: "\x00\x02\x03\x1a\x1b[A\xff"},
		{name: "quit ends the input", in: "ab\x01xcd", want: "ab", quits: 1},
		{name: "x alone is a letter", in: "axb", want: "axb"},
		{name: "help sends nothing", in: "a\x01hb", want: "ab", helps: 1},
		{name: "Ctrl-A twice sends one", in: "\x01\x01x", want: "\x01x"},
		{name: "four send two", in: "\x01\x01\x01\x01", want: "\x01\x01"},
		{name: "another key goes with its Ctrl-A", in: "\x01z", want: "\x01z"},
		{name: "a Ctrl-A at the end is held back", in: "a\x01", want: "a"},
		{name: "help and quit in one read", in: "\x01h\x01x", want: "", quits: 1, helps: 1},
	} {
		for form, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":       func(r io.Reader) io.Reader { return r },
			"a key a time":  iotest.OneByteReader,
			"data with EOF": iotest.DataErrReader,
		} {
			t.Run(test.name+", "+form, func(t *testing.T) {
				quits, helps := 0, 0
				e := NewEscape(wrap(strings.NewReader(test.in)), func() { quits++ }, func() { helps++ })
				got, err := io.ReadAll(iotest.OneByteReader(e))
				if err != nil || string(got) != test.want || quits != test.quits || helps != test.helps {
					t.Errorf("%q, %v, %d quits, %d helps; want %q, nil, %d, %d", got, err, quits, helps, test.want, test.quits, test.helps)
				}
				if n, err := e.Read(make([]byte, 8)); n != 0 || err != io.EOF {
					t.Errorf("Read after the end: %d, %v", n, err)
				}
			})
		}
	}
}

func TestEscapePassesErrorsAfterTheData(t *testing.T) {
	broken := errors.New("hangup")
	e := NewEscape(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), nil, nil)
	got, err := io.ReadAll(e)
	if string(got) != "ab" || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestHelpNamesEveryKey(t *testing.T) {
	for _, k := range Keys {
		if !strings.Contains(Help(), k.Name) || !strings.Contains(Help(), k.Does) {
			t.Errorf("Help does not explain %s", k.Name)
		}
	}
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("a\x01\x01b\x01h\x01xc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		quit := false
		e := NewEscape(strings.NewReader(string(in)), func() { quit = true }, func() {})
		got, err := io.ReadAll(e)
		if err != nil || len(got) > len(in) {
			t.Fatalf("%d bytes of %d, %v", len(got), len(in), err)
		}
		if !quit && strings.Count(string(in), "\x01") == 0 && string(got) != string(in) {
			t.Fatalf("text changed: %q, %q", in, got)
		}
	})
}
