package keep

// The folder that files are in: whose it is, their names, and how much there may be. It is held open from the first look at it on, so that nobody can put another in its place, and
// everything in it is looked at through what is open, too.

import (
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// suffix is the end of the names of complete files, temporary that of others.
const (
	suffix    = ".code"
	temporary = ".new"
)

// ours is what names of files look like: the start of an identity, when it was made and by which process.
var ours = regexp.MustCompile(`^[0-9a-f]{16}-[0-9a-f]{16}-[0-9]+(\.code|\.new)$`)

func (id Identity) prefix() string { return hex.EncodeToString(id[:8]) + "-" }

// fileName is a name that no other file has.
func (id Identity) fileName() string {
	return fmt.Sprintf("%s%016x-%d", id.prefix(), time.Now().UnixNano(), os.Getpid())
}

// file is one of the folder's, when it was used last, and its size.
type file struct {
	name string
	used time.Time
	size int64
}

// openFolder opens a folder, or makes it. The error says why code from it would not be the present user's: another, who may have fewer rights, could have written it.
func openFolder(dir string) (*os.Root, error) {
	if err := makeFolder(dir); err != nil {
		return nil, err
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	info, err := r.Stat(".")
	if err == nil && !isMine(info) {
		err = fmt.Errorf("%s is not a folder that only the present user can write to", dir)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// makeFolder makes a folder if it is not there, and what it is in. Root makes none where it would be in another user's way, as with sudo and that user's home.
func makeFolder(dir string) error {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			continue
		}
		if err != nil {
			return err
		}
		if owner, ok := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (!ok || owner.Uid != 0) {
			return fmt.Errorf("%s is another user's", at)
		}
		return os.MkdirAll(dir, 0o700)
	}
}

// isMine says that only the present user can write to a file or folder.
func isMine(info fs.FileInfo) bool {
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(owner.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0
}

// openFile opens a complete file for reading, if it is one that only the present user can have written.
func openFile(r *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := r.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && (!info.Mode().IsRegular() || !isMine(info)) {
		err = errors.New("not a file of the present user's")
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// list is the folder's files, those first that were used last, and of them the largest. What others have put there is not among them.
func list(r *os.Root) (files []file) {
	entries, err := fs.ReadDir(r.FS(), ".")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if !ours.MatchString(e.Name()) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			files = append(files, file{e.Name(), info.ModTime(), info.Size()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(b.used.Compare(a.used), cmp.Compare(b.size, a.size)) })
	return files
}

// prune removes what is beyond the limit of what was not used for longest, and what runs have left that ended too soon.
func prune(r *os.Root) error {
	total := int64(0)
	var errs []error
	for _, f := range list(r) {
		switch {
		case strings.HasSuffix(f.name, temporary):
			if time.Since(f.used) > time.Hour {
				errs = append(errs, r.Remove(f.name))
			}
		default:
			if total += f.size; total > maxTotal {
				errs = append(errs, r.Remove(f.name))
			}
		}
	}
	return errors.Join(errs...)
}
