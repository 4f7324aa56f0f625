package guestimage

// The host's apt sources, sources.list(5): which mirror does this host use for Debian? Both forms are read, one-line and
// deb822. `apt-get indextargets` would tell, but it is silent on a host whose lists are empty, as in every fresh container.

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is one repository of an apt configuration: one type, one URI, one suite.
type Source struct {
	URI        string
	Suite      string
	Components []string
	SignedBy   string // paths of keyrings, or an embedded key, as the entry has it; may be empty
}

// maxLine bounds a line of a sources file in bytes.
const maxLine = 1 << 20

// parseDeb822 reads stanzas of "Field: value". Names are in lower case; continuation lines are joined by newlines, a line that
// is a lone dot becoming an empty one.
func parseDeb822(r io.Reader) []map[string]string {
	var stanzas []map[string]string
	var stanza map[string]string
	var field string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line := strings.TrimRight(lines.Text(), " \t\r")
		switch {
		case line == "":
			stanza, field = nil, ""
		case line[0] == '#':
		case line[0] == ' ' || line[0] == '\t':
			if field != "" {
				more := strings.TrimSpace(line)
				if more == "." {
					more = ""
				}
				stanza[field] += "\n" + more
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				field = ""
				continue
			}
			if stanza == nil {
				stanza = make(map[string]string)
				stanzas = append(stanzas, stanza)
			}
			field = strings.ToLower(strings.TrimSpace(name))
			stanza[field] = strings.TrimSpace(value)
		}
	}
	return stanzas
}

// parseSources reads a file in deb822 form.
func parseSources(r io.Reader) []Source {
	var sources []Source
	for _, s := range parseDeb822(r) {
		if slices.Contains([]string{"no", "false", "0", "off", "without", "disable"}, strings.ToLower(s["enabled"])) {
			continue
		}
		if !slices.Contains(strings.Fields(s["types"]), "deb") {
			continue
		}
		for _, uri := range strings.Fields(s["uris"]) {
			for _, suite := range strings.Fields(s["suites"]) {
				sources = append(sources, Source{URI: uri, Suite: suite, Components: strings.Fields(s["components"]), SignedBy: s["signed-by"]})
			}
		}
	}
	return sources
}

// parseSourceList reads a file in one-line form: deb [ option=value ... ] uri suite component ...
func parseSourceList(r io.Reader) []Source {
	var sources []Source
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), "deb")
		if !ok || rest == "" || !strings.ContainsRune(" \t[", rune(rest[0])) {
			continue
		}
		var s Source
		rest = strings.TrimSpace(rest)
		if strings.HasPrefix(rest, "[") {
			options, after, ok := strings.Cut(rest[1:], "]")
			if !ok {
				continue
			}
			for _, option := range strings.Fields(options) {
				if value, ok := strings.CutPrefix(option, "signed-by="); ok {
					s.SignedBy = strings.ReplaceAll(value, ",", " ")
				}
			}
			rest = after
		}
		words := strings.Fields(rest)
		if len(words) < 2 {
			continue
		}
		s.URI, s.Suite, s.Components = words[0], words[1], words[2:]
		sources = append(sources, s)
	}
	return sources
}

// readSources reads a sources.list and a sources.list.d, either of which may be missing.
func readSources(list, parts string) []Source {
	var sources []Source
	read := func(path string, parse func(io.Reader) []Source) {
		if f, err := os.Open(path); err == nil {
			defer f.Close()
			sources = append(sources, parse(f)...)
		}
	}
	read(list, parseSourceList)
	entries, _ := os.ReadDir(parts) // a folder that cannot be read is as good as empty: the caller says that no mirror was found
	for _, e := range entries {
		switch filepath.Ext(e.Name()) {
		case ".list":
			read(filepath.Join(parts, e.Name()), parseSourceList)
		case ".sources":
			read(filepath.Join(parts, e.Name()), parseSources)
		}
	}
	return sources
}

// debianSuites are the names under which Debian's main archive has been or will soon be published.
var debianSuites = []string{
	"oldoldstable", "oldstable", "stable", "testing", "unstable", "experimental", "sid",
	"buster", "bullseye", "bookworm", "trixie", "forky", "duke",
}

// debianMirror picks the entry that stands for Debian's main archive: one that has suite itself, else any Debian release, else
// an update suite of one, which lives on the same mirror. The archive's own signature decides later whether that was right.
func debianMirror(sources []Source, suite string) (Source, error) {
	best, found := 0, Source{}
	for _, s := range sources {
		scheme, _, ok := strings.Cut(s.URI, ":")
		if !ok || scheme == "cdrom" || !slices.Contains(s.Components, "main") {
			continue
		}
		score := 0
		base, kind, _ := strings.Cut(strings.TrimSuffix(s.Suite, "/"), "-")
		switch {
		case !slices.Contains(debianSuites, base) && base != suite:
		case kind == "" && base == suite:
			score = 3
		case kind == "":
			score = 2
		case kind == "updates" || kind == "backports":
			score = 1
		}
		if score > best {
			best, found = score, s
		}
	}
	if best == 0 {
		return Source{}, ErrNoMirror
	}
	return found, nil
}
