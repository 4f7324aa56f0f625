package storage

import "golang.org/x/sys/unix"

const mapNoReserve = unix.MAP_NORESERVE

// release gives whole pages back to the host, and says whether they read as zeros now.
func release(pages []byte) bool { return unix.Madvise(pages, unix.MADV_DONTNEED) == nil }
