package keep

import (
	"os"

	"golang.org/x/sys/unix"
)

// readAhead asks the host to read a file before it is needed: who needs it has everybody wait. The host does not read more at once than it would by itself.
func readAhead(f *os.File, size int64) {
	const step = 1 << 20
	for at := int64(0); at < size; at += step {
		_ = unix.Fadvise(int(f.Fd()), at, step, unix.FADV_WILLNEED)
	}
}
