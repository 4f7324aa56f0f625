//go:build unix

package storage

import (
	"os"
	"syscall"
)

// occupied is how many bytes a file takes on the host: holes take none.
func occupied(st os.FileInfo) int64 {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int64(s.Blocks) * 512
	}
	return st.Size()
}
