//go:build !linux

package storage

import (
	"os"
	"syscall"
)

const (
	openDsync  = syscall.O_SYNC
	openDirect = 0 // no such thing here
)

func newDirect(*os.File) *direct { return makeDirect(4096) }
