package keep

import (
	"os"

	"golang.org/x/sys/unix"
)

// readAhead asks the host to read a file before it is needed: who needs it has everybody wait.
func readAhead(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_WILLNEED) }
