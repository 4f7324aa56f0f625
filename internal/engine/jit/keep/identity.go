package keep

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// Identity is what kept code depends on beside a page's contents.
type Identity [sha256.Size]byte

// IdentityOf is that of the present program with whatever else matters. It is zero if the program cannot be told from another: then nothing may be kept.
func IdentityOf(what ...any) Identity {
	build := program()
	if build == "" {
		return Identity{}
	}
	return sha256.Sum256(fmt.Appendf(nil, "%q %v", build, what))
}

// program is the build ID of the program that runs: Go's linker makes one of all that goes into it.
var program = sync.OnceValue(func() string {
	f, err := elf.Open("/proc/self/exe")
	if err != nil {
		return ""
	}
	defer f.Close()
	n := f.Section(".note.go.buildid")
	if n == nil {
		return ""
	}
	const header = 16 // three lengths, and "Go\0\0"
	note, err := n.Data()
	if err != nil || len(note) <= header {
		return ""
	}
	return string(note[header:])
})

// suffix is the end of the names of complete files.
const suffix = ".code"

func (id Identity) prefix() string { return hex.EncodeToString(id[:8]) + "-" }

// fileName is a name that no other file has.
func (id Identity) fileName() string {
	return fmt.Sprintf("%s%x-%d%s", id.prefix(), time.Now().UnixNano(), os.Getpid(), suffix)
}

// isOurs says that a file's name is one of those that fileName makes.
func (id Identity) isOurs(name string) bool {
	return strings.HasPrefix(name, id.prefix()) && strings.HasSuffix(name, suffix)
}
