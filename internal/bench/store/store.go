// Package store keeps results: baselines, which have names, and the history, which is every run in the order of time. They are files in the user's
// data folder, one a result, that can be copied elsewhere and back.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vmproject/vm/internal/bench"
)

// Store is a folder of results.
type Store struct{ dir string }

const (
	baselines = "baselines"
	history   = "history"
	ext       = ".json"
	// stamp names the results of the history: their order is that of their names.
	stamp = "20060102T150405.000"
)

// Open uses a folder, or the user's own if dir is empty: $XDG_DATA_HOME/vm/bench, which is ~/.local/share/vm/bench unless that is set. Nothing is made
// before something is kept.
func Open(dir string) (*Store, error) {
	if dir == "" {
		data := os.Getenv("XDG_DATA_HOME")
		if data == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return nil, fmt.Errorf("finding the folder for results: %w: set XDG_DATA_HOME", err)
			}
			data = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(data, "vm", "bench")
	}
	return &Store{dir}, nil
}

// Dir is the folder.
func (s *Store) Dir() string { return s.dir }

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,99}$`)

// CheckName says what is wrong with the name of a baseline.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%q cannot name a baseline: letters, digits, and . _ + - are possible, at most 100, a letter or digit first", name)
	}
	return nil
}

func (s *Store) file(kind, name string) string { return filepath.Join(s.dir, kind, name+ext) }

// Save keeps a baseline, in the place of one of that name.
func (s *Store) Save(name string, r *bench.Result) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := Write(s.file(baselines, name), r); err != nil {
		return fmt.Errorf("saving baseline %s: %w", name, err)
	}
	return nil
}

// Record adds a result to the history, and returns its file.
func (s *Store) Record(r *bench.Result) (string, error) {
	name := s.file(history, r.Started.UTC().Format(stamp))
	if err := Write(name, r); err != nil {
		return "", fmt.Errorf("keeping the result: %w", err)
	}
	return name, nil
}

// Write writes a result to a file, which is there whole or not at all.
func Write(file string, r *bench.Result) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".result-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	err = r.Write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Chmod(f.Name(), 0o644); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// Load reads a baseline, or a file if the name is one's: it has a slash in it, or ends as results do.
func (s *Store) Load(name string) (*bench.Result, error) {
	if strings.ContainsRune(name, filepath.Separator) || strings.HasSuffix(name, ext) {
		return ReadFile(name)
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	r, err := ReadFile(s.file(baselines, name))
	if errors.Is(err, fs.ErrNotExist) {
		names, _ := s.names(baselines) // only to say what there is
		return nil, fmt.Errorf("no baseline is named %q%s: vm bench baseline ls shows all", name, bench.Near(name, names))
	}
	return r, err
}

// ReadFile reads a result from a file. The error names it.
func ReadFile(name string) (*bench.Result, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := bench.Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// Remove forgets a baseline.
func (s *Store) Remove(name string) error {
	if _, err := s.Load(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		if _, statErr := os.Stat(s.file(baselines, name)); statErr != nil {
			return err
		}
	}
	return os.Remove(s.file(baselines, name))
}

// Export copies a baseline to a writer.
func (s *Store) Export(name string, w io.Writer) error {
	r, err := s.Load(name)
	if err != nil {
		return err
	}
	return r.Write(w)
}

func (s *Store) names(kind string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, kind))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ext); ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	return names, err
}

// Entry is a baseline of the list. Err is why it cannot be read.
type Entry struct {
	Name     string
	Started  time.Time
	Rows     int
	Complete bool
	Err      error
}

// List is the baselines by name.
func (s *Store) List() ([]Entry, error) {
	names, err := s.names(baselines)
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, name := range names {
		e := Entry{Name: name}
		r, err := ReadFile(s.file(baselines, name))
		if e.Err = err; err == nil {
			e.Started, e.Rows, e.Complete = r.Started, len(r.Rows), r.Complete
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

// History is the last results that were recorded, at most n, oldest first. Files that cannot be read are left out.
func (s *Store) History(n int) ([]*bench.Result, error) {
	names, err := s.names(history)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	var out []*bench.Result
	for _, name := range names[max(0, len(names)-n):] {
		if r, err := ReadFile(s.file(history, name)); err == nil {
			out = append(out, r)
		}
	}
	return out, nil
}

// ErrNoHistory is when nothing has been measured yet.
var ErrNoHistory = errors.New("nothing has been measured yet: vm bench does")

// Last is the result that was recorded last.
func (s *Store) Last() (*bench.Result, error) {
	names, err := s.names(history)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, ErrNoHistory
	}
	return ReadFile(s.file(history, slices.Max(names)))
}
