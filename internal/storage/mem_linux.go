package storage

import "golang.org/x/sys/unix"

const mapNoReserve = unix.MAP_NORESERVE

// enlarge asks the host for huge pages: a fault for each 2 MiB that are used, and fewer translations. It is a wish.
func enlarge(data []byte) { _ = unix.Madvise(data, unix.MADV_HUGEPAGE) }

// release gives whole pages back to the host, and says whether they read as zeros now.
func release(pages []byte) bool { return unix.Madvise(pages, unix.MADV_DONTNEED) == nil }
