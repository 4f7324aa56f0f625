package guestimage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseSources(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []Source
	}{
		{"Debian's own", "Types: deb\n# a comment: here\nURIs: http://m/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n" +
			"Types: deb\nURIs: http://m/security\nSuites: bookworm-security\nComponents: main\n", []Source{
			{"http://m/debian", "bookworm", []string{"main"}, "/k.gpg"},
			{"http://m/debian", "bookworm-updates", []string{"main"}, "/k.gpg"},
			{"http://m/security", "bookworm-security", []string{"main"}, ""},
		}},
		{"disabled", "Types: deb\nURIs: http://m\nSuites: sid\nComponents: main\nEnabled: no\n", nil},
		{"sources only", "Types: deb-src\nURIs: http://m\nSuites: sid\nComponents: main\n", nil},
		{"fields in any case, values on the next line", "TYPES: deb-src deb\nuris:\n http://m\nSuites: sid\nComponents: main contrib\n",
			[]Source{{"http://m", "sid", []string{"main", "contrib"}, ""}}},
		{"embedded key", "Types: deb\nURIs: http://m\nSuites: sid\nComponents: main\nSigned-By:\n -----BEGIN-----\n .\n abc\n",
			[]Source{{"http://m", "sid", []string{"main"}, "\n-----BEGIN-----\n\nabc"}}},
		{"nonsense", "no colon\n continued\n: empty\n", nil},
	} {
		if diff := cmp.Diff(test.want, parseSources(strings.NewReader(test.text))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", test.name, diff)
		}
	}
}

func TestParseSourceList(t *testing.T) {
	text := `
# deb http://no main
deb http://m/debian bookworm main contrib # trailing
deb-src http://m/debian bookworm main
deb [arch=amd64 signed-by=/a.gpg,/b.gpg] https://n/x sid main
deb [ signed-by=/c.gpg ] file:/srv/debian trixie main
deb	http://flat/ ./
debian http://no bookworm main
deb [broken http://no bookworm main
deb http://short
deb
`
	want := []Source{
		{"http://m/debian", "bookworm", []string{"main", "contrib"}, ""},
		{"https://n/x", "sid", []string{"main"}, "/a.gpg /b.gpg"},
		{"file:/srv/debian", "trixie", []string{"main"}, "/c.gpg"},
		{"http://flat/", "./", []string{}, ""},
	}
	if diff := cmp.Diff(want, parseSourceList(strings.NewReader(text))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestDebianMirror(t *testing.T) {
	entry := func(line string) Source { return parseSourceList(strings.NewReader("deb " + line))[0] }
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"the suite itself is best", []string{"http://a bookworm main", "http://b trixie main"}, "http://b"},
		{"another release will do", []string{"http://sec bookworm-security main", "http://a bookworm main"}, "http://a"},
		{"of equals the first", []string{"http://a bookworm main", "http://b sid main"}, "http://a"},
		{"updates live on the same mirror", []string{"http://a bookworm-updates main"}, "http://a"},
		{"security does not", []string{"http://a bookworm-security main"}, ""},
		{"other distributions do not count", []string{"http://u noble main", "http://d nodistro main"}, ""},
		{"nor other components", []string{"http://a bookworm contrib"}, ""},
		{"nor discs", []string{"cdrom:[Debian] bookworm main"}, ""},
		{"nothing", nil, ""},
	} {
		var sources []Source
		for _, line := range test.lines {
			if strings.HasPrefix(line, "cdrom:") {
				sources = append(sources, Source{URI: "cdrom:[Debian]", Suite: "bookworm", Components: []string{"main"}})
				continue
			}
			sources = append(sources, entry(line))
		}
		got, err := debianMirror(sources, "trixie")
		if got.URI != test.want || (test.want == "") != errors.Is(err, ErrNoMirror) {
			t.Errorf("%s: %q, %v; want %q", test.name, got.URI, err, test.want)
		}
	}
}

func TestReadSourcesTakesBothForms(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"sources.list":    "deb http://a sid main\n",
		"parts/b.list":    "deb http://b sid main\n",
		"parts/c.sources": "Types: deb\nURIs: http://c\nSuites: sid\nComponents: main\n",
		"parts/d.bak":     "deb http://d sid main\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, s := range readSources(filepath.Join(dir, "sources.list"), filepath.Join(dir, "parts")) {
		got = append(got, s.URI)
	}
	if diff := cmp.Diff([]string{"http://a", "http://b", "http://c"}, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func FuzzParseSources(f *testing.F) {
	f.Add("deb [signed-by=/a] http://m sid main\n\nTypes: deb\nURIs: u\nSuites: s\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = debianMirror(append(parseSources(strings.NewReader(text)), parseSourceList(strings.NewReader(text))...), "trixie")
	})
}
