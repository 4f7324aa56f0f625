//go:build unix

package storage

import (
	"io/fs"
	"sync"

	"golang.org/x/sys/unix"
)

// umask is the process's. It can only be read by setting it, so that is done once, before there is anything else to make files.
var umask = sync.OnceValue(func() fs.FileMode {
	m := unix.Umask(0o077)
	unix.Umask(m)
	return fs.FileMode(m)
})
