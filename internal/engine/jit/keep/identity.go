package keep

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"strings"
	"sync"
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

// program is the build ID of the program that runs, of which the go command makes a part of all that the program is.
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
	id := strings.TrimRight(string(note[header:]), "\x00")
	if strings.Count(id, "/") != 3 || len(id) < 64 {
		return "" // not the go command's: it may be that of any program
	}
	return id
})
