package storage

// Cache modes: what the host may keep back of a guest's writes, and until when. In all but unsafe a flush is durable.

import "fmt"

// The cache modes.
const (
	CacheWriteback    = "writeback"    // the host's page cache holds writes until they are flushed
	CacheWritethrough = "writethrough" // each write is durable when it returns (O_DSYNC)
	CacheNone         = "none"         // past the host's page cache (O_DIRECT)
	CacheUnsafe       = "unsafe"       // a flush does nothing: what a crash of the host leaves may be no disk any more
)

// CacheModes are all of them, the default first.
func CacheModes() []string {
	return []string{CacheWriteback, CacheWritethrough, CacheNone, CacheUnsafe}
}

// cacheFlag is what a mode adds to open(2).
func cacheFlag(mode string) (int, error) {
	switch mode {
	case CacheWritethrough:
		return openDsync, nil
	case CacheNone:
		if openDirect == 0 {
			return 0, fmt.Errorf("cache=none is not possible on this host: use another cache mode")
		}
		return openDirect, nil
	}
	return 0, nil
}
